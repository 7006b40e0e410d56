package status

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func malformed(place string) error { return fmt.Errorf("%w: %s", ErrMalformed, place) }

func explicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }

func implicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }

// readTime reads a UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 has it.
func readTime(s *cryptobyte.String) (t time.Time, ok bool) {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		ok = s.ReadASN1UTCTime(&t)
		return t, ok
	}
	return readGeneralized(s)
}

// readGeneralized reads a GeneralizedTime; fractions of a second, which RFC 6960 section 4.2.2.1 forbids and some
// responders send, are cut off.
func readGeneralized(s *cryptobyte.String) (t time.Time, ok bool) {
	var body cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.GeneralizedTime) {
		return t, false
	}
	text := string(body)
	if i := bytes.IndexByte(body, '.'); i == 14 && len(body) > 16 && len(body) < 26 && body[len(body)-1] == 'Z' {
		for _, c := range body[15 : len(body)-1] {
			if c < '0' || c > '9' {
				return t, false
			}
		}
		text = text[:14] + "Z"
	}
	t, err := time.Parse("20060102150405Z", text)
	return t, err == nil && len(text) == 15
}

// readExtensions reads Extensions, a SEQUENCE; each kind at most once.
func readExtensions(s *cryptobyte.String) (list []pkix.Extension, ok bool) {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return nil, false
	}
	for !seq.Empty() {
		var one, value cryptobyte.String
		var e pkix.Extension
		if !seq.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&e.Id) {
			return nil, false
		}
		if one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&e.Critical) {
			return nil, false
		}
		if !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() || len(list) >= 64 {
			return nil, false
		}
		e.Value = value
		for _, before := range list {
			if before.Id.Equal(e.Id) {
				return nil, false
			}
		}
		list = append(list, e)
	}
	return list, true
}

func find(list []pkix.Extension, id asn1.ObjectIdentifier) *pkix.Extension {
	for i := range list {
		if list[i].Id.Equal(id) {
			return &list[i]
		}
	}
	return nil
}

// readInteger returns the content octets of an INTEGER, which name a serial number, without a copy.
func readInteger(s *cryptobyte.String) (content []byte, ok bool) {
	var body cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.INTEGER) || len(body) == 0 || len(body) > 64 {
		return nil, false
	}
	return body, true
}

// octets returns the content octets of a serial number as an INTEGER.
func octets(n *big.Int) []byte {
	der, err := asn1.Marshal(n)
	if err != nil {
		return nil // cannot be: n comes from a certificate
	}
	var body cryptobyte.String
	s := cryptobyte.String(der)
	s.ReadASN1(&body, cbasn1.INTEGER)
	return body
}

// algorithms are the signatures that are checked. SHA-1 and MD5 are not among them (ETSI TS 119 312).
func algorithms() []struct {
	id   asn1.ObjectIdentifier
	algo x509.SignatureAlgorithm
} {
	return []struct {
		id   asn1.ObjectIdentifier
		algo x509.SignatureAlgorithm
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, x509.SHA256WithRSA},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, x509.SHA384WithRSA},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, x509.SHA512WithRSA},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, x509.ECDSAWithSHA256},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, x509.ECDSAWithSHA384},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, x509.ECDSAWithSHA512},
		{asn1.ObjectIdentifier{1, 3, 101, 112}, x509.PureEd25519},
	}
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// algorithm says what an AlgorithmIdentifier, without its SEQUENCE header, means; 0 when it is not known or not allowed.
func algorithm(ai cryptobyte.String) x509.SignatureAlgorithm {
	var id asn1.ObjectIdentifier
	if !ai.ReadASN1ObjectIdentifier(&id) {
		return 0
	}
	if id.Equal(oidPSS) {
		return pss(ai)
	}
	for _, a := range algorithms() {
		if a.id.Equal(id) && (ai.Empty() || bytes.Equal(ai, asn1.NullBytes)) {
			return a.algo
		}
	}
	return 0
}

// pss takes RSASSA-PSS with one hash throughout and a salt as long as that (RFC 4055 section 3.1).
func pss(params cryptobyte.String) x509.SignatureAlgorithm {
	var p struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt    int                      `asn1:"explicit,tag:2"`
		Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
	}
	var mgf pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(params, &p); err != nil || len(rest) > 0 || p.Trailer != 1 || !p.MGF.Algorithm.Equal(oidMGF1) {
		return 0
	}
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &mgf); err != nil || len(rest) > 0 || !mgf.Algorithm.Equal(p.Hash.Algorithm) {
		return 0
	}
	for i, algo := range []x509.SignatureAlgorithm{x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS} {
		if p.Hash.Algorithm.Equal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, i + 1}) && p.Salt == 32+16*i {
			return algo
		}
	}
	return 0
}
