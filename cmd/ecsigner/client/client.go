// Package client is what every client command needs: a profile directory with certificate and key, a connection over
// mutual TLS, and the calls that stream documents.
package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// Files of a profile directory.
const (
	KeyFile         = "key.pem"         // PKCS#8, mode 0600
	CertificateFile = "certificate.pem" // chain, leaf first
	AuthorityFile   = "server-ca.pem"   // the CA that the server's certificate must come from
	ServerFile      = "server"          // host:port
)

// ErrProfile: the directory holds no usable client profile.
var ErrProfile = errors.New("not a client profile")

// Conn is a connection with all services of the engine.
type Conn struct {
	*grpc.ClientConn
	Enrolment    pb.EnrolmentServiceClient
	Credential   pb.CredentialServiceClient
	Document     pb.DocumentServiceClient
	Signing      pb.SigningServiceClient
	Augmentation pb.AugmentationServiceClient
	CA           pb.CaServiceClient
	Audit        pb.AuditServiceClient
	Admin        pb.AdminServiceClient
}

// Dial reads a profile and prepares a connection; it connects with the first call. Every call without a deadline gets
// one of 30 seconds.
func Dial(dir string) (*Conn, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%w); `ecsigner client add` makes one", dir, ErrProfile, err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, AuthorityFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrProfile, err)
	}
	server, err := os.ReadFile(filepath.Join(dir, ServerFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrProfile, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: %w: %s holds no certificate", dir, ErrProfile, AuthorityFile)
	}
	cc, err := grpc.NewClient(strings.TrimSpace(string(server)),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13,
		})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)),
		grpc.WithChainUnaryInterceptor(deadline))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrProfile, err)
	}
	return &Conn{
		ClientConn: cc, Enrolment: pb.NewEnrolmentServiceClient(cc), Credential: pb.NewCredentialServiceClient(cc),
		Document: pb.NewDocumentServiceClient(cc), Signing: pb.NewSigningServiceClient(cc), Augmentation: pb.NewAugmentationServiceClient(cc), CA: pb.NewCaServiceClient(cc),
		Audit: pb.NewAuditServiceClient(cc), Admin: pb.NewAdminServiceClient(cc),
	}, nil
}

func deadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// RequestID returns a random UUID (RFC 9562 version 4) for a mutating call.
func RequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// NewKey makes a client's key and a certificate request for its name; the key never leaves the client.
func NewKey(name string) (keyPEM, csr []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), csr, err
}

