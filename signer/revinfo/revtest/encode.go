package revtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // names of issuers and responders, not signatures
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 behind crypto.Hash
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"
)

var (
	oidNoCheck   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidBasic     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidCRLNumber = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidAKI       = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidReason    = asn1.ObjectIdentifier{2, 5, 29, 21}
)

func (k Key) algorithm() x509.SignatureAlgorithm {
	return [...]x509.SignatureAlgorithm{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.SHA256WithRSA, x509.SHA256WithRSAPSS}[k]
}

// identifier returns the AlgorithmIdentifier in DER.
func (k Key) identifier() []byte {
	oid := [...]asn1.ObjectIdentifier{{1, 2, 840, 10045, 4, 3, 2}, {1, 2, 840, 10045, 4, 3, 3}, {1, 2, 840, 113549, 1, 1, 11}, {1, 2, 840, 113549, 1, 1, 10}}[k]
	switch k {
	case RSA:
		return must(pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue})
	case RSAPSS:
		hash := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
		mgf := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, Parameters: asn1.RawValue{FullBytes: must(hash)}}
		return must(pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: sequence(tagged(0, must(hash)), tagged(1, must(mgf)), tagged(2, must(32)))}})
	}
	return must(pkix.AlgorithmIdentifier{Algorithm: oid})
}

// signed wraps to-be-signed bytes with the algorithm and a signature, and what follows.
func (k Key) signed(random io.Reader, tbs []byte, key crypto.Signer, more ...[]byte) ([]byte, error) {
	var opts crypto.SignerOpts = crypto.SHA256
	if k == P384 {
		opts = crypto.SHA384
	}
	if k == RSAPSS {
		opts = &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	}
	h := opts.HashFunc().New()
	h.Write(tbs)
	signature, err := key.Sign(random, h.Sum(nil), opts)
	if err != nil {
		return nil, fmt.Errorf("revtest: %w", err)
	}
	parts := append([][]byte{tbs, k.identifier(), must(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})}, more...)
	return sequence(parts...), nil
}

// kindOf guesses how a key signs, for keys that did not come from newKey.
func kindOf(key crypto.Signer) Key {
	if k, ok := key.Public().(*ecdsa.PublicKey); ok {
		if k.Curve.Params().BitSize == 384 {
			return P384
		}
		return P256
	}
	return RSA
}

func subjectKey(c *x509.Certificate) []byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil {
		panic(err) // crypto/x509 parsed it already
	}
	return info.Key.RightAlign()
}

func digest(h crypto.Hash, b []byte) []byte {
	if h == crypto.SHA256 {
		d := sha256.Sum256(b)
		return d[:]
	}
	d := sha1.Sum(b)
	return d[:]
}

// must encodes a value of which it is known that it can be.
func must(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}

func value(class, tag int, compound bool, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	return must(asn1.RawValue{Class: class, Tag: tag, IsCompound: compound, Bytes: content})
}

func sequence(parts ...[]byte) []byte {
	return value(asn1.ClassUniversal, asn1.TagSequence, true, parts...)
}

func tagged(tag int, parts ...[]byte) []byte {
	return value(asn1.ClassContextSpecific, tag, true, parts...)
}

func generalized(t time.Time) []byte {
	return value(asn1.ClassUniversal, asn1.TagGeneralizedTime, false, []byte(t.UTC().Format("20060102150405Z")))
}

// crlTime is UTCTime up to 2049 (RFC 5280 section 5.1.2.4).
func crlTime(t time.Time) []byte {
	if t.UTC().Year() >= 2050 {
		return generalized(t)
	}
	return value(asn1.ClassUniversal, asn1.TagUTCTime, false, []byte(t.UTC().Format("060102150405Z")))
}

func extensions(list []pkix.Extension) []byte {
	var parts [][]byte
	for _, e := range list {
		parts = append(parts, must(e))
	}
	return sequence(parts...)
}

func enumerated(n int) []byte { return must(asn1.Enumerated(n)) }

func integer(n *big.Int) []byte { return must(n) }
