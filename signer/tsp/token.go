package tsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// maxToken bounds a token in bytes. Those of authorities have 2 to 20 kB; one with evidence for long-term validation has more.
const maxToken = 16 << 20

// maxCertificates bounds the certificates read from a token.
const maxCertificates = 256

// Token is a parsed time-stamp token (RFC 3161 section 2.4.2).
type Token struct {
	Raw          []byte                // the ContentInfo as it was given, DER or BER
	Time         time.Time             // genTime, UTC
	Accuracy     time.Duration         // Time is right within ± this; 0: the token says nothing
	Policy       asn1.ObjectIdentifier // under which it was issued
	Serial       *big.Int              // unique for the authority
	Hash         crypto.Hash           // with which Imprint was made
	Imprint      []byte                // the digest that is stamped
	Nonce        *big.Int              // of the request, nil when absent
	Certificates [][]byte              // the embedded ones, DER, in the order of the file
	Signer       *x509.Certificate     // of the time-stamp unit
}

// Parse reads a token and checks what needs nothing else: its structure, that it has one signature and that it is valid,
// that signing-certificate or signing-certificate-v2 names the signer (RFC 3161 section 2.4.2, RFC 5816 section 2.2.1), and
// that the signer's certificate is for time-stamping alone, in a critical extension (RFC 3161 section 2.3). It does not judge
// the imprint (see Covers), the chain, the time or revocation. Errors wrap ErrToken: ErrMalformed, ErrUnsupported,
// ErrSignature, ErrSigner.
func Parse(der []byte) (*Token, error) { return ParseWith(der, nil) }

// ParseWith is Parse for tokens that may lack the signer's certificate: known are further ones, in DER, where it may be.
func ParseWith(raw []byte, known [][]byte) (*Token, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, len(raw), maxToken)
	}
	sd, err := cms.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	info, err := content(sd)
	if err != nil {
		return nil, err
	}
	t := &Token{Raw: raw}
	for _, c := range sd.Certificates {
		if c[0] == byte(cbasn1.SEQUENCE) { // X.509; other kinds of CertificateChoices are no use here
			t.Certificates = append(t.Certificates, c)
		}
	}
	if len(t.Certificates) > maxCertificates {
		return nil, fmt.Errorf("%w: more than %d certificates", ErrUnsupported, maxCertificates)
	}
	if err := t.readInfo(info); err != nil {
		return nil, err
	}
	signer, err := readSigner(sd.Signers[0])
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(sd.DigestAlgorithms, signer.digestedWith) { // RFC 5652 section 5.1
		return nil, fmt.Errorf("%w: digestAlgorithms lack the signer's", ErrMalformed)
	}
	if t.Signer, err = signer.check(info, t.Certificates, known); err != nil {
		return nil, err
	}
	return t, nil
}

// content returns the DER of TSTInfo and sees to it that there is one signature.
func content(sd *cms.SignedData) ([]byte, error) {
	if !sd.ContentType.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("%w: content %v is not TSTInfo", ErrMalformed, sd.ContentType)
	}
	if !sd.Attached() || len(sd.Signers) != 1 { // RFC 3161 section 2.4.2: no signatures but the authority's
		return nil, fmt.Errorf("%w: %d signatures over %d bytes of content, not one", ErrMalformed, len(sd.Signers), sd.ContentSize())
	}
	info, err := io.ReadAll(sd.Content())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return info, nil
}

