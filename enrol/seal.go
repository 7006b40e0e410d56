package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// SealKey is the service's own key, with which it seals agreements that persons accepted.
type SealKey struct {
	Signer crypto.Signer // EC P-256 or P-384
	Chain  [][]byte      // DER: the seal certificate, that of the Authority, which issued it, and those above, the root last
}

// algorithm pairs the key with the hash of its strength.
func (k SealKey) algorithm() (cades.Algorithm, error) {
	if key, ok := k.Signer.Public().(*ecdsa.PublicKey); ok {
		switch key.Curve {
		case elliptic.P256():
			return cades.ECDSAWithSHA256, nil
		case elliptic.P384():
			return cades.ECDSAWithSHA384, nil
		}
	}
	return 0, errors.New("enrol: the service seal needs an EC key on P-256 or P-384")
}

// above is the chain above what the Authority issues: the seal certificate and those of signatories alike.
func (k SealKey) above() [][]byte { return k.Chain[1:] }

func (k SealKey) check(authority *x509.Certificate) error {
	if k.Signer == nil || len(k.Chain) < 2 || !bytes.Equal(k.Chain[1], authority.Raw) {
		return errors.New("enrol: the service seal needs its key, its certificate, and above that the chain of the authority")
	}
	if _, err := k.algorithm(); err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(k.Chain[0])
	if err != nil {
		return fmt.Errorf("enrol: certificate of the service seal: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(k.Signer.Public())
	if err != nil || !bytes.Equal(public, certificate.RawSubjectPublicKeyInfo) {
		return errors.New("enrol: the certificate of the service seal is not that of its key")
	}
	return nil
}

// sealDocument makes a PAdES B-B signature of the service and returns the bytes to append to the document.
func (s *Service) sealDocument(ctx context.Context, document []byte, now time.Time) ([]byte, error) {
	algorithm, err := s.Seal.algorithm()
	if err != nil {
		return nil, err
	}
	prepared, err := pades.Prepare(ctx, bytes.NewReader(document), int64(len(document)), pades.Options{
		SigningTime: now, Chain: s.Seal.Chain, Algorithm: algorithm,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the seal of the agreement: %w", err)
	}
	signature, err := s.Seal.Signer.Sign(s.Rand, prepared.DTBSR(), algorithm.Hash())
	if err != nil {
		return nil, fmt.Errorf("sealing the agreement: %w", err)
	}
	tail, err := prepared.Embed(signature)
	if err != nil {
		return nil, fmt.Errorf("sealing the agreement: %w", err)
	}
	finished := append(bytes.Clone(document), tail...)
	if err := prepared.Check(ctx, bytes.NewReader(finished), int64(len(finished))); err != nil {
		return nil, fmt.Errorf("checking the sealed agreement: %w", err)
	}
	return tail, nil
}
