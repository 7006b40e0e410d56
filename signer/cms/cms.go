// Package cms reads CMS SignedData (RFC 5652) as it stands in a file, BER or DER, and adds to it what nobody signed:
// certificates, revocation data, digest algorithms and unsigned attributes. Every field is kept as the octets that were
// found, so that nothing is encoded anew: an addition changes the lengths of the containers around it and no other
// octet, and a container of indefinite length stays one. The content of an attached signature is never copied to memory.
// Nothing is verified here.
package cms

import (
	"encoding/asn1"
	"errors"
	"io"
)

// Errors of this package, wrapped with the place in the file, in octets from its beginning.
var (
	// ErrMalformed: not the BER of SignedData.
	ErrMalformed = errors.New("cms: malformed")
	// ErrUnsupported: well-formed so far, but something else than SignedData over an OCTET STRING.
	ErrUnsupported = errors.New("cms: unsupported")
	// ErrLimit: larger, deeper or more numerous than the declared limits.
	ErrLimit = errors.New("cms: beyond the limits")
	// ErrInput: what shall be added is not of its type.
	ErrInput = errors.New("cms: unusable addition")
)

// Limits bound what is read. A zero field stands for its default.
type Limits struct {
	Structure int64 // octets of everything but the content that Read loads; default 64 MiB
	Elements  int   // certificates, revocation data, attributes of a signer, each; default 1024
	Signers   int   // default 64
	Segments  int   // pieces of a constructed OCTET STRING; default 2^22
}

func (l Limits) orDefault() Limits {
	if l.Structure <= 0 {
		l.Structure = 64 << 20
	}
	if l.Elements <= 0 {
		l.Elements = 1024
	}
	if l.Signers <= 0 {
		l.Signers = 64
	}
	if l.Segments <= 0 {
		l.Segments = 1 << 22
	}
	return l
}

// SignedData is a parsed ContentInfo with SignedData (RFC 5652 section 5.1). Slices are the octets of the file, with tag
// and length, and must not be changed.
type SignedData struct {
	Version          int
	DigestAlgorithms [][]byte // AlgorithmIdentifier each
	ContentType      asn1.ObjectIdentifier
	RawContentType   []byte   // the OBJECT IDENTIFIER eContentType
	Certificates     [][]byte // CertificateChoices each: a SEQUENCE is an X.509 certificate, [0] to [3] are other kinds
	RevocationInfos  [][]byte // RevocationInfoChoice each: a SEQUENCE is a CRL, [1] another format (see OCSP)
	Signers          []*SignerInfo

	src      *source
	limits   Limits
	version  int64 // place of the octet that holds Version
	content  *element
	size     int64 // octets of the content
	encapEnd int64
	root, wrap, sd, digests,
	certs, crls, signers element // certs and crls have no length when absent
}

// SignerInfo is one signer's part (RFC 5652 section 5.3), or a countersignature (section 11.4).
type SignerInfo struct {
	Version            int
	Raw                []byte // the whole SignerInfo
	RawVersion         []byte
	SID                []byte // SignerIdentifier: IssuerAndSerialNumber, or [0] with a key identifier
	DigestAlgorithm    []byte
	SignedAttrs        []byte // [0] as it stands in the file; nil when absent
	SignatureAlgorithm []byte
	Signature          []byte // the OCTET STRING
	Value              []byte // the octets in it
	Signed, Unsigned   []Attribute

	self, unsigned element // unsigned has no length when absent
}

// Attribute is one attribute of a signer (RFC 5652 section 5.3).
type Attribute struct {
	Raw     []byte
	Type    asn1.ObjectIdentifier
	RawType []byte   // the OBJECT IDENTIFIER
	Values  [][]byte // AttributeValue each
}

// Parse reads a whole file held in memory, with the default limits. The result refers to data.
func Parse(data []byte) (*SignedData, error) {
	return parse(&source{mem: data, size: int64(len(data))}, Limits{})
}

// Read reads a file of size octets without loading its content; r must stay readable and unchanged for as long as the
// content is read or additions are written.
func Read(r io.ReaderAt, size int64, limits Limits) (*SignedData, error) {
	return parse(&source{r: r, size: size, base: size}, limits)
}

// Attached reports whether the content is in the file.
func (s *SignedData) Attached() bool { return s.content != nil }

// ContentSize returns the length of the attached content in octets.
func (s *SignedData) ContentSize() int64 { return s.size }

// ContentAt returns where the content lies in the file, when it is attached in one piece.
func (s *SignedData) ContentAt() (offset int64, ok bool) {
	if s.content == nil || s.content.tag != tagOctets {
		return 0, false
	}
	return s.content.body(), true
}

// Content returns a reader of the content's octets, the value of eContent without tags and lengths, as message-digest
// covers it (RFC 5652 section 5.4). It is empty when nothing is attached.
func (s *SignedData) Content() io.Reader {
	if s.content == nil {
		return io.MultiReader()
	}
	if off, ok := s.ContentAt(); ok {
		return s.src.section(off, s.size)
	}
	return &contentReader{p: &parser{src: s.src.fork(), pos: s.content.off, limits: s.limits}, end: s.content.end()}
}

// AllValues returns the values of all attributes of a type, in the order of the file.
func AllValues(attributes []Attribute, oid asn1.ObjectIdentifier) [][]byte {
	var values [][]byte
	for _, a := range attributes {
		if a.Type.Equal(oid) {
			values = append(values, a.Values...)
		}
	}
	return values
}

// SignedAttrsDER returns the signed attributes in the form that is hashed for the signature: DER, SET OF (RFC 5652
// section 5.4); nil when there are none.
func (si *SignerInfo) SignedAttrsDER() ([]byte, error) {
	if si.SignedAttrs == nil {
		return nil, nil
	}
	set := append([]byte{tagSet}, si.SignedAttrs[1:]...)
	return DER(set)
}

var (
	oidOCSPResponse = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 16, 2}    // id-ri-ocsp-response, RFC 5940
	oidOCSPBasic    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1} // id-pkix-ocsp-basic
)

// NewOCSP encodes an OCSPResponse as RevocationInfoChoice (RFC 5940 section 2.1).
func NewOCSP(response []byte) []byte {
	oid, _ := asn1.Marshal(oidOCSPResponse) // a constant
	return wrap(tagContext1, oid, response)
}

// OCSP returns the OCSPResponse in a RevocationInfoChoice, if it is one. A BasicOCSPResponse, which some wrote there
// before, comes in the OCSPResponse that it is the content of.
func OCSP(revocationInfo []byte) (response []byte, ok bool) {
	p := &parser{src: &source{mem: revocationInfo, size: int64(len(revocationInfo))}, limits: Limits{}.orDefault()}
	e := p.open(tagContext1, p.src.size, "other revocation data")
	oid, raw := p.oid(p.limit(e), "format")
	response = p.raw(p.limit(e), "OCSP response")
	p.close(&e, "other revocation data")
	switch {
	case p.err != nil:
		return nil, false
	case oid.Equal(oidOCSPResponse):
		return response, true
	case oid.Equal(oidOCSPBasic): // responseStatus successful, responseBytes (RFC 6960 section 4.2.1)
		return wrap(tagSequence, []byte{0x0a, 1, 0}, wrap(tagContext0, wrap(tagSequence, raw, wrap(tagOctets, response)))), true
	}
	return nil, false
}
