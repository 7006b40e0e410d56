// Package client signs PDF files that stay where they are: it prepares them here, sends nothing but digests to the engine, and
// puts what comes back into its place, at every level of PAdES.
//
// The engine sees the digest over a file's byte range, the title that the signatory is shown, and what a signature says. It
// cannot see the document, so what the phone shows is the first digits of that digest; see Operation.Digest.
//
//	c := client.New(conn, credential)
//	op, err := c.Begin(ctx, client.Request{Title: "Contract 17", Language: "en", Level: cades.LevelBLTA}, file)
//	// … the signatory reads the code …
//	err = op.Authorize(ctx, code)
//	tail, err := op.Tail(ctx, 0) // to be appended to the file
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Errors of this package. Those of the engine come as gRPC statuses, those of the formats as they are.
var (
	// ErrInput: the request cannot be used.
	ErrInput = errors.New("client: unusable request")
	// ErrAnswer: the engine answered with something else than was asked for.
	ErrAnswer = errors.New("client: the engine's answer does not fit the request")
)

// Client asks an engine for signatures with one credential. It is safe for concurrent use.
type Client struct {
	credential string
	now        func() time.Time

	signing      pb.SigningServiceClient
	documents    pb.DocumentServiceClient
	credentials  pb.CredentialServiceClient
	augmentation pb.AugmentationServiceClient
}

// New returns a client over a connection that authenticates as a document system to which the credential is granted. Every
// call needs a deadline: the contexts that the methods get should have one.
func New(conn grpc.ClientConnInterface, credential string) *Client {
	return &Client{
		credential: credential, now: time.Now, signing: pb.NewSigningServiceClient(conn), documents: pb.NewDocumentServiceClient(conn),
		credentials: pb.NewCredentialServiceClient(conn), augmentation: pb.NewAugmentationServiceClient(conn),
	}
}

// File is a PDF. It must not change before its tail was appended.
type File struct {
	Reader io.ReaderAt
	Size   int64 // bytes
	// Options say what the signature says and looks like. Chain, Algorithm, Reserve and, when empty, SigningTime and Name are
	// set by Begin.
	Options pades.Options
}

// Request is what all files of an operation share: the signatory answers one code for them.
type Request struct {
	Title     string // shown to the signatory, 1 to 200 characters
	Language  string // of the text to the signatory: uk, pl or en
	Level     cades.Level
	Algorithm pb.SignatureAlgorithm // unspecified: the credential's first
	HighValue bool                  // the codes are longer
}

// Operation is a signing operation and the files that it is about.
type Operation struct {
	ID string

	client  *Client
	request Request
	files   []File
	parts   []*pades.Prepared
	signed  *pb.SigningOperation // once it is
}

// firstReserve is the space that is tried first for a time-stamp, in bytes; the engine says when it needs more.
const firstReserve = 8 << 10

// Begin prepares the files, has the engine prepare their signatures and send the code. Nothing of the files leaves but the
// digests. Errors before anything was sent: ErrInput, those of pades.Prepare.
func (c *Client) Begin(ctx context.Context, r Request, files ...File) (*Operation, error) {
	if len(files) == 0 || len(files) > 100 || r.Level > cades.LevelBLTA {
		return nil, fmt.Errorf("%w: 1 to 100 files and a level are needed", ErrInput)
	}
	k, err := c.credentials.GetCredential(ctx, &pb.GetCredentialRequest{CredentialId: c.credential})
	if err != nil {
		return nil, err
	}
	if r.Algorithm == 0 && len(k.GetCredential().GetSignatureAlgorithms()) > 0 {
		r.Algorithm = k.GetCredential().GetSignatureAlgorithms()[0]
	}
	chain, err := cades.ParseChain(k.GetCredential().GetCertificateChain())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	o := &Operation{client: c, request: r, files: files}
	reserve := 0
	if r.Level >= cades.LevelBT {
		reserve = firstReserve
	}
	now := c.now()
	for i := range o.files {
		f := &o.files[i].Options
		f.Chain, f.Algorithm = k.GetCredential().GetCertificateChain(), algorithm(r.Algorithm)
		if f.SigningTime.IsZero() {
			f.SigningTime = now
		}
		if f.Name == "" {
			f.Name = chain.Leaf().Subject.CommonName
		}
	}
	for range 3 { // a second time when the engine knows of larger time-stamps
		if err := o.prepare(ctx, reserve); err != nil {
			return nil, err
		}
		made, err := c.signing.CreateSigningOperation(ctx, o.create())
		if more := needed(err); more > o.parts[0].Reserved() {
			reserve += more - o.parts[0].Reserved()
			continue
		}
		if err != nil {
			return nil, err
		}
		o.ID = made.GetOperation().GetId()
		return o, o.fits(made.GetOperation())
	}
	return nil, fmt.Errorf("%w: it wants more space each time", ErrAnswer)
}

func (o *Operation) prepare(ctx context.Context, reserve int) error {
	o.parts = nil
	for i, f := range o.files {
		f.Options.Reserve = reserve
		p, err := pades.Prepare(ctx, f.Reader, f.Size, f.Options)
		if err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
		o.parts = append(o.parts, p)
	}
	return nil
}