// DER returns the token with definite lengths and its content in one piece, as PDF and ats-hash-index need it: a copy of Raw,
// if that is so already; else what frames the signed parts is encoded anew, and what is signed keeps its bytes. ErrMalformed:
// something that Parse does not look into, such as a certificate of the chain, is no BER inside.
func (t *Token) DER() ([]byte, error) {
	der, err := cms.Definite(t.Raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return der, nil
}

// Covers returns nil when the token stamps this digest, made with h, else ErrImprint.
func (t *Token) Covers(h crypto.Hash, imprint []byte) error {
	if h != t.Hash {
		return fmt.Errorf("%w: made with %v, not %v", ErrImprint, t.Hash, h)
	}
	if !bytes.Equal(imprint, t.Imprint) {
		return ErrImprint
	}
	return nil
}

// readInfo reads TSTInfo. Its field tsa is not judged: the signer is known by signing-certificate (RFC 3161 section 2.4.2).
func (t *Token) readInfo(der []byte) error {
	in := cryptobyte.String(der)
	var info, imprint, stamped, tsa cryptobyte.String
	var version int
	t.Serial = new(big.Int)
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !info.ReadASN1Integer(&version) {
		return fmt.Errorf("%w: TSTInfo", ErrMalformed)
	}
	if version != 1 {
		return fmt.Errorf("%w: TSTInfo version %d", ErrUnsupported, version)
	}
	if !info.ReadASN1ObjectIdentifier(&t.Policy) || !info.ReadASN1(&imprint, cbasn1.SEQUENCE) {
		return fmt.Errorf("%w: TSTInfo policy", ErrMalformed)
	}
	var err error
	if t.Hash, err = readHash(&imprint); err != nil {
		return fmt.Errorf("messageImprint: %w", err)
	}
	if !imprint.ReadASN1Bytes(&t.Imprint, cbasn1.OCTET_STRING) || !imprint.Empty() || len(t.Imprint) != t.Hash.Size() {
		return fmt.Errorf("%w: messageImprint", ErrMalformed)
	}
	if !info.ReadASN1Integer(t.Serial) || !info.ReadASN1(&stamped, cbasn1.GeneralizedTime) {
		return fmt.Errorf("%w: TSTInfo serialNumber or genTime", ErrMalformed)
	}
	if t.Time, err = parseTime(string(stamped)); err != nil {
		return err
	}
	if t.Accuracy, err = readAccuracy(&info); err != nil {
		return err
	}
	var ordering bool
	if info.PeekASN1Tag(cbasn1.BOOLEAN) && !info.ReadASN1Boolean(&ordering) {
		return fmt.Errorf("%w: TSTInfo ordering", ErrMalformed)
	}
	if info.PeekASN1Tag(cbasn1.INTEGER) {
		if t.Nonce = new(big.Int); !info.ReadASN1Integer(t.Nonce) {
			return fmt.Errorf("%w: TSTInfo nonce", ErrMalformed)
		}
	}
	if !info.ReadOptionalASN1(&tsa, nil, explicit(0)) {
		return fmt.Errorf("%w: TSTInfo tsa", ErrMalformed)
	}
	return readExtensions(&info)
}

// parseTime reads a GeneralizedTime in UTC with any fraction of a second (RFC 3161 section 2.4.2).
func parseTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(strings.TrimSuffix(s, "Z"), ".")
	if len(whole) == 14 && strings.HasSuffix(s, "Z") && len(fraction) <= 18 && !strings.ContainsFunc(whole+fraction, func(r rune) bool { return r < '0' || r > '9' }) {
		layout := "20060102150405"
		if fraction != "" {
			fraction = "." + fraction[:min(9, len(fraction))]
			layout += "." + strings.Repeat("0", len(fraction)-1)
		}
		if t, err := time.Parse(layout, whole+fraction); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: TSTInfo genTime", ErrMalformed)
}

// readAccuracy reads Accuracy: seconds, [0] millis and [1] micros, each optional.
func readAccuracy(info *cryptobyte.String) (time.Duration, error) {
	var accuracy cryptobyte.String
	var present bool
	if !info.ReadOptionalASN1(&accuracy, &present, cbasn1.SEQUENCE) {
		return 0, fmt.Errorf("%w: TSTInfo accuracy", ErrMalformed)
	}
	var d time.Duration
	for _, f := range [...]struct {
		tag  cbasn1.Tag
		unit time.Duration
		most int64
	}{{cbasn1.INTEGER, time.Second, 1 << 32}, {cbasn1.Tag(0).ContextSpecific(), time.Millisecond, 999}, {cbasn1.Tag(1).ContextSpecific(), time.Microsecond, 999}} {
		if !accuracy.PeekASN1Tag(f.tag) {
			continue
		}
		var n int64
		if !accuracy.ReadASN1Int64WithTag(&n, f.tag) || n < 0 || n > f.most {
			return 0, fmt.Errorf("%w: TSTInfo accuracy", ErrMalformed)
		}
		d += time.Duration(n) * f.unit
	}
	if present && !accuracy.Empty() {
		return 0, fmt.Errorf("%w: TSTInfo accuracy", ErrMalformed)
	}
	return d, nil
}

// readExtensions reads the end of TSTInfo. None of the extensions changes what a token means, unless it is critical.
func readExtensions(info *cryptobyte.String) error {
	var list cryptobyte.String
	if !info.ReadOptionalASN1(&list, nil, explicit(1)) || !info.Empty() {
		return fmt.Errorf("%w: TSTInfo extensions", ErrMalformed)
	}
	for !list.Empty() {
		var ext, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) ||
			ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return fmt.Errorf("%w: TSTInfo extensions", ErrMalformed)
		}
		if critical {
			return fmt.Errorf("%w: critical extension %v of TSTInfo", ErrUnsupported, oid)
		}
	}
	return nil
}
