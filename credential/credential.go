// Package credential says what a credential is: a signatory's signing key, its certificate and the means that
// authorise its use, and how the binding that ties them together is encoded for its seal.
//
// It is a leaf: it knows no device, no database and no order of steps.
package credential

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ID names a credential: "cred-" and 26 base32 characters. It carries no personal data.
type ID string

// Status is what a credential may be used for.
type Status string

// The states of a credential. Only an active one signs. Revoked is final (EN 319 411-1 REV-6.3.9-04).
const (
	Active    Status = "active"
	Suspended Status = "suspended"
	Revoked   Status = "revoked"
)

// Valid reports whether s is one of the states above.
func (s Status) Valid() bool { return s == Active || s == Suspended || s == Revoked }

// Algorithm names the type of a credential's key. The binding holds it.
type Algorithm string

// The types of keys.
const (
	ECDSAP256 Algorithm = "ecdsa-p256" // curve P-256
	ECDSAP384 Algorithm = "ecdsa-p384" // curve P-384
	RSA3072   Algorithm = "rsa-3072"   // modulus of 3072 bits, exponent 65537
)

// Algorithms are the types of keys that there are, the usual one first.
func Algorithms() []Algorithm { return []Algorithm{ECDSAP256, ECDSAP384, RSA3072} }

// Scheme names how a key signs, and by which hash. It is chosen for each operation and authorised with it.
type Scheme string

// The schemes. That of an EC key has the name of its key, as operations had before there was a choice; ECDSA signatures are
// DER (RFC 3279 Ecdsa-Sig-Value). RSASSA-PSS has MGF1 with the hash of the scheme and a salt as long as that;
// RSASSA-PKCS1-v1_5 is for validators that know no PSS (RFC 8017).
const (
	ECDSASHA256 Scheme = "ecdsa-p256"
	ECDSASHA384 Scheme = "ecdsa-p384"
	PSSSHA256   Scheme = "rsa-pss-sha256"
	PSSSHA384   Scheme = "rsa-pss-sha384"
	PSSSHA512   Scheme = "rsa-pss-sha512"
	PKCS1SHA256 Scheme = "rsa-pkcs1-sha256"
	PKCS1SHA384 Scheme = "rsa-pkcs1-sha384"
	PKCS1SHA512 Scheme = "rsa-pkcs1-sha512"
)

// Schemes are those that a key of this type may sign with, the default first; none if the type is unknown.
func (a Algorithm) Schemes() []Scheme {
	switch a {
	case ECDSAP256:
		return []Scheme{ECDSASHA256}
	case ECDSAP384:
		return []Scheme{ECDSASHA384}
	case RSA3072:
		return []Scheme{PSSSHA256, PKCS1SHA256, PSSSHA384, PSSSHA512, PKCS1SHA384, PKCS1SHA512}
	}
	return nil
}

// Allows reports whether a key of this type may sign with s.
func (a Algorithm) Allows(s Scheme) bool { return slices.Contains(a.Schemes(), s) }

// Hash is that of the scheme: what is signed is a digest by it. 0 if the scheme is unknown.
func (s Scheme) Hash() crypto.Hash {
	switch s {
	case ECDSASHA256, PSSSHA256, PKCS1SHA256:
		return crypto.SHA256
	case ECDSASHA384, PSSSHA384, PKCS1SHA384:
		return crypto.SHA384
	case PSSSHA512, PKCS1SHA512:
		return crypto.SHA512
	}
	return 0
}

// DigestSize is the length in bytes of each DTBS/R that is signed by the scheme: 32, 48 or 64, or 0 if the scheme is unknown.
func (s Scheme) DigestSize() int {
	if h := s.Hash(); h != 0 {
		return h.Size()
	}
	return 0
}

// FactorSMSCode is the only means of authorisation so far: a one-time code sent to the proven phone.
const FactorSMSCode = "sms-code"

// Sole-control assurance levels (EN 419 241-1): a code alone is SCAL1.
const (
	SCAL1 uint8 = 1
	SCAL2 uint8 = 2
)

