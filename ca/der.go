package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// attribute is one RelativeDistinguishedName of a subject.
type attribute struct {
	oid  asn1.ObjectIdentifier
	text string
}

var (
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSurname        = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidSerialNumber   = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountry        = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidOrganization   = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidGivenName      = asn1.ObjectIdentifier{2, 5, 4, 42}
	oidOrganizationID = asn1.ObjectIdentifier{2, 5, 4, 97}

	oidQCStatements  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidQCSyntaxV2    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 11, 2}
	oidQCCompliance  = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
	oidQCRetention   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 3}
	oidQCSSCD        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}
	oidQCPDS         = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 5}
	oidQCType        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	oidQCTypeESign   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 1}
	oidNaturalPerson = asn1.ObjectIdentifier{0, 4, 0, 194121, 1, 1}
	oidLegalPerson   = asn1.ObjectIdentifier{0, 4, 0, 194121, 1, 2}

	oidExpiredCertsOnCRL = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// distinguishedName encodes attributes in order: country and serialNumber as PrintableString, as X.520 defines them,
// the rest as UTF8String. Empty attributes are left away.
func distinguishedName(list []attribute) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(name *cryptobyte.Builder) {
		for _, a := range list {
			if a.text == "" {
				continue
			}
			tag := cbasn1.UTF8String
			if a.oid.Equal(oidCountry) || a.oid.Equal(oidSerialNumber) {
				tag = cbasn1.PrintableString
			}
			name.AddASN1(cbasn1.SET, func(set *cryptobyte.Builder) {
				set.AddASN1(cbasn1.SEQUENCE, func(pair *cryptobyte.Builder) {
					pair.AddASN1ObjectIdentifier(a.oid)
					pair.AddASN1(tag, func(v *cryptobyte.Builder) { v.AddBytes([]byte(a.text)) })
				})
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: subject: %w", ErrRequest, err)
	}
	return der, nil
}

// qcStatements builds the extension of EN 319 412-5 for a natural person's signature certificate: QcCompliance, QcSSCD
// if the key is in a qualified device, QcType esign, QcPDS with English first, QcRetentionPeriod, and the semantics
// identifier of EN 319 412-1 5.1.3; with an organisation that of 5.1.4 too. Never critical.
func qcStatements(cfg Config, organisation bool) (pkix.Extension, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(all *cryptobyte.Builder) {
		add := func(oid asn1.ObjectIdentifier, info func(*cryptobyte.Builder)) {
			all.AddASN1(cbasn1.SEQUENCE, func(s *cryptobyte.Builder) {
				s.AddASN1ObjectIdentifier(oid)
				if info != nil {
					info(s)
				}
			})
		}
		inSequence := func(oid asn1.ObjectIdentifier) func(*cryptobyte.Builder) {
			return func(s *cryptobyte.Builder) {
				s.AddASN1(cbasn1.SEQUENCE, func(in *cryptobyte.Builder) { in.AddASN1ObjectIdentifier(oid) })
			}
		}
		add(oidQCCompliance, nil)
		if cfg.QSCD {
			add(oidQCSSCD, nil)
		}
		add(oidQCType, inSequence(oidQCTypeESign))
		add(oidQCPDS, func(s *cryptobyte.Builder) { disclosures(s, cfg.PDS) })
		add(oidQCRetention, func(s *cryptobyte.Builder) { s.AddASN1Int64(int64(cfg.RetentionYears)) })
		add(oidQCSyntaxV2, inSequence(oidNaturalPerson))
		if organisation {
			add(oidQCSyntaxV2, inSequence(oidLegalPerson))
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("%w: qcStatements: %w", ErrConfig, err)
	}
	return pkix.Extension{Id: oidQCStatements, Value: der}, nil
}

// disclosures writes PdsLocations, SEQUENCE OF SEQUENCE { url IA5String, language PrintableString }.
func disclosures(b *cryptobyte.Builder, pds map[string]string) {
	languages := slices.SortedFunc(maps.Keys(pds), func(x, y string) int {
		return strings.Compare(strings.Replace(x, "en", "", 1), strings.Replace(y, "en", "", 1))
	})
	b.AddASN1(cbasn1.SEQUENCE, func(all *cryptobyte.Builder) {
		for _, language := range languages {
			all.AddASN1(cbasn1.SEQUENCE, func(one *cryptobyte.Builder) {
				one.AddASN1(cbasn1.IA5String, func(v *cryptobyte.Builder) { v.AddBytes([]byte(pds[language])) })
				one.AddASN1(cbasn1.PrintableString, func(v *cryptobyte.Builder) { v.AddBytes([]byte(language)) })
			})
		}
	})
}

// signed wraps to-be-signed bytes, an algorithm and a signature: the outer SEQUENCE of RFC 5280 4.1.1 and 5.1.1.
func signed(tbs []byte, algorithm x509.SignatureAlgorithm, signature []byte) ([]byte, error) {
	oid := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2} // ecdsa-with-SHA256
	if algorithm == x509.ECDSAWithSHA384 {
		oid = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(outer *cryptobyte.Builder) {
		outer.AddBytes(tbs)
		// RFC 5758 3.2: the parameters are absent, not NULL.
		outer.AddASN1(cbasn1.SEQUENCE, func(alg *cryptobyte.Builder) { alg.AddASN1ObjectIdentifier(oid) })
		outer.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// subjectKeyID is method 1 of RFC 7093 section 2: the first 160 bits of SHA-256 over the key bits.
func subjectKeyID(spki []byte) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}
