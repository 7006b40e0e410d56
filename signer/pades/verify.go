package pades

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// ErrSignatureDict: a signature dictionary is not one that can be judged.
var ErrSignatureDict = errors.New("pades: unusable signature dictionary")

// SignatureInfo is what can be said about one signature of a document without trust anchors: integrity and profile,
// not who vouches for the certificate and whether it was valid.
type SignatureInfo struct {
	Field       string // fully qualified name of the signature field
	SubFilter   string // without '/'
	Modified    string // /M as written, such as "D:20260102030405Z"; claimed, not proven
	Name        string // /Name, /Reason and /Location; claimed, signed with the document
	Reason      string
	Location    string
	ByteRange   [4]int64
	CoversFile  bool  // the signature covers the whole file but its own /Contents
	LaterBytes  int64 // bytes appended after this signature; they may change what is shown
	CMS         *cades.Signature
	Certificate *x509.Certificate // the signer's; nil when the CMS could not be read
	Level       string            // "B-B" or "B-T" (its time-stamp not verified here), "" when the profile is not PAdES baseline
	// Err is nil when the digest over the byte range and the signature value are right. Otherwise it wraps
	// cades.ErrDigest or cades.ErrSignature (broken), or cades.ErrMalformed, cades.ErrUnsupported or ErrSignatureDict
	// (could not be judged: treat as not valid).
	Err error
}

// Verify reads every signature field of the PDF in r that is filled in, in the order of the form, and checks each
// signature's integrity. The returned error concerns the file as a whole (see pdf.Open); a bad signature is reported in
// its SignatureInfo. Document time-stamps (ETSI.RFC3161) are listed as not judged.
func Verify(ctx context.Context, r io.ReaderAt, size int64, lim pdf.Limits) ([]SignatureInfo, error) {
	doc, err := pdf.Open(r, size, lim)
	if err != nil {
		return nil, err
	}
	form, err := doc.Form()
	if err != nil {
		return nil, err
	}
	var out []SignatureInfo
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.Kind == pdf.Null {
			continue
		}
		info := SignatureInfo{Field: f.Name}
		info.Err = info.read(ctx, doc, r, f)
		if errors.Is(info.Err, context.Canceled) || errors.Is(info.Err, context.DeadlineExceeded) {
			return nil, info.Err
		}
		out = append(out, info)
	}
	return out, nil
}

func (s *SignatureInfo) read(ctx context.Context, doc *pdf.Document, r io.ReaderAt, f pdf.Field) error {
	texts := []*string{&s.SubFilter, &s.Modified, &s.Name, &s.Reason, &s.Location}
	for i, key := range []string{"SubFilter", "M", "Name", "Reason", "Location"} {
		v, err := doc.Resolve(f.Value.Get(key))
		if err != nil {
			return err
		}
		*texts[i] = v.Unicode()
	}
	if err := s.readByteRange(doc, f.Value); err != nil {
		return err
	}
	hole, err := doc.Bytes(s.ByteRange[1], s.ByteRange[2]-s.ByteRange[1])
	if err != nil {
		return err
	}
	der, err := decodeContents(hole)
	if err != nil {
		return err
	}
	if s.SubFilter != "ETSI.CAdES.detached" && s.SubFilter != "adbe.pkcs7.detached" {
		return fmt.Errorf("%w: /SubFilter %q is not judged here", ErrSignatureDict, s.SubFilter)
	}
	if s.CMS, err = cades.Parse(der); err != nil {
		return err
	}
	s.Certificate = s.CMS.Certificate
	if s.SubFilter == "ETSI.CAdES.detached" && s.Modified != "" && f.Value.Get("Cert").Kind == pdf.Null {
		s.Level = s.CMS.Level(cades.PAdES)
	}
	sum, err := digestRanges(ctx, r, s.CMS.Algorithm.Hash(), s.ByteRange)
	if err != nil {
		return err
	}
	return s.CMS.Verify(sum)
}

// readByteRange accepts only two ranges from the first byte on, with nothing between them but the /Contents value of
// this very dictionary: otherwise bytes outside the signature could be shown as signed.
func (s *SignatureInfo) readByteRange(doc *pdf.Document, dict pdf.Value) error {
	br, err := doc.Resolve(dict.Get("ByteRange"))
	if err != nil {
		return err
	}
	contents := dict.Get("Contents")
	if br.Kind != pdf.Array || len(br.Elems) != 4 || contents.Kind != pdf.String || contents.Pos < 0 {
		return fmt.Errorf("%w: /ByteRange or /Contents", ErrSignatureDict)
	}
	for i, e := range br.Elems {
		if e.Kind != pdf.Integer || e.Int < 0 || e.Int > pdf.MaxSize {
			return fmt.Errorf("%w: /ByteRange", ErrSignatureDict)
		}
		s.ByteRange[i] = e.Int
	}
	end := s.ByteRange[2] + s.ByteRange[3]
	if s.ByteRange[0] != 0 || s.ByteRange[1] != contents.Pos ||
		s.ByteRange[2] != contents.Pos+int64(len(contents.Raw)) || end > doc.Size() {
		return fmt.Errorf("%w: /ByteRange leaves out more or less than /Contents", ErrSignatureDict)
	}
	s.LaterBytes = doc.Size() - end
	s.CoversFile = s.LaterBytes == 0
	return nil
}

// decodeContents reads "<hex digits>" and cuts the zeros after the DER structure in it. Anything else after it would be
// bytes that no signature covers.
func decodeContents(hole []byte) ([]byte, error) {
	if len(hole) < 2 || hole[0] != '<' || hole[len(hole)-1] != '>' {
		return nil, fmt.Errorf("%w: /Contents is not a hexadecimal string", ErrSignatureDict)
	}
	digits := hole[1 : len(hole)-1]
	raw := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(raw, digits); err != nil {
		return nil, fmt.Errorf("%w: /Contents: %w", ErrSignatureDict, err)
	}
	n, ok := derLength(raw)
	if !ok {
		return nil, fmt.Errorf("%w: /Contents holds no DER structure", ErrSignatureDict)
	}
	for _, c := range raw[n:] {
		if c != 0 {
			return nil, fmt.Errorf("%w: /Contents holds more than the CMS", ErrSignatureDict)
		}
	}
	return raw[:n], nil
}

// derLength returns the length of the DER element at the start of b, header included.
func derLength(b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n - 0x80
		if octets == 0 || octets > 3 || len(b) < 2+octets {
			return 0, false
		}
		n = 0
		for _, c := range b[2 : 2+octets] {
			n = n<<8 | int(c)
		}
		head += octets
	}
	return head + n, head+n <= len(b)
}
