package server

import (
	"crypto"
	"encoding/asn1"
	"strconv"
	"strings"

	"github.com/ecsigner/ecsigner/augment"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
)

// level of an unspecified one is 0, which the use cases read as they say.
func level(l pb.SignatureLevel) cades.Level {
	switch l {
	case pb.SignatureLevel_SIGNATURE_LEVEL_B_B:
		return cades.LevelBB
	case pb.SignatureLevel_SIGNATURE_LEVEL_B_T:
		return cades.LevelBT
	case pb.SignatureLevel_SIGNATURE_LEVEL_B_LT:
		return cades.LevelBLT
	case pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA:
		return cades.LevelBLTA
	}
	return 0
}

func levelOf(l cades.Level) pb.SignatureLevel {
	return word[pb.SignatureLevel](pb.SignatureLevel_value, "SIGNATURE_LEVEL_", l.String())
}

func progressOf(p augment.Progress) *pb.LevelProgress {
	out := &pb.LevelProgress{Level: levelOf(p.Level), State: pb.LevelState_LEVEL_STATE_PENDING}
	switch {
	case p.Ready:
		out.State, out.ArtifactSizeBytes, out.Sha256, out.LogIndex = pb.LevelState_LEVEL_STATE_READY, p.Size, p.SHA256, p.Index
		return out
	case p.Ended:
		out.State = pb.LevelState_LEVEL_STATE_GIVEN_UP
	default:
		out.NextAttemptTime = timestamp(p.Next)
	}
	out.Reason = string(p.Reason)
	return out
}

// options of a signature; the rules of the interface hold already.
func options(o *pb.SignatureOptions) signer.Options {
	out := signer.Options{
		Reason: o.GetReason(), Location: o.GetLocation(), Contact: o.GetContact(), FieldName: o.GetFieldName(),
		Certify: sigfield.Certification(o.GetCertification()), Visible: appearanceOf(o.GetAppearance()), //nolint:gosec // 0 to 3
		Typeface: o.GetAppearance().GetTypeface(),
		Commit:   commitment(o.GetCommitmentType()), Roles: o.GetClaimedRoles(), MIMEType: o.GetMimeType(),
	}
	if p := o.GetPolicy(); p != nil {
		out.Policy = &cades.Policy{ID: identifier(p.GetOid()), Hash: crypto.SHA256, Digest: p.GetSha256(), URI: p.GetUri()}
	}
	return out
}

// identifier reads one that was checked to consist of numbers and dots.
func identifier(text string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for _, arc := range strings.Split(text, ".") {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil {
			return nil // which the formats refuse
		}
		oid = append(oid, int(n))
	}
	return oid
}

func commitment(c pb.CommitmentType) asn1.ObjectIdentifier {
	switch c {
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_ORIGIN:
		return cades.ProofOfOrigin
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_RECEIPT:
		return cades.ProofOfReceipt
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_DELIVERY:
		return cades.ProofOfDelivery
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_SENDER:
		return cades.ProofOfSender
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_APPROVAL:
		return cades.ProofOfApproval
	case pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_CREATION:
		return cades.ProofOfCreation
	}
	return nil
}

func digestAlgorithm(a pb.DigestAlgorithm) crypto.Hash {
	switch a {
	case pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA384:
		return crypto.SHA384
	case pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA512:
		return crypto.SHA512
	}
	return crypto.SHA256
}
