package tsptest

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"
)

// Certificate says with which certificate the time-stamp unit signs.
type Certificate uint8

// The certificates. All are for the same key.
const (
	Good            Certificate = iota
	Expired                     // a month ago
	NotYetValid                 // for a month
	OtherUsage                  // extended key usage: critical, code signing alone
	MoreUsages                  // extended key usage: critical, time-stamping and code signing
	UncriticalUsage             // extended key usage: time-stamping alone, not critical
	NoUsage                     // no extended key usage
	Untrusted                   // not signed by the CA whose name it bears
	OtherKeyUsage               // key usage: digital signature and key encipherment
)

// usage returns the extended key usage.
func (c Certificate) usage() (pkix.Extension, bool) {
	codeSigning, stamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	list := []asn1.ObjectIdentifier{stamping}
	switch c {
	case NoUsage:
		return pkix.Extension{}, false
	case OtherUsage:
		list = []asn1.ObjectIdentifier{codeSigning}
	case MoreUsages:
		list = append(list, codeSigning)
	}
	der, err := asn1.Marshal(list)
	if err != nil {
		panic(err) // constant input
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: c != UncriticalUsage, Value: der}, true
}

// Rejection is an answer without a token (RFC 3161 section 2.4.2).
type Rejection struct {
	Status  int    // PKIStatus; 2 is rejection, 3 waiting
	FailBit int    // of PKIFailureInfo, such as 0 badAlg, 15 unacceptedPolicy, 25 systemFailure; negative: none
	Text    string // statusString; empty: none
}

// Faults says how the authority misbehaves. The zero value is good behaviour; several faults may come together.
type Faults struct {
	// The answer as a whole. Those of HTTP are without effect on Stamp.
	Stall       bool          // no answer until the client goes away
	Status      int           // this HTTP status, with a text of its own
	Redirect    string        // to this address, with status 307, or Status when that is set
	ContentType string        // instead of application/timestamp-reply
	Slow        time.Duration // pause before each 16 bytes of the body
	Endless     bool          // the body goes on until the client goes away
	Truncate    int           // leave out so many bytes at the end of the body
	Body        []byte        // instead of the answer

	Reject          *Rejection
	GrantedWithMods bool // status 1 with a token

	// The token.
	Size         int           // at least so many bytes: an unsigned attribute pads it, and it stays valid
	BER          bool          // indefinite lengths, and the content in pieces
	OtherImprint bool          // over another digest
	OtherHash    bool          // over the digest as if SHA3-256 had made it
	OtherNonce   bool          // that of another request
	NoNonce      bool          // none although one was asked for
	OtherPolicy  bool          // another policy than asked for
	Skew         time.Duration // of the clock
	Critical     bool          // a critical extension that nobody knows
	BadSignature bool          // one bit of the signature is wrong
	BadDigest    bool          // the signed message digest is another one

	// The signer.
	Certificate             Certificate
	NoCertificates          bool // although they were asked for
	OnlySigner              bool // no certificates but the signer's, which is no fault
	NoSigningCertificate    bool // attribute missing
	OtherSigningCertificate bool // attribute names the CA
	IssuerSerial            bool // attribute names issuer and serial number as well, which is no fault
	OtherIssuer             bool // attribute names the root as the issuer, with the serial number
	OtherDigestAlgorithm    bool // digestAlgorithms names SHA-384 alone, the signer SHA-256
	SigningCertificateV1    bool // the older attribute, with SHA-1 (RFC 2634), which is no fault
	KeyIdentifier           bool // instead of issuer and serial number, which is no fault
	TwoSigners              bool // the SignerInfo stands twice
}

// Misbehave makes the authority behave so from now on.
func (t *TSA) Misbehave(f Faults) { t.faults.Store(&f) }
