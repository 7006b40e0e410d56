package cades

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxChain bounds the certificates put into one signature: a chain from an EU or Ukrainian trusted list has 2 to 4.
const maxChain = 16

// Parts is everything a signature consists of but its content.
type Parts struct {
	SignedAttributes []byte    // from SignedAttributes, DER SET OF
	Signature        []byte    // over the digest of SignedAttributes; ECDSA: DER SEQUENCE of r and s
	Algorithm        Algorithm // of Signature
	Chain            [][]byte  // certificates in DER, the signer's first; all of them are embedded
	Parsed           *Chain    // of Chain, for whoever signs much with it; nil: it is parsed each time
}

// Chain is a parsed chain of certificates. It never changes.
type Chain struct {
	der  [][]byte
	leaf *x509.Certificate
}

// ParseChain reads certificates in DER, the signer's first. Errors wrap ErrInput.
func ParseChain(der [][]byte) (*Chain, error) {
	if len(der) == 0 || len(der) > maxChain {
		return nil, fmt.Errorf("%w: %d certificates, 1 to %d are needed", ErrInput, len(der), maxChain)
	}
	chain := &Chain{}
	for i, d := range der {
		c, err := x509.ParseCertificate(bytes.Clone(d))
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d of the chain: %w", ErrInput, i, err)
		}
		if i == 0 {
			chain.leaf = c
		}
		chain.der = append(chain.der, c.Raw)
	}
	return chain, nil
}

// Leaf returns the signer's certificate, which must not be changed.
func (c *Chain) Leaf() *x509.Certificate { return c.leaf }

// Assemble encodes ContentInfo with SignedData (RFC 5652 section 5): version 1, no eContent, one SignerInfo named by
// issuer and serial number. It verifies the signature value first and returns ErrSignature when it does not fit: what
// an HSM returns is not trusted blindly. Other errors wrap ErrInput.
func Assemble(p Parts) ([]byte, error) {
	leaf, err := p.leaf()
	if err != nil {
		return nil, err
	}
	if err := p.Algorithm.Verify(leaf.PublicKey, digest(p.Algorithm.Hash(), p.SignedAttributes), p.Signature); err != nil {
		return nil, err
	}
	return p.encode(leaf)
}

// MaxSize returns the greatest number of bytes that Assemble can need for p, whatever the signature value will be;
// p.Signature is ignored. It is known before anything is signed.
func MaxSize(p Parts) (int, error) {
	leaf, err := p.leaf()
	if err != nil {
		return 0, err
	}
	p.Signature = make([]byte, p.Algorithm.signatureSize(leaf.PublicKey))
	der, err := p.encode(leaf)
	return len(der), err
}

// leaf checks all but the signature and returns the signer's certificate.
func (p Parts) leaf() (*x509.Certificate, error) {
	chain := p.Parsed
	if chain == nil {
		var err error
		if chain, err = ParseChain(p.Chain); err != nil {
			return nil, err
		}
	} else if !slices.EqualFunc(chain.der, p.Chain, bytes.Equal) {
		return nil, fmt.Errorf("%w: another chain was parsed", ErrInput)
	}
	leaf := chain.leaf
	if err := p.Algorithm.fits(leaf.PublicKey); err != nil {
		return nil, err
	}
	a, err := ParseSigned(p.SignedAttributes)
	if err != nil {
		return nil, fmt.Errorf("%w: signed attributes: %w", ErrInput, err)
	}
	if !a.NamesCertificate(p.Chain[0]) || len(a.MessageDigest) != p.Algorithm.Hash().Size() {
		return nil, fmt.Errorf("%w: signed attributes are of another certificate or algorithm", ErrInput)
	}
	return leaf, nil
}

// behindContent encodes what follows encapContentInfo: certificates and signerInfos.
func (p Parts) behindContent(leaf *x509.Certificate) ([]byte, error) {
	chain := slices.Clone(p.Chain)
	slices.SortFunc(chain, bytes.Compare)
	certificates, err := setOf(cbasn1.Tag(0).ContextSpecific().Constructed(), slices.CompactFunc(chain, bytes.Equal))
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(certificates)
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { p.addSignerInfo(b, leaf) })
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return der, nil
}

func (p Parts) encode(leaf *x509.Certificate) ([]byte, error) {
	tail, err := p.behindContent(leaf)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ContentInfo
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SignedData
				b.AddASN1Int64(1)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(p.Algorithm.digestIdentifier()) })
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
				b.AddBytes(tail)
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return der, nil
}

func (p Parts) addSignerInfo(b *cryptobyte.Builder, leaf *x509.Certificate) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // IssuerAndSerialNumber
			b.AddBytes(leaf.RawIssuer)
			b.AddASN1BigInt(leaf.SerialNumber)
		})
		b.AddBytes(p.Algorithm.digestIdentifier())
		// The same bytes as signed, but for the tag: [0] IMPLICIT instead of SET OF (RFC 5652 section 5.4).
		b.AddUint8(uint8(cbasn1.Tag(0).ContextSpecific().Constructed()))
		b.AddBytes(p.SignedAttributes[1:])
		b.AddBytes(p.Algorithm.signatureIdentifier())
		b.AddASN1OctetString(p.Signature)
	})
}