// ErrEncoding means that bytes are not the canonical encoding of a binding.
var ErrEncoding = errors.New("credential: not a canonical binding")

// Binding ties one key to one certificate, one signatory, one phone and one status. It is sealed: whoever can write
// the database cannot change any of this. Each change raises Version.
type Binding struct {
	ID          ID
	Signatory   string    // pseudonym of the natural person
	Algorithm   Algorithm // of the key
	SPKI        []byte    // SHA-256 of the DER SubjectPublicKeyInfo
	Certificate []byte    // SHA-256 of the DER certificate
	WrappedKey  []byte    // SHA-256 of the wrapped private key
	KEK         string    // id of the key-encryption key it is wrapped under
	Phone       []byte    // commitment to the proven phone number
	Factors     []string  // means of authorisation, all required
	SCAL        uint8
	Status      Status
	Version     uint64 // starts at 1
}

// Record is a credential as it is stored. What decides is inside Sealed; the other fields are found by it or checked
// against it.
type Record struct {
	ID         ID
	Sealed     Sealed   // canonical binding and its seal
	Version    uint64   // of the sealed binding
	WrappedKey []byte   // SHA-256 in the binding
	Chain      [][]byte // DER certificates, leaf first; SHA-256 of the leaf in the binding
	Phone      string   // E.164; the commitment with PhoneSalt is in the binding
	PhoneSalt  []byte
	Language   string // of the texts to the person: ISO 639-1
	Serial     string // of the certificate, lower-case hex
	Enrolment  string
	NotBefore  time.Time
	NotAfter   time.Time
	CreatedAt  time.Time
}

// Sealed is a canonical record and the seal (HMAC-SHA-256) that only the trust core can make.
type Sealed struct {
	Record []byte
	Seal   []byte
}

// Grant lets one document system ask for signatures with one credential.
type Grant struct {
	Credential ID
	Client     string // name in the client's certificate
	CreatedAt  time.Time
}

const bindingFormat = "ecsigner binding v1"

// MarshalBinary returns the canonical encoding: format name and fields in order, each behind its length as a
// four-byte big-endian number; numbers are eight bytes big-endian; a list is its count and its items.
func (b Binding) MarshalBinary() ([]byte, error) {
	if b.ID == "" || b.Version == 0 || !b.Status.Valid() || len(b.Algorithm.Schemes()) == 0 {
		return nil, fmt.Errorf("%w: id, version, status or algorithm missing", ErrEncoding)
	}
	var e Encoder
	e.String(bindingFormat)
	e.String(string(b.ID))
	e.String(b.Signatory)
	e.String(string(b.Algorithm))
	e.Bytes(b.SPKI)
	e.Bytes(b.Certificate)
	e.Bytes(b.WrappedKey)
	e.String(b.KEK)
	e.Bytes(b.Phone)
	e.Strings(b.Factors)
	e.Uint64(uint64(b.SCAL))
	e.String(string(b.Status))
	e.Uint64(b.Version)
	return e.Data(), nil
}

// UnmarshalBinary accepts exactly what MarshalBinary makes, else ErrEncoding.
func (b *Binding) UnmarshalBinary(data []byte) error {
	d := NewDecoder(data)
	if d.String() != bindingFormat {
		return fmt.Errorf("%w: format", ErrEncoding)
	}
	*b = Binding{
		ID:          ID(d.String()),
		Signatory:   d.String(),
		Algorithm:   Algorithm(d.String()),
		SPKI:        d.Bytes(),
		Certificate: d.Bytes(),
		WrappedKey:  d.Bytes(),
		KEK:         d.String(),
		Phone:       d.Bytes(),
		Factors:     d.Strings(),
		SCAL:        d.Uint8(),
		Status:      Status(d.String()),
		Version:     d.Uint64(),
	}
	if err := d.Finish(); err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	again, err := b.MarshalBinary()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%w: not canonical", ErrEncoding)
	}
	return nil
}

// Encoder writes canonical records: every item behind its length, so that no two different records share an encoding.
type Encoder struct{ data []byte }

