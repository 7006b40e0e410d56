package server

import (
	"strings"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
)

// word turns a word of the use cases into a value of the proto: "signed" into SIGNING_STATE_SIGNED. A word that the
// proto does not know becomes the unspecified value.
func word[E ~int32](values map[string]int32, prefix, text string) E {
	return E(values[prefix+strings.ToUpper(strings.ReplaceAll(text, "-", "_"))])
}

func stateOf(s enrol.State) pb.EnrolmentState {
	return word[pb.EnrolmentState](pb.EnrolmentState_value, "ENROLMENT_STATE_", string(s))
}

func actionOf(a enrol.Action) pb.EnrolmentAction {
	return word[pb.EnrolmentAction](pb.EnrolmentAction_value, "ENROLMENT_ACTION_", string(a))
}

func outcomeOf(o enrol.Outcome) pb.IdentityOutcome {
	return word[pb.IdentityOutcome](pb.IdentityOutcome_value, "IDENTITY_OUTCOME_", string(o))
}

func proofingReasonOf(r enrol.Reason) pb.ProofingReason {
	return word[pb.ProofingReason](pb.ProofingReason_value, "PROOFING_REASON_", string(r))
}

func identifierTypeOf(t string) pb.IdentifierType {
	return word[pb.IdentifierType](pb.IdentifierType_value, "IDENTIFIER_TYPE_", t)
}

func algorithmOf(a credential.Algorithm) pb.KeyAlgorithm {
	switch a {
	case credential.ECDSAP256:
		return pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256
	case credential.ECDSAP384:
		return pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P384_SHA384
	case credential.RSA3072:
		return pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256
	}
	return pb.KeyAlgorithm_KEY_ALGORITHM_UNSPECIFIED
}

func schemeOf(s credential.Scheme) pb.SignatureAlgorithm {
	switch s {
	case credential.ECDSASHA256:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256
	case credential.PSSSHA256:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256
	case credential.PKCS1SHA256:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256
	case credential.ECDSASHA384:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA384
	case credential.PSSSHA384:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA384
	case credential.PSSSHA512:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA512
	case credential.PKCS1SHA384:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA384
	case credential.PKCS1SHA512:
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA512
	}
	return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_UNSPECIFIED
}

func schemesOf(all []credential.Scheme) []pb.SignatureAlgorithm {
	out := make([]pb.SignatureAlgorithm, len(all))
	for i, s := range all {
		out[i] = schemeOf(s)
	}
	return out
}

func statusOf(s credential.Status) pb.CredentialStatus {
	return word[pb.CredentialStatus](pb.CredentialStatus_value, "CREDENTIAL_STATUS_", string(s))
}

func signingStateOf(s signer.State) pb.SigningState {
	return word[pb.SigningState](pb.SigningState_value, "SIGNING_STATE_", string(s))
}

func signingOutcomeOf(o string) pb.SigningOutcome {
	return word[pb.SigningOutcome](pb.SigningOutcome_value, "SIGNING_OUTCOME_", o)
}

func formatOf(f signer.Format) pb.SignatureFormat {
	return word[pb.SignatureFormat](pb.SignatureFormat_value, "SIGNATURE_FORMAT_", string(f))
}

func deliveryOf(s string) pb.Delivery { return word[pb.Delivery](pb.Delivery_value, "DELIVERY_", s) }

// The other direction names each value: what comes from outside becomes nothing but these words, or the empty one,
// which the use cases refuse.

func identifierType(t pb.IdentifierType) string {
	switch t {
	case pb.IdentifierType_IDENTIFIER_TYPE_PNO:
		return "PNO"
	case pb.IdentifierType_IDENTIFIER_TYPE_TIN:
		return "TIN"
	case pb.IdentifierType_IDENTIFIER_TYPE_PAS:
		return "PAS"
	case pb.IdentifierType_IDENTIFIER_TYPE_IDC:
		return "IDC"
	}
	return ""
}

func algorithm(a pb.KeyAlgorithm) credential.Algorithm {
	switch a {
	case pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256:
		return credential.ECDSAP256
	case pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P384_SHA384:
		return credential.ECDSAP384
	case pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256:
		return credential.RSA3072
	}
	return ""
}

// scheme of an unspecified algorithm is the empty one, which is the default of the key.
func scheme(a pb.SignatureAlgorithm) credential.Scheme {
	switch a {
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256:
		return credential.ECDSASHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256:
		return credential.PSSSHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256:
		return credential.PKCS1SHA256
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA384:
		return credential.ECDSASHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA384:
		return credential.PSSSHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA512:
		return credential.PSSSHA512
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA384:
		return credential.PKCS1SHA384
	case pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA512:
		return credential.PKCS1SHA512
	}
	return ""
}

func outcome(o pb.IdentityOutcome) enrol.Outcome {
	switch o {
	case pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE:
		return enrol.Positive
	case pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE:
		return enrol.Negative
	case pb.IdentityOutcome_IDENTITY_OUTCOME_DEFERRED:
		return enrol.Deferred
	}
	return ""
}

// revocationReasonOf turns the name of RFC 5280, such as keyCompromise, into the proto's.
func revocationReasonOf(name string) pb.RevocationReason {
	for _, n := range pb.RevocationReason_value {
		if r := pb.RevocationReason(n); name != "" && revocationReason(r) == name {
			return r
		}
	}
	return pb.RevocationReason_REVOCATION_REASON_UNSPECIFIED
}

func revocationReason(r pb.RevocationReason) string {
	switch r {
	case pb.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE:
		return tenure.ReasonKeyCompromise
	case pb.RevocationReason_REVOCATION_REASON_AFFILIATION_CHANGED:
		return tenure.ReasonAffiliationChanged
	case pb.RevocationReason_REVOCATION_REASON_SUPERSEDED:
		return tenure.ReasonSuperseded
	case pb.RevocationReason_REVOCATION_REASON_CESSATION_OF_OPERATION:
		return tenure.ReasonCessationOfOperation
	case pb.RevocationReason_REVOCATION_REASON_PRIVILEGE_WITHDRAWN:
		return tenure.ReasonPrivilegeWithdrawn
	}
	return ""
}

func format(f pb.SignatureFormat) signer.Format {
	switch f {
	case pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B:
		return signer.PAdESBB
	case pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B:
		return signer.CAdESBB
	case pb.SignatureFormat_SIGNATURE_FORMAT_RAW:
		return signer.Raw
	case pb.SignatureFormat_SIGNATURE_FORMAT_PADES_HASH:
		return signer.PAdESHash
	case pb.SignatureFormat_SIGNATURE_FORMAT_CADES_ATTACHED:
		return signer.CAdESAttached
	}
	return ""
}
