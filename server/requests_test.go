package server

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// method is one method of the proto.
type method struct {
	full       string // /ecsigner.v1.X/Y
	descriptor protoreflect.MethodDescriptor
	roles      []pb.Role
}

func methods() []method {
	var all []method
	for _, s := range serviceDescriptors() {
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			r, _ := proto.GetExtension(m.Options(), pb.E_Roles).([]pb.Role)
			all = append(all, method{fmt.Sprintf("/%s/%s", s.FullName(), m.Name()), m, r})
		}
	}
	return all
}

// response makes an empty message of the type that the method answers with.
func (m method) response() proto.Message { return message(m.descriptor.Output()) }

func (m method) request() proto.Message { return message(m.descriptor.Input()) }

func message(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// largest returns for every request the largest that the rules of the proto allow.
func largest() []proto.Message {
	id, client, hash := strings.Repeat("a", 64), strings.Repeat("c", 64), make([]byte, 32)
	soon := timestamppb.Now()
	parameters := &pb.CertificateParameters{
		Years: 5, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256,
		ForOrganisation: true,
	}
	data := &pb.PersonalData{
		GivenName: strings.Repeat("Ї", 64), Surname: strings.Repeat("Ż", 64), LocalName: strings.Repeat("Ґ", 128), Country: "UA",
		Identifier: strings.Repeat("9", 32), BirthDate: "1990-02-28", Phone: "+" + strings.Repeat("9", 15),
		Organisation: strings.Repeat("Є", 150), OrganisationId: "NTRDE-" + strings.Repeat("9", 50),
	}
	var consents []string
	for i := range 16 {
		consents = append(consents, strings.Repeat("c", 31)+string(rune('a'+i)))
	}
	items := make([]*pb.SigningItemRequest, 100)
	for i := range items {
		items[i] = &pb.SigningItemRequest{
			Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 64)}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B,
			Level: pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA, ReservedCmsBytes: 4 << 20,
		}
	}
	filter := &pb.EntryFilter{
		Kinds: slices.Repeat([]string{"signing.signed"}, 64), OperationId: id, EnrolmentId: id, CredentialId: id, Client: client,
		FromTime: soon, BeforeTime: soon,
	}
	items[0].Options = &pb.SignatureOptions{
		Reason: strings.Repeat("Щ", 256), Location: strings.Repeat("Щ", 256), Contact: strings.Repeat("Щ", 256), FieldName: strings.Repeat("Щ", 256),
		CommitmentType: pb.CommitmentType_COMMITMENT_TYPE_PROOF_OF_CREATION, ClaimedRoles: slices.Repeat([]string{strings.Repeat("Щ", 256)}, 16),
		Policy:   &pb.SignaturePolicy{Oid: "2.999" + strings.Repeat(".1234567890", 29), Sha256: hash, Uri: strings.Repeat("u", 256)},
		MimeType: strings.Repeat("m", 255), Certification: 3, Appearance: &pb.SignatureAppearance{
			Page: 1_000_000, Corner: pb.PageCorner_PAGE_CORNER_TOP_LEFT, Width: 14400, Height: 14400, Margin: 14400, Language: "uk",
			Lines: slices.Repeat([]string{strings.Repeat("Щ", 256)}, 16), Picture: make([]byte, 256<<10), PicturePlace: pb.PicturePlace_PICTURE_PLACE_ALONE,
			Rectangle: &pb.PageRectangle{Left: 1e-7, Bottom: 1e-7, Right: 1e7, Top: 1e7}, RotationDegrees: 270,
			Hidden: []pb.SignatureText{1, 2, 3, 4, 5}, TimeZone: strings.Repeat("Z", 64), Typeface: client, FontSize: 1.23456789,
			Colours:     &pb.SignatureColours{Background: "#ABCDEF", Border: "#ABCDEF", Accent: "#ABCDEF", Ink: "#ABCDEF", Muted: "#ABCDEF"},
			BorderWidth: 1.23456789,
		},
	}
	items[0].Source = &pb.SigningItemRequest_DocumentId{DocumentId: id}
	items[1].Source = &pb.SigningItemRequest_Sha256{Sha256: hash}
	return []proto.Message{
		&pb.CreateEnrolmentRequest{RequestId: requestID, VoucherCode: strings.Repeat("Z", 64), Language: "uk", PersonKey: strings.Repeat("p", 128)},
		&pb.ListProductsRequest{},
		&pb.GetEnrolmentEvidenceRequest{EnrolmentId: id},
		&pb.GetEnrolmentRequest{EnrolmentId: id},
		&pb.ListEnrolmentsRequest{PageSize: 100, PageToken: id},
		&pb.WatchEnrolmentRequest{EnrolmentId: id, AfterRevision: 1 << 63},
		&pb.SetParametersRequest{RequestId: requestID, EnrolmentId: id, Parameters: parameters},
		&pb.SetPersonalDataRequest{RequestId: requestID, EnrolmentId: id, PersonalData: data},
		&pb.SendPhoneCodeRequest{RequestId: requestID, EnrolmentId: id},
		&pb.ConfirmPhoneRequest{RequestId: requestID, EnrolmentId: id, Code: "999999999"},
		&pb.StartIdentityProofingRequest{RequestId: requestID, EnrolmentId: id, Provider: client},
		&pb.ReportIdentityResultRequest{
			RequestId: requestID, EnrolmentId: id, Reference: strings.Repeat("r", 128),
			Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, ProvenData: data,
			IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Evidence: make([]byte, 512<<10), CompleteTime: soon,
		},
		&pb.AcceptProvenDataRequest{RequestId: requestID, EnrolmentId: id, ReportSha256: hash},
		&pb.DownloadAgreementRequest{EnrolmentId: id},
		&pb.SendAgreementCodeRequest{RequestId: requestID, EnrolmentId: id},
		&pb.AcceptAgreementRequest{RequestId: requestID, EnrolmentId: id, AgreementSha256: hash, Code: "999999999", Consents: consents, Context: &pb.AcceptanceContext{
			Address: "2001:db8:ffff:ffff:ffff:ffff:255.255.255.255", UserAgent: strings.Repeat("Щ", 256), Session: strings.Repeat("s", 128),
		}},
		&pb.CreateRenewalRequest{RequestId: requestID, CredentialId: id, VoucherCode: strings.Repeat("Z", 64), Parameters: parameters},
		&pb.CancelEnrolmentRequest{RequestId: requestID, EnrolmentId: id},
		&pb.GetCredentialRequest{CredentialId: id},
		&pb.ListCredentialsRequest{PageSize: 100, PageToken: id},
		&pb.GrantAccessRequest{RequestId: requestID, CredentialId: id, Client: client},
		&pb.WithdrawAccessRequest{RequestId: requestID, CredentialId: id, Client: client},
		&pb.RevokeCredentialRequest{
			RequestId: requestID, CredentialId: id, Reason: pb.RevocationReason_REVOCATION_REASON_PRIVILEGE_WITHDRAWN,
		},
		&pb.SendRevocationCodeRequest{RequestId: requestID, CredentialId: id},
		&pb.RevokeWithCodeRequest{
			RequestId: requestID, CredentialId: id, Reason: pb.RevocationReason_REVOCATION_REASON_CESSATION_OF_OPERATION,
			Code: "999999999",
		},
		&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Metadata{
			Metadata: &pb.DocumentMetadata{RequestId: requestID, Name: strings.Repeat("ї", 255)},
		}},
		&pb.DownloadArtifactRequest{
			OperationId: id, Item: 99, Offset: 1<<63 - 1, Content: pb.ArtifactContent_ARTIFACT_CONTENT_TAIL,
		},
		&pb.CreateSigningOperationRequest{
			RequestId: requestID, CredentialId: id, Title: strings.Repeat("Щ", 200), Language: "pl", Items: items,
		},
		&pb.SendCodeRequest{RequestId: requestID, OperationId: id},
		&pb.AuthorizeSigningOperationRequest{RequestId: requestID, OperationId: id, Code: "999999999"},
		&pb.GetSigningOperationRequest{OperationId: id},
		&pb.CancelSigningOperationRequest{RequestId: requestID, OperationId: id},
		&pb.CompleteSigningOperationRequest{RequestId: requestID, OperationId: id},
		&pb.ListSigningOperationsRequest{
			PageSize: 100, PageToken: strings.Repeat("9", 18) + "." + id, State: pb.SigningState_SIGNING_STATE_CLOSED, CredentialId: id,
			CreatedFromTime: soon, CreatedBeforeTime: soon,
		},
		&pb.WatchSigningOperationRequest{OperationId: id, AfterRevision: 1 << 63},
		&pb.AugmentDocumentRequest{
			RequestId: requestID, DocumentId: id, Level: pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA,
			Content: &pb.AugmentDocumentRequest_ContentSha256{ContentSha256: hash},
		},
		&pb.TimeStampDocumentRequest{RequestId: requestID, DocumentId: id},
		&pb.GetAugmentationRequest{AugmentationId: id},
		&pb.WatchAugmentationRequest{AugmentationId: id, AfterRevision: 1 << 63},
		&pb.DownloadAugmentationRequest{AugmentationId: id, Offset: 1<<63 - 1, Content: pb.ArtifactContent_ARTIFACT_CONTENT_TAIL},
		&pb.CompleteAugmentationRequest{RequestId: requestID, AugmentationId: id},
		&pb.StampDigestRequest{
			RequestId: requestID, CredentialId: id, Algorithm: pb.DigestAlgorithm_DIGEST_ALGORITHM_SHA512, Digest: make([]byte, 64),
		},
		&pb.CollectEvidenceRequest{
			CredentialId: id, Certificate: make([]byte, 4096), Known: slices.Repeat([][]byte{make([]byte, 4096)}, 64), AtTime: soon,
		},
		&pb.GetChainRequest{},
		&pb.GetCrlRequest{},
		&pb.GetCheckpointRequest{},
		&pb.GetReceiptRequest{Index: 1<<63 - 1},
		&pb.ListEntriesRequest{StartIndex: 1<<63 - 1, PageSize: 1000, Filter: filter, WithProofs: true},
		&pb.FollowEntriesRequest{StartIndex: 1<<63 - 1, Filter: filter, WithProofs: true},
		&pb.GetConsistencyProofRequest{OldSize: 1<<63 - 1},
		&pb.CreateVouchersRequest{RequestId: requestID, Product: strings.Repeat("q", 32), Years: 5, Count: 500, ExpireTime: soon},
		&pb.CreateClientRequest{
			RequestId: requestID, Name: client, DisplayName: strings.Repeat("Ж", 64), Role: pb.Role_ROLE_AUDITOR,
			Csr: make([]byte, 16384),
		},
		&pb.UnlockRequest{RequestId: requestID, Account: id, Client: client},
	}
}

// largestOf returns the largest valid request of a type.
func largestOf(d protoreflect.MessageDescriptor) proto.Message {
	for _, m := range largest() {
		if m.ProtoReflect().Descriptor().FullName() == d.FullName() {
			return m
		}
	}
	return nil
}
