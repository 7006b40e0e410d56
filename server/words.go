package server

import (
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
)

// The words of the use cases and of the proto. A word that one side does not know becomes "unspecified" or empty, which
// the other side refuses.

func stateOf(s enrol.State) pb.EnrolmentState {
	switch s {
	case enrol.StateCreated:
		return pb.EnrolmentState_ENROLMENT_STATE_CREATED
	case enrol.StateParameters:
		return pb.EnrolmentState_ENROLMENT_STATE_PARAMETERS
	case enrol.StateData:
		return pb.EnrolmentState_ENROLMENT_STATE_DATA
	case enrol.StatePhone:
		return pb.EnrolmentState_ENROLMENT_STATE_PHONE
	case enrol.StateProofing:
		return pb.EnrolmentState_ENROLMENT_STATE_PROOFING
	case enrol.StateProven:
		return pb.EnrolmentState_ENROLMENT_STATE_PROVEN
	case enrol.StateIssuing:
		return pb.EnrolmentState_ENROLMENT_STATE_ISSUING
	case enrol.StateIssued:
		return pb.EnrolmentState_ENROLMENT_STATE_ISSUED
	case enrol.StateRejected:
		return pb.EnrolmentState_ENROLMENT_STATE_REJECTED
	case enrol.StateCancelled:
		return pb.EnrolmentState_ENROLMENT_STATE_CANCELLED
	}
	return pb.EnrolmentState_ENROLMENT_STATE_UNSPECIFIED
}

func actionOf(a enrol.Action) pb.EnrolmentAction {
	switch a {
	case enrol.ActionSetParameters:
		return pb.EnrolmentAction_ENROLMENT_ACTION_SET_PARAMETERS
	case enrol.ActionSetPersonalData:
		return pb.EnrolmentAction_ENROLMENT_ACTION_SET_PERSONAL_DATA
	case enrol.ActionConfirmPhone:
		return pb.EnrolmentAction_ENROLMENT_ACTION_CONFIRM_PHONE
	case enrol.ActionStartProofing:
		return pb.EnrolmentAction_ENROLMENT_ACTION_START_IDENTITY_PROOFING
	case enrol.ActionAwaitProofing:
		return pb.EnrolmentAction_ENROLMENT_ACTION_AWAIT_IDENTITY_RESULT
	case enrol.ActionAcceptAgreement:
		return pb.EnrolmentAction_ENROLMENT_ACTION_ACCEPT_AGREEMENT
	case enrol.ActionAwaitCredential:
		return pb.EnrolmentAction_ENROLMENT_ACTION_AWAIT_CREDENTIAL
	}
	return pb.EnrolmentAction_ENROLMENT_ACTION_UNSPECIFIED
}

func identifierType(t pb.IdentifierType) string {
	switch t {
	case pb.IdentifierType_IDENTIFIER_TYPE_PNO:
		return "PNO"
	case pb.IdentifierType_IDENTIFIER_TYPE_TIN:
		return "TIN"
	}
	return ""
}

func identifierTypeOf(t string) pb.IdentifierType {
	switch t {
	case "PNO":
		return pb.IdentifierType_IDENTIFIER_TYPE_PNO
	case "TIN":
		return pb.IdentifierType_IDENTIFIER_TYPE_TIN
	}
	return pb.IdentifierType_IDENTIFIER_TYPE_UNSPECIFIED
}

func algorithm(a pb.KeyAlgorithm) credential.Algorithm {
	if a == pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256 {
		return credential.ECDSAP256
	}
	return ""
}

func algorithmOf(a credential.Algorithm) pb.KeyAlgorithm {
	if a == credential.ECDSAP256 {
		return pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256
	}
	return pb.KeyAlgorithm_KEY_ALGORITHM_UNSPECIFIED
}

func outcome(o pb.IdentityOutcome) enrol.Outcome {
	switch o {
	case pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE:
		return enrol.Positive
	case pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE:
		return enrol.Negative
	}
	return ""
}

func outcomeOf(o enrol.Outcome) pb.IdentityOutcome {
	switch o {
	case enrol.Positive:
		return pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE
	case enrol.Negative:
		return pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE
	}
	return pb.IdentityOutcome_IDENTITY_OUTCOME_UNSPECIFIED
}

func statusOf(s credential.Status) pb.CredentialStatus {
	switch s {
	case credential.Active:
		return pb.CredentialStatus_CREDENTIAL_STATUS_ACTIVE
	case credential.Suspended:
		return pb.CredentialStatus_CREDENTIAL_STATUS_SUSPENDED
	case credential.Revoked:
		return pb.CredentialStatus_CREDENTIAL_STATUS_REVOKED
	}
	return pb.CredentialStatus_CREDENTIAL_STATUS_UNSPECIFIED
}

func revocationReason(r pb.RevocationReason) string {
	switch r {
	case pb.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE:
		return enrol.ReasonKeyCompromise
	case pb.RevocationReason_REVOCATION_REASON_AFFILIATION_CHANGED:
		return enrol.ReasonAffiliationChanged
	case pb.RevocationReason_REVOCATION_REASON_SUPERSEDED:
		return enrol.ReasonSuperseded
	case pb.RevocationReason_REVOCATION_REASON_CESSATION_OF_OPERATION:
		return enrol.ReasonCessationOfOperation
	case pb.RevocationReason_REVOCATION_REASON_PRIVILEGE_WITHDRAWN:
		return enrol.ReasonPrivilegeWithdrawn
	}
	return ""
}

func signingStateOf(s signer.State) pb.SigningState {
	switch s {
	case signer.StateRequested:
		return pb.SigningState_SIGNING_STATE_REQUESTED
	case signer.StateSigning:
		return pb.SigningState_SIGNING_STATE_SIGNING
	case signer.StateSigned:
		return pb.SigningState_SIGNING_STATE_SIGNED
	case signer.StateClosed:
		return pb.SigningState_SIGNING_STATE_CLOSED
	}
	return pb.SigningState_SIGNING_STATE_UNSPECIFIED
}

func signingOutcomeOf(o string) pb.SigningOutcome {
	switch o {
	case "expired":
		return pb.SigningOutcome_SIGNING_OUTCOME_EXPIRED
	case "cancelled":
		return pb.SigningOutcome_SIGNING_OUTCOME_CANCELLED
	case "abandoned":
		return pb.SigningOutcome_SIGNING_OUTCOME_ABANDONED
	}
	return pb.SigningOutcome_SIGNING_OUTCOME_UNSPECIFIED
}

func format(f pb.SignatureFormat) signer.Format {
	switch f {
	case pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B:
		return signer.PAdESBB
	case pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B:
		return signer.CAdESBB
	case pb.SignatureFormat_SIGNATURE_FORMAT_RAW:
		return signer.Raw
	}
	return ""
}

func formatOf(f signer.Format) pb.SignatureFormat {
	switch f {
	case signer.PAdESBB:
		return pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B
	case signer.CAdESBB:
		return pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B
	case signer.Raw:
		return pb.SignatureFormat_SIGNATURE_FORMAT_RAW
	}
	return pb.SignatureFormat_SIGNATURE_FORMAT_UNSPECIFIED
}
