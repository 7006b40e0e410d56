package signer

import (
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// scheme returns the wanted scheme if the key allows it, and the key's default where none is wanted.
func (u usable) scheme(wanted credential.Scheme) (credential.Scheme, error) {
	offered := u.binding.Algorithm.Schemes()
	if wanted == "" {
		return offered[0], nil // a binding has a known algorithm, or it cannot be decoded
	}
	if !slices.Contains(offered, wanted) {
		return "", &FieldError{"algorithm", fmt.Sprintf("the credential's key is %s; use one of %q", u.binding.Algorithm, offered), ErrInput}
	}
	return wanted, nil
}

// fits holds every given hash to the length of those that the scheme signs.
func (c CreateRequest) fits() error {
	for i, it := range c.Items {
		if it.Document == "" && len(it.Hash) != c.Algorithm.DigestSize() {
			return &FieldError{fmt.Sprintf("items[%d].hash", i), fmt.Sprintf("%s signs %v hashes of %d bytes, got %d",
				c.Algorithm, c.Algorithm.Hash(), c.Algorithm.DigestSize(), len(it.Hash)), ErrInput}
		}
	}
	return nil
}

// algorithmOf is a scheme as CMS names it; none for one that is unknown.
func algorithmOf(s credential.Scheme) cades.Algorithm {
	switch s {
	case credential.ECDSASHA256:
		return cades.ECDSAWithSHA256
	case credential.ECDSASHA384:
		return cades.ECDSAWithSHA384
	case credential.PSSSHA256:
		return cades.PSSWithSHA256
	case credential.PSSSHA384:
		return cades.PSSWithSHA384
	case credential.PSSSHA512:
		return cades.PSSWithSHA512
	case credential.PKCS1SHA256:
		return cades.RSAWithSHA256
	case credential.PKCS1SHA384:
		return cades.RSAWithSHA384
	case credential.PKCS1SHA512:
		return cades.RSAWithSHA512
	}
	return 0
}
