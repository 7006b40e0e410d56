package pades

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/signer/cades"
)

// claims are the optional signed attributes. They are part of the state, so that its signed attributes can be computed
// again from what they shall say.
type claims struct {
	commitment asn1.ObjectIdentifier
	roles      []string
	policy     *cades.Policy
}

func (o Options) claims() claims {
	c := claims{commitment: slices.Clone(o.CommitmentType), roles: slices.Clone(o.ClaimedRoles)}
	if o.Policy != nil {
		p := *o.Policy
		p.ID, p.Digest = slices.Clone(p.ID), slices.Clone(p.Digest)
		c.policy = &p
	}
	return c
}

func (c claims) none() bool { return len(c.commitment) == 0 && len(c.roles) == 0 && c.policy == nil }

func (c claims) attributes(certificate, digest []byte, alg cades.Algorithm) cades.Attributes {
	return cades.Attributes{
		Certificate: certificate, ContentDigest: digest, Algorithm: alg,
		CommitmentType: c.commitment, ClaimedRoles: c.roles, Policy: c.policy,
	}
}

// appendTo encodes c: the commitment type as DER, the number of roles (1 byte), the roles, and of the policy its
// identifier as DER, empty if there is none, its hash (1 byte, crypto.Hash), digest and address. Each but the counts
// stands after its length (4).
func (c claims) appendTo(b []byte) ([]byte, error) {
	commitment, err := marshalOID(c.commitment)
	if err != nil {
		return nil, err
	}
	b = appendField(b, commitment)
	b = append(b, byte(len(c.roles)))
	for _, r := range c.roles {
		b = appendField(b, []byte(r))
	}
	if c.policy == nil {
		return appendField(b, nil), nil
	}
	id, err := marshalOID(c.policy.ID)
	if err != nil {
		return nil, err
	}
	b = append(appendField(b, id), byte(c.policy.Hash))
	return appendField(appendField(b, c.policy.Digest), []byte(c.policy.URI)), nil
}

func marshalOID(oid asn1.ObjectIdentifier) ([]byte, error) {
	if len(oid) == 0 {
		return nil, nil
	}
	der, err := asn1.Marshal(oid)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return der, nil
}

// claims reads what appendTo wrote.
func (s *stateReader) claims() (c claims, err error) {
	if c.commitment, err = s.oid(); err != nil {
		return c, err
	}
	for range s.take(1)[0] {
		c.roles = append(c.roles, string(s.field()))
	}
	id, err := s.oid()
	if err != nil || id == nil {
		return c, err
	}
	c.policy = &cades.Policy{ID: id, Hash: crypto.Hash(s.take(1)[0]), Digest: s.field()}
	c.policy.URI = string(s.field())
	return c, nil
}

func (s *stateReader) oid() (asn1.ObjectIdentifier, error) {
	der := s.field()
	if len(der) == 0 {
		return nil, nil
	}
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(der, &oid); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: object identifier", ErrState)
	}
	return oid, nil
}
