package cades

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Commitment types (EN 319 122-1 clause 5.2.3, defined in TS 119 172-1 annex B).
var (
	ProofOfOrigin   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 1}
	ProofOfReceipt  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 2}
	ProofOfDelivery = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 3}
	ProofOfSender   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 4}
	ProofOfApproval = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 5}
	ProofOfCreation = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 6, 6}
)

// Policy is a signature policy that the signature is made under (signature-policy-identifier, EN 319 122-1 clause 5.2.9).
type Policy struct {
	ID     asn1.ObjectIdentifier
	Hash   crypto.Hash // SHA-256, SHA-384 or SHA-512
	Digest []byte      // of the policy document, as the policy says how, with Hash
	URI    string      // where the document is, ASCII; empty: not said
}

var (
	oidCommitmentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 16}
	oidSignaturePolicy  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 15}
	oidPolicyURI        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 5, 1}
	oidSignerAttributes = asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 1} // signer-attributes-v2
	oidName             = asn1.ObjectIdentifier{2, 5, 4, 41}
)

// maxText bounds a claimed role, a description and an address, in bytes.
const maxText = 1024

// maxRoles bounds the claimed roles.
const maxRoles = 16

func (a Attributes) checkOptions(p Profile) error {
	if p == PAdES && a.ContentDescription != "" {
		// EN 319 142-1 clause 6.3: content-hints shall not be used.
		return fmt.Errorf("%w: PAdES forbids content-hints", ErrInput)
	}
	if len(a.ClaimedRoles) > maxRoles {
		return fmt.Errorf("%w: more than %d claimed roles", ErrInput, maxRoles)
	}
	for _, text := range append([]string{a.ContentDescription}, a.ClaimedRoles...) {
		if !utf8.ValidString(text) || len(text) > maxText {
			return fmt.Errorf("%w: a text is not UTF-8 of at most %d bytes", ErrInput, maxText)
		}
	}
	for _, role := range a.ClaimedRoles {
		if role == "" {
			return fmt.Errorf("%w: an empty role", ErrInput)
		}
	}
	if !validOID(a.CommitmentType) || a.Policy != nil && (!validOID(a.Policy.ID) || len(a.Policy.ID) == 0) {
		return fmt.Errorf("%w: no object identifier", ErrInput)
	}
	if a.Policy == nil {
		return nil
	}
	if HashIdentifier(a.Policy.Hash) == nil || len(a.Policy.Digest) != a.Policy.Hash.Size() {
		return fmt.Errorf("%w: digest of the signature policy", ErrInput)
	}
	for _, c := range []byte(a.Policy.URI) {
		if c <= ' ' || c > '~' || len(a.Policy.URI) > maxText {
			return fmt.Errorf("%w: address of the signature policy", ErrInput)
		}
	}
	return nil
}

func validOID(oid asn1.ObjectIdentifier) bool {
	var b cryptobyte.Builder
	if len(oid) > 0 {
		b.AddASN1ObjectIdentifier(oid)
	}
	_, err := b.Bytes()
	return err == nil && len(oid) <= 32
}

// optional returns the attributes that a asks for beyond those that every signature has.
func (a Attributes) optional() (attrs [][]byte) {
	if a.CommitmentType != nil {
		attrs = append(attrs, attribute(oidCommitmentType, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(a.CommitmentType) })
		}))
	}
	if len(a.ClaimedRoles) > 0 {
		attrs = append(attrs, attribute(oidSignerAttributes, a.addRoles))
	}
	if a.Policy != nil {
		attrs = append(attrs, attribute(oidSignaturePolicy, a.Policy.add))
	}
	if a.ContentDescription != "" {
		attrs = append(attrs, attribute(oidContentHints, func(b *cryptobyte.Builder) { // RFC 2634 section 2.9
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addUTF8(b, a.ContentDescription)
				b.AddASN1ObjectIdentifier(oidData)
			})
		}))
	}
	if a.MIMEType != "" {
		attrs = append(attrs, attribute(oidMIMEType, func(b *cryptobyte.Builder) { addUTF8(b, a.MIMEType) }))
	}
	return attrs
}

// addRoles encodes SignerAttributeV2 with claimedAttributes (EN 319 122-1 clause 5.2.6.1): one attribute a role, of the
// type name, as validators expect a role that is only text.
func (a Attributes) addRoles(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, role := range a.ClaimedRoles {
					b.AddBytes(attribute(oidName, func(b *cryptobyte.Builder) { addUTF8(b, role) }))
				}
			})
		})
	})
}

// add encodes SignaturePolicyId.
func (p *Policy) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(p.ID)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // OtherHashAlgAndValue
			b.AddBytes(HashIdentifier(p.Hash))
			b.AddASN1OctetString(p.Digest)
		})
		if p.URI == "" {
			return
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SigPolicyQualifierInfo
				b.AddASN1ObjectIdentifier(oidPolicyURI)
				b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.URI)) })
			})
		})
	})
}

func addUTF8(b *cryptobyte.Builder, text string) {
	b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}