// WriteProfile makes a profile directory; it refuses to replace one.
func WriteProfile(dir, server string, keyPEM []byte, chain [][]byte, authority []byte) error {
	if _, err := os.Stat(filepath.Join(dir, KeyFile)); err == nil {
		return fmt.Errorf("%s holds a client profile already; choose another directory", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var certificates []byte
	for _, der := range chain {
		certificates = append(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	for name, content := range map[string][]byte{
		KeyFile: keyPEM, CertificateFile: certificates, ServerFile: []byte(server + "\n"),
		AuthorityFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// chunk is the size of one message of a streamed document.
const chunk = 64 << 10

// Upload streams a document and reports progress in bytes.
func (c *Conn) Upload(ctx context.Context, name string, r io.Reader, progress func(sent int64)) (*pb.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s, err := c.Document.UploadDocument(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Metadata{
		Metadata: &pb.DocumentMetadata{RequestId: RequestID(), Name: name},
	}})
	buf := make([]byte, chunk)
	var sent int64
	for err == nil {
		n, readErr := io.ReadFull(r, buf)
		if n > 0 {
			err = s.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Chunk{Chunk: buf[:n]}})
			sent += int64(n)
			progress(sent)
		}
		if readErr != nil {
			if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
				return nil, readErr // the stream is cancelled with ctx; nothing is kept
			}
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the server has answered; CloseAndRecv says what
		return nil, err
	}
	a, err := s.CloseAndRecv()
	return a.GetDocument(), err
}

// Download writes one result of a signed operation, at the highest level that is ready, and returns its header.
func (c *Conn) Download(ctx context.Context, operation string, item uint32, content pb.ArtifactContent, w io.Writer) (*pb.ArtifactHeader, error) {
	return c.DownloadLevel(ctx, operation, item, pb.SignatureLevel_SIGNATURE_LEVEL_UNSPECIFIED, content, w)
}

// DownloadLevel writes one result of a signed operation at a level and returns its header.
func (c *Conn) DownloadLevel(ctx context.Context, operation string, item uint32, level pb.SignatureLevel, content pb.ArtifactContent, w io.Writer) (*pb.ArtifactHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	s, err := c.Document.DownloadArtifact(ctx, &pb.DownloadArtifactRequest{OperationId: operation, Item: item, Content: content, Level: level})
	if err != nil {
		return nil, err
	}
	return receive(w, func() (*pb.ArtifactHeader, []byte, error) {
		m, err := s.Recv()
		return m.GetHeader(), m.GetChunk(), err
	})
}

// DownloadAugmentation writes the artefact of an augmentation and returns its header.
func (c *Conn) DownloadAugmentation(ctx context.Context, id string, content pb.ArtifactContent, w io.Writer) (*pb.ArtifactHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	s, err := c.Augmentation.DownloadAugmentation(ctx, &pb.DownloadAugmentationRequest{AugmentationId: id, Content: content})
	if err != nil {
		return nil, err
	}
	return receive(w, func() (*pb.ArtifactHeader, []byte, error) {
		m, err := s.Recv()
		return m.GetHeader(), m.GetChunk(), err
	})
}

// streamTime is how long a download may take: what a server allows by default.
const streamTime = 15 * time.Minute

// receive writes the chunks of a download, and wants all of them.
func receive(w io.Writer, next func() (*pb.ArtifactHeader, []byte, error)) (*pb.ArtifactHeader, error) {
	var h *pb.ArtifactHeader
	var got int64
	for {
		header, chunk, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if header != nil {
			h = header
		}
		n, err := w.Write(chunk)
		if err != nil {
			return nil, err
		}
		got += int64(n)
	}
	if h == nil || got != h.GetSizeBytes() {
		return nil, fmt.Errorf("the download ended after %d bytes; ask again", got)
	}
	return h, nil
}

// Agreement downloads the agreement of an enrolment.
func (c *Conn) Agreement(ctx context.Context, enrolment string) (*pb.AgreementHeader, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s, err := c.Enrolment.DownloadAgreement(ctx, &pb.DownloadAgreementRequest{EnrolmentId: enrolment})
	if err != nil {
		return nil, nil, err
	}
	var h *pb.AgreementHeader
	var pdf []byte
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return h, pdf, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if m.GetHeader() != nil {
			h = m.GetHeader()
		}
		pdf = append(pdf, m.GetChunk()...)
	}
}

// Issued waits until key and certificate of an enrolment whose agreement was accepted are made, and returns it so. Mostly
// they are made before AcceptAgreement answers; a device that is busy may take longer.
func (c *Conn) Issued(ctx context.Context, e *pb.Enrolment) (*pb.Enrolment, error) {
	if e.GetState() == pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // the service tries again every minute
	defer cancel()
	s, err := c.Enrolment.WatchEnrolment(ctx, &pb.WatchEnrolmentRequest{EnrolmentId: e.GetId()})
	if err != nil {
		return nil, err
	}
	for {
		m, err := s.Recv()
		switch state := m.GetEnrolment().GetState(); {
		case err != nil:
			return nil, fmt.Errorf("waiting for the certificate: %w", err)
		case state == pb.EnrolmentState_ENROLMENT_STATE_ISSUED:
			return m.GetEnrolment(), nil
		case state != pb.EnrolmentState_ENROLMENT_STATE_ISSUING:
			return nil, fmt.Errorf("the enrolment is %v, not issued", state)
		}
	}
}

// Reason returns the stable reason of an error of the server, or "".
func Reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return ""
}
