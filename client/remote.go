package client

import (
	"context"
	"crypto"
	"encoding/asn1"
	"fmt"
	"strings"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Services returns time-stamps and revocation data from the engine, for raising any file that stays here:
//
//	tail, err := longterm.Augment(ctx, file, size, cades.LevelBLTA, c.Services(), pdf.Limits{})
func (c *Client) Services() cades.Services {
	return cades.Services{Stamper: remote{c}, Prover: remote{c}, Hash: crypto.SHA256, Now: c.now}
}

// remote asks the engine.
type remote struct{ *Client }

// Stamp implements cades.Stamper.
func (r remote) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	algorithms := map[crypto.Hash]pb.DigestAlgorithm{
		crypto.SHA256: pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA256, crypto.SHA384: pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA384,
		crypto.SHA512: pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA512,
	}
	a, err := r.augmentation.StampDigest(ctx, &pb.StampDigestRequest{
		RequestId: requestID(), CredentialId: r.credential, Algorithm: algorithms[h], Digest: imprint,
	})
	return a.GetToken(), err
}

// Collect implements cades.Prover.
func (r remote) Collect(ctx context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	if len(known) > maxKnown {
		known = known[:maxKnown]
	}
	a, err := r.augmentation.CollectEvidence(ctx, &pb.CollectEvidenceRequest{
		CredentialId: r.credential, Certificate: leaf, Known: known, AtTime: timestamppb.New(at),
	})
	return revinfo.Evidence{Certificates: a.GetCertificates(), CRLs: a.GetCrls(), OCSPs: a.GetOcsps()}, err
}

// maxKnown is how many further certificates one question may bring.
const maxKnown = 64

// algorithm is an algorithm as CMS names it.
func algorithm(a pb.SignatureAlgorithm) cades.Algorithm {
	switch a {
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256:
		return cades.ECDSAWithSHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA384:
		return cades.ECDSAWithSHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256:
		return cades.PSSWithSHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA384:
		return cades.PSSWithSHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA512:
		return cades.PSSWithSHA512
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256:
		return cades.RSAWithSHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA384:
		return cades.RSAWithSHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA512:
		return cades.RSAWithSHA512
	}
	return 0
}

// hashed asks for a signature over a digest. That of SHA-256 stands where engines look for it that know no other.
func hashed(digest []byte) *pb.SigningItemRequest {
	if len(digest) == crypto.SHA256.Size() {
		return &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Sha256{Sha256: digest}}
	}
	return &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Digest{Digest: digest}}
}

func levelOf(l cades.Level) pb.SignatureLevel {
	if l < cades.LevelBT {
		return pb.SignatureLevel_SIGNATURE_LEVEL_B_B
	}
	return pb.SignatureLevel_SIGNATURE_LEVEL_B_T
}

// optionsOf are the options that stand in the signed attributes, which both sides make; the others stay in the file.
func optionsOf(o pades.Options) *pb.SignatureOptions {
	out := &pb.SignatureOptions{ClaimedRoles: o.ClaimedRoles}
	for value, oid := range map[pb.CommitmentType]asn1.ObjectIdentifier{
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_ORIGIN:   cades.ProofOfOrigin,
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_RECEIPT:  cades.ProofOfReceipt,
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_DELIVERY: cades.ProofOfDelivery,
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_SENDER:   cades.ProofOfSender,
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_APPROVAL: cades.ProofOfApproval,
		pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_CREATION: cades.ProofOfCreation,
	} {
		if oid.Equal(o.CommitmentType) {
			out.CommitmentType = value
		}
	}
	if p := o.Policy; p != nil {
		var arcs []string
		for _, arc := range p.ID {
			arcs = append(arcs, fmt.Sprint(arc))
		}
		out.Policy = &pb.SignaturePolicy{Oid: strings.Join(arcs, "."), Sha256: p.Digest, Uri: p.URI}
	}
	return out
}
