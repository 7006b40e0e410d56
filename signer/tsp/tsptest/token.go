package tsptest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // identifiers of RFC 2634 know no other hash
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidSHA256               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidSHA3                 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 8}
	oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidECDSA                = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidRSA                  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidPSS                  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPadding              = asn1.ObjectIdentifier{2, 999, 3161, 2} // unsigned attribute, and extension of TSTInfo
)

// request is a TimeStampReq (RFC 3161 section 2.4.1).
type request struct {
	algorithm []byte // DER of the imprint's AlgorithmIdentifier, as it came
	imprint   []byte
	policy    asn1.ObjectIdentifier
	nonce     *big.Int
	certReq   bool
}

// Stamp returns a token over a digest, with certificates, without a request on the wire. Faults of the token and of the
// signer apply, and Stall.
func (t *TSA) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	t.requests.Add(1)
	oid, ok := map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidSHA256, crypto.SHA384: oidSHA384, crypto.SHA512: oidSHA512}[h]
	if !ok || len(imprint) != h.Size() {
		return nil, fmt.Errorf("tsptest: no digest of SHA-256, SHA-384 or SHA-512")
	}
	f := t.faults.Load()
	if f.Stall {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.Reject != nil {
		return nil, fmt.Errorf("tsptest: rejected with status %d", f.Reject.Status)
	}
	return t.token(request{algorithm: identifier(oid), imprint: imprint, certReq: true}, f)
}

// token makes a TimeStampToken (RFC 3161 section 2.4.2).
func (t *TSA) token(r request, f *Faults) ([]byte, error) {
	info, err := t.info(r, f)
	if err != nil {
		return nil, err
	}
	unit, err := t.certificate(f.Certificate)
	if err != nil {
		return nil, err
	}
	attrs := t.attributes(info, unit, f)
	digest := sha256.Sum256(attrs)
	algorithm, opts := t.algorithm()
	signature, err := t.key.Sign(t.options.Random, digest[:], opts)
	if err != nil {
		return nil, err
	}
	if f.BadSignature {
		signature[len(signature)-1] ^= 1
	}
	signed := slices.Clone(attrs)
	signed[0] = 0xa0 // [0] IMPLICIT SET OF
	var certificates []byte
	switch {
	case !r.certReq || f.NoCertificates:
	case f.OnlySigner:
		certificates = wrap(0xa0, f.BER, unit.Raw)
	default:
		certificates = wrap(0xa0, f.BER, unit.Raw, t.ca.Certificate.Raw, t.root.Certificate.Raw)
	}
	version, sid := []byte{2, 1, 1}, build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(unit.RawIssuer); b.AddASN1BigInt(unit.SerialNumber) })
	})
	if f.KeyIdentifier {
		version, sid = []byte{2, 1, 3}, wrap(0x80, false, unit.SubjectKeyId)
	}
	signer := [][]byte{version, sid, identifier(oidSHA256), signed, algorithm, wrap(0x04, false, signature)}
	digests := identifier(oidSHA256)
	if f.OtherDigestAlgorithm {
		digests[len(digests)-1] = 2
	}
	assemble := func(padding int) []byte {
		si := wrap(0x30, f.BER, slices.Concat(signer, [][]byte{pad(padding)})...)
		if f.TwoSigners {
			si = append(si, si...)
		}
		content := wrap(0x04, false, info)
		if f.BER {
			content = wrap(0x24, true, wrap(0x04, false, info[:10]), wrap(0x24, false, wrap(0x04, false, info[10:])))
		}
		return wrap(0x30, f.BER, oid(oidSignedData), wrap(0xa0, f.BER, wrap(0x30, f.BER, []byte{2, 1, 3}, wrap(0x31, f.BER, digests),
			wrap(0x30, f.BER, oid(oidTSTInfo), wrap(0xa0, f.BER, content)), certificates, wrap(0x31, f.BER, si))))
	}
	token := assemble(0)
	if len(token) < f.Size {
		token = assemble(f.Size - len(token))
	}
	return token, nil
}

// info makes TSTInfo.
func (t *TSA) info(r request, f *Faults) ([]byte, error) {
	serial, err := t.serial()
	if err != nil {
		return nil, err
	}
	policy, imprint, algorithm, nonce := t.options.Policy, r.imprint, r.algorithm, r.nonce
	if f.OtherPolicy {
		policy = append(slices.Clone(policy), 999)
	}
	if f.OtherImprint {
		imprint = bytes.Repeat([]byte{0xa5}, len(imprint))
	}
	if f.OtherHash {
		algorithm, imprint = identifier(oidSHA3), imprint[:32]
	}
	switch {
	case f.NoNonce:
		nonce = nil
	case f.OtherNonce && nonce != nil:
		nonce = new(big.Int).Xor(nonce, big.NewInt(1))
	}
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1ObjectIdentifier(policy)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(algorithm); b.AddASN1OctetString(imprint) })
			b.AddASN1BigInt(serial)
			b.AddASN1(cbasn1.GeneralizedTime, func(b *cryptobyte.Builder) { b.AddBytes(genTime(t.options.Now().Add(f.Skew))) })
			addAccuracy(b, t.options.Accuracy)
			if nonce != nil {
				b.AddASN1BigInt(nonce)
			}
			if f.Critical {
				b.AddBytes(wrap(0xa1, false, wrap(0x30, false, oid(oidPadding), []byte{1, 1, 0xff}, []byte{4, 0})))
			}
		})
	}), nil
}