// Bytes appends b behind its four-byte length.
func (e *Encoder) Bytes(b []byte) {
	if len(b) > math.MaxUint32 {
		panic("credential: item over 4 GiB")
	}
	e.data = binary.BigEndian.AppendUint32(e.data, uint32(len(b))) // bounded above
	e.data = append(e.data, b...)
}

// String appends s as its bytes.
func (e *Encoder) String(s string) { e.Bytes([]byte(s)) }

// Uint64 appends v as eight bytes, big-endian.
func (e *Encoder) Uint64(v uint64) { e.Bytes(binary.BigEndian.AppendUint64(nil, v)) }

// Bool appends v as the number 0 or 1.
func (e *Encoder) Bool(v bool) {
	var n uint64
	if v {
		n = 1
	}
	e.Uint64(n)
}

// Time appends t in microseconds since 1970, UTC.
func (e *Encoder) Time(t time.Time) { e.Uint64(uint64(t.UnixMicro())) } // bit pattern, read back alike

// List appends the number of items, then the items.
func (e *Encoder) List(items [][]byte) {
	e.Uint64(uint64(len(items)))
	for _, b := range items {
		e.Bytes(b)
	}
}

// Strings appends a list of strings.
func (e *Encoder) Strings(items []string) {
	e.Uint64(uint64(len(items)))
	for _, s := range items {
		e.String(s)
	}
}

// Data returns what was written.
func (e *Encoder) Data() []byte { return e.data }

// Decoder reads what Encoder wrote. After the first fault every read returns zero and Finish tells.
type Decoder struct {
	rest []byte
	err  error
}

// errShort means that a record ends too early, is too long, or holds a number of the wrong size.
var errShort = errors.New("record has the wrong shape")

// NewDecoder reads data, which it never changes.
func NewDecoder(data []byte) *Decoder { return &Decoder{rest: data} }

// Bytes reads one item; an empty one is nil.
func (d *Decoder) Bytes() []byte {
	if d.err != nil || len(d.rest) < 4 {
		d.err = errShort
		return nil
	}
	n := uint64(binary.BigEndian.Uint32(d.rest))
	if n > uint64(len(d.rest)-4) {
		d.err = errShort
		return nil
	}
	b := d.rest[4 : 4+n]
	d.rest = d.rest[4+n:]
	if n == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// String reads one string.
func (d *Decoder) String() string { return string(d.Bytes()) }

// Uint64 reads one number.
func (d *Decoder) Uint64() uint64 {
	b := d.Bytes()
	if d.err != nil || len(b) != 8 {
		d.err = errShort
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Uint8 reads a number below 256.
func (d *Decoder) Uint8() uint8 {
	v := d.Uint64()
	if v > math.MaxUint8 {
		d.err = errShort
		return 0
	}
	return uint8(v)
}

// Bool reads the number 0 or 1.
func (d *Decoder) Bool() bool {
	v := d.Uint8()
	if v > 1 {
		d.err = errShort
	}
	return v == 1
}

// Time reads a time, UTC.
func (d *Decoder) Time() time.Time { return time.UnixMicro(int64(d.Uint64())).UTC() } // bit pattern

// List reads a list of items; an empty one is nil.
func (d *Decoder) List() [][]byte {
	n := d.count()
	if n == 0 {
		return nil
	}
	items := make([][]byte, 0, n)
	for range n {
		items = append(items, d.Bytes())
	}
	return items
}

// Strings reads a list of strings; an empty one is nil.
func (d *Decoder) Strings() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	items := make([]string, 0, n)
	for range n {
		items = append(items, d.String())
	}
	return items
}

// count reads the length of a list and refuses more items than bytes left could hold.
func (d *Decoder) count() uint64 {
	n := d.Uint64()
	if d.err != nil || n > uint64(len(d.rest)/4) {
		d.err = errShort
		return 0
	}
	return n
}

// Finish reports a fault of any earlier read, or bytes left over.
func (d *Decoder) Finish() error {
	if d.err != nil {
		return d.err
	}
	if len(d.rest) != 0 {
		return errShort
	}
	return nil
}