// create is the request that holds the digests.
func (o *Operation) create() *pb.CreateSigningOperationRequest {
	level := levelOf(min(o.request.Level, cades.LevelBT)) // the higher ones are made here
	r := &pb.CreateSigningOperationRequest{
		RequestId: requestID(), CredentialId: o.client.credential, Title: o.request.Title, Language: o.request.Language,
		Algorithm: o.request.Algorithm, HighValue: o.request.HighValue,
	}
	for i, p := range o.parts {
		it := hashed(p.DocumentDigest())
		it.Format, it.Level = pb.SignatureFormat_SIGNATURE_FORMAT_PADES_HASH, level
		it.ReservedCmsBytes, it.Options = uint32(p.Reserved()), optionsOf(o.files[i].Options) //nolint:gosec // at most 4 MiB
		r.Items = append(r.Items, it)
	}
	return r
}

// fits holds what the engine is about to sign against what was prepared: the signed attributes are made on both sides.
func (o *Operation) fits(made *pb.SigningOperation) error {
	if len(made.GetItems()) != len(o.parts) {
		return fmt.Errorf("%w: %d items", ErrAnswer, len(made.GetItems()))
	}
	for i, p := range o.parts {
		if !bytes.Equal(made.GetItems()[i].GetDtbsr(), p.DTBSR()) {
			return fmt.Errorf("%w: it would sign something else than file %d", ErrAnswer, i)
		}
	}
	return nil
}

// needed reads from a refusal how many bytes a CMS may take; 0: it is no such refusal.
func needed(err error) int {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok && i.GetReason() == "CMS_SPACE_TOO_SMALL" {
			n, _ := strconv.Atoi(i.GetMetadata()["needed_bytes"])
			return n
		}
	}
	return 0
}

// Digest returns the digest over the byte range of a file, by the hash of the algorithm, whose first digits stand in the
// signatory's text when it is the only one.
func (o *Operation) Digest(file int) []byte { return o.parts[file].DocumentDigest() }

// Authorize gives the code that the signatory typed. Every code that is sent is a try. The error is a gRPC status.
func (o *Operation) Authorize(ctx context.Context, code string) error {
	a, err := o.client.signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: requestID(), OperationId: o.ID, Code: code,
	})
	if err != nil {
		return err
	}
	o.signed = a.GetOperation()
	return nil
}

// Receipt returns the proof that the operation log holds the entry of the signatures; nil before Authorize.
func (o *Operation) Receipt() []byte { return o.signed.GetReceipt() }

// Tail returns the bytes to append to a file so that it is signed at the level of the request. It waits for the time-stamp as
// long as ctx lasts. Where the engine gave that up, a document time-stamp takes its place (EN 319 142-1 clause 6.3).
// Called again, for instance after an error of a service, it begins with the same signature.
func (o *Operation) Tail(ctx context.Context, file int) ([]byte, error) {
	if o.signed == nil || file < 0 || file >= len(o.parts) {
		return nil, fmt.Errorf("%w: the operation is not authorised, or has no such file", ErrInput)
	}
	p, f := o.parts[file], o.files[file]
	cms := o.signed.GetItems()[file].GetCms()
	if o.request.Level >= cades.LevelBT {
		stamped, err := o.stamped(ctx, file)
		if err != nil {
			return nil, err
		}
		if stamped != nil {
			cms = stamped
		}
	}
	tail, err := p.EmbedCMS(cms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if o.request.Level < cades.LevelBT {
		return tail, nil
	}
	whole := &joined{first: f.Reader, size: f.Size, second: tail}
	more, err := longterm.Augment(ctx, whole, f.Size+int64(len(tail)), o.request.Level, o.client.Services(), f.Options.Limits)
	return append(tail, more...), err
}

// stamped waits for the CMS at B-T; nil where it was given up.
func (o *Operation) stamped(ctx context.Context, file int) ([]byte, error) {
	s, err := o.client.signing.WatchSigningOperation(ctx, &pb.WatchSigningOperationRequest{OperationId: o.ID})
	if err != nil {
		return nil, err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return nil, err
		}
		for _, l := range m.GetOperation().GetItems()[file].GetLevels() {
			switch l.GetState() {
			case pb.LevelState_LEVEL_STATE_READY:
				return o.download(ctx, file)
			case pb.LevelState_LEVEL_STATE_GIVEN_UP:
				return nil, nil
			}
		}
	}
}

func (o *Operation) download(ctx context.Context, file int) ([]byte, error) {
	s, err := o.client.documents.DownloadArtifact(ctx, &pb.DownloadArtifactRequest{
		OperationId: o.ID, Item: uint32(file), Level: pb.SignatureLevel_SIGNATURE_LEVEL_B_T, //nolint:gosec // 0 to 99
		Content: pb.ArtifactContent_ARTIFACT_CONTENT_TAIL,
	})
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, m.GetChunk()...); len(out) > o.parts[file].Reserved() {
			return nil, fmt.Errorf("%w: the signature is larger than it said", ErrAnswer)
		}
	}
}

// joined reads a file and what is appended to it.
type joined struct {
	first  io.ReaderAt
	size   int64
	second []byte
}

func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	second := bytes.NewReader(j.second)
	if off >= j.size {
		return second.ReadAt(p, off-j.size)
	}
	n := min(int64(len(p)), j.size-off)
	read, err := j.first.ReadAt(p[:n], off)
	if int64(read) < n || int64(len(p)) == n {
		return read, err
	}
	more, err := second.ReadAt(p[n:], 0)
	return read + more, err
}

// requestID returns a random UUID (RFC 9562 version 4).
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