// genTime is a GeneralizedTime in UTC with milliseconds, without zeros at the end of the fraction, as DER demands.
func genTime(at time.Time) []byte {
	return []byte(at.UTC().Truncate(time.Millisecond).Format("20060102150405.999") + "Z")
}

func addAccuracy(b *cryptobyte.Builder, d time.Duration) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s := int64(d / time.Second); s > 0 {
			b.AddASN1Int64(s)
		}
		for i, n := range []int64{int64(d / time.Millisecond % 1000), int64(d / time.Microsecond % 1000)} {
			if n > 0 {
				b.AddASN1Int64WithTag(n, cbasn1.Tag(uint8(i)).ContextSpecific()) //nolint:gosec // 0 or 1
			}
		}
	})
}

// attributes returns the signed attributes as DER SET OF.
func (t *TSA) attributes(info []byte, unit *x509.Certificate, f *Faults) []byte {
	digest := sha256.Sum256(info)
	if f.BadDigest {
		digest[0] ^= 1
	}
	attrs := [][]byte{
		attribute(oidContentType, oid(oidTSTInfo)),
		attribute(oidMessageDigest, wrap(0x04, false, digest[:])),
	}
	named := unit.Raw
	if f.OtherSigningCertificate {
		named = t.ca.Certificate.Raw
	}
	var issuerSerial []byte
	if f.IssuerSerial || f.OtherIssuer {
		issuer := unit.RawIssuer
		if f.OtherIssuer {
			issuer = t.root.Certificate.RawSubject
		}
		serial := build(func(b *cryptobyte.Builder) { b.AddASN1BigInt(unit.SerialNumber) })
		issuerSerial = wrap(0x30, false, wrap(0x30, false, wrap(0xa4, false, issuer)), serial)
	}
	names := func(id []byte) []byte {
		return wrap(0x30, false, wrap(0x30, false, wrap(0x30, false, wrap(0x04, false, id), issuerSerial)))
	}
	switch {
	case f.NoSigningCertificate:
	case f.SigningCertificateV1:
		id := sha1.Sum(named) //nolint:gosec // as above
		attrs = append(attrs, attribute(oidSigningCertificate, names(id[:])))
	default:
		id := sha256.Sum256(named)
		attrs = append(attrs, attribute(oidSigningCertificateV2, names(id[:])))
	}
	slices.SortFunc(attrs, bytes.Compare)
	return wrap(0x31, false, attrs...)
}

func (t *TSA) algorithm() (der []byte, opts crypto.SignerOpts) {
	null := []byte{5, 0}
	switch t.options.Key {
	case P256:
		return identifier(oidECDSA), crypto.SHA256
	case RSA3072PSS:
		hash := wrap(0x30, false, oid(oidSHA256), null)
		params := wrap(0x30, false, wrap(0xa0, false, hash), wrap(0xa1, false, wrap(0x30, false, oid(oidMGF1), hash)), wrap(0xa2, false, []byte{2, 1, 32}))
		return wrap(0x30, false, oid(oidPSS), params), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	default:
		return wrap(0x30, false, oid(oidRSA), null), crypto.SHA256
	}
}

// pad returns unsigned attributes of at least n bytes, or nothing.
func pad(n int) []byte {
	if n <= 0 {
		return nil
	}
	return wrap(0xa1, false, attribute(oidPadding, wrap(0x04, false, make([]byte, n))))
}

func attribute(name asn1.ObjectIdentifier, value []byte) []byte {
	return wrap(0x30, false, oid(name), wrap(0x31, false, value))
}

// identifier is an AlgorithmIdentifier without parameters.
func identifier(name asn1.ObjectIdentifier) []byte { return wrap(0x30, false, oid(name)) }

func oid(o asn1.ObjectIdentifier) []byte {
	return build(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(o) })
}

func build(f cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic() // inputs are checked or our own
}

// wrap encodes an element with a tag of one octet; ber: of indefinite length.
func wrap(tag byte, ber bool, parts ...[]byte) []byte {
	contents := slices.Concat(parts...)
	out := []byte{tag}
	switch n := len(contents); {
	case ber:
		return slices.Concat(out, []byte{0x80}, contents, []byte{0, 0})
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		if n < 0x1000000 {
			out = []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
		}
	}
	return append(out, contents...)
}
