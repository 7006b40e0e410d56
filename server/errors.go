package server

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	errorDomain   = "ecsigner"
	errorLocale   = "en"
	maxViolations = 20 // named in one answer
)

// refusal is an error of the edge itself.
type refusal struct {
	reason Reason
	field  string // empty: none
	cause  error  // for the log
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return string(r.reason) + ": " + r.cause.Error()
	}
	return string(r.reason)
}

func (r *refusal) Unwrap() error { return r.cause }

// FieldName returns the field that is wrong.
func (r *refusal) FieldName() string { return r.field }

func refuse(r Reason) error { return &refusal{reason: r} }

// translator turns the end of a call into a status and a line of the log.
type translator struct {
	faults []Fault
	logger *slog.Logger
	now    func() time.Time
	called func(Call)
}

// call is one call in progress.
type call struct {
	ctx    context.Context //nolint:containedctx // of the log line
	method string
	began  time.Time
	client Client
}

func (t translator) begin(ctx context.Context, method string) *call {
	return &call{ctx: ctx, method: method, began: t.now()}
}

// end logs how the call ended, in full, and returns what the caller may know of it. A log line holds ids, never data of
// a person.
func (t translator) end(c *call, req any, err error) error {
	attrs := []slog.Attr{
		slog.String("method", c.method), slog.String("client", c.client.Name), slog.Duration("took", t.now().Sub(c.began)),
	}
	if r, ok := req.(interface{ GetRequestId() string }); ok {
		attrs = append(attrs, slog.String("request", printable(r.GetRequestId())))
	}
	if err == nil {
		t.called(Call{Method: c.method, Took: t.now().Sub(c.began)})
		t.logger.LogAttrs(c.ctx, slog.LevelDebug, "call", attrs...)
		return nil
	}
	reason := t.reason(err)
	a, ok := reason.answer()
	if !ok {
		a, _ = ReasonInternal.answer()
	}
	t.called(Call{Method: c.method, Reason: a.reason, Took: t.now().Sub(c.began)})
	level := slog.LevelInfo
	switch a.code {
	case codes.Internal, codes.Unavailable, codes.DataLoss:
		level = slog.LevelError
	}
	attrs = append(attrs, slog.String("reason", string(a.reason)), slog.String("error", err.Error()))
	t.logger.LogAttrs(c.ctx, level, "call refused", attrs...)
	return a.status(err, req)
}

// printable keeps a request id that was not checked yet out of the log.
func printable(id string) string {
	if len(id) > 36 {
		return "(too long)"
	}
	return strconv.QuoteToASCII(id)
}

// status is what the caller gets: a fixed sentence, the reason, the fields, the remedy.
func (a answer) status(err error, req any) error {
	info := &errdetails.ErrorInfo{Reason: string(a.reason), Domain: errorDomain, Metadata: metadata(err)}
	details := []protoadapt.MessageV1{info, &errdetails.LocalizedMessage{Locale: errorLocale, Message: a.remedy}}
	message, _ := req.(proto.Message)
	if v := violations(err, a, message); len(v) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: v})
	}
	retry := a.retry
	var known interface{ RetryAfter() time.Duration }
	if errors.As(err, &known) {
		retry = known.RetryAfter()
	}
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	s, detailErr := status.New(a.code, a.sentence).WithDetails(details...)
	if detailErr != nil { // only with code OK, which no answer has
		return status.Error(codes.Internal, a.sentence)
	}
	return s.Err()
}

// metadata adds what a program needs beside the reason.
func metadata(err error) map[string]string {
	var enrolCode *enrol.CodeError
	var signCode *signer.CodeError
	var state *enrol.StateError
	var renewal *enrol.RenewalError
	var consent *enrol.ConsentError
	var pending *augment.PendingError
	var service *augment.ServiceError
	var space *signer.SpaceError
	switch {
	case errors.As(err, &pending):
		return map[string]string{"because": string(pending.Reason)}
	case errors.As(err, &service):
		return map[string]string{"because": string(service.Reason)}
	case errors.As(err, &space):
		return map[string]string{"needed_bytes": strconv.Itoa(space.Needed)}
	case errors.As(err, &consent):
		return map[string]string{"missing": strings.Join(consent.Missing, " ")}
	case errors.As(err, &enrolCode):
		return map[string]string{"tries_left": strconv.Itoa(enrolCode.TriesLeft)}
	case errors.As(err, &signCode):
		return map[string]string{"tries_left": strconv.Itoa(signCode.TriesLeft)}
	case errors.As(err, &renewal):
		return map[string]string{"because": renewal.Because}
	case errors.As(err, &state):
		return map[string]string{"state": string(state.State), "next_action": string(state.Next)}
	}
	return nil
}

// violations names the fields that are wrong, by their paths in the request.
func violations(err error, a answer, req proto.Message) []*errdetails.BadRequest_FieldViolation {
	var rules *protovalidate.ValidationError
	if errors.As(err, &rules) {
		var all []*errdetails.BadRequest_FieldViolation
		for _, v := range rules.Violations[:min(len(rules.Violations), maxViolations)] {
			all = append(all, &errdetails.BadRequest_FieldViolation{
				Field: protovalidate.FieldPathString(v.Proto.GetField()), Description: v.Proto.GetMessage(),
				Reason: string(a.reason),
			})
		}
		return all
	}
	names := []string{}
	var field interface{ FieldName() string }
	if errors.As(err, &field) && field.FieldName() != "" {
		names = []string{field.FieldName()}
	}
	description := a.sentence + " " + a.remedy
	var ours *signer.FieldError
	if errors.As(err, &ours) && (errors.Is(ours.Err, signer.ErrInput) || errors.Is(ours.Err, signer.ErrCredential)) {
		description = ours.Text // written for callers; the texts of other errors may quote what lies below
	}
	var all []*errdetails.BadRequest_FieldViolation
	for _, name := range names {
		all = append(all, &errdetails.BadRequest_FieldViolation{
			Field: fieldPath(name, req), Description: description, Reason: string(a.reason),
		})
	}
	return all
}

// reason finds why a call failed. This is the one place where errors of the use cases become what a caller sees.
//
//nolint:gocyclo,funlen // one table on purpose
func (t translator) reason(err error) Reason {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	var own *refusal
	var rules *protovalidate.ValidationError
	var signCode *signer.CodeError
	var enrolCode *enrol.CodeError
	var budget *enrol.BudgetError
	switch {
	case errors.As(err, &own):
		return own.reason
	case errors.As(err, &rules):
		return ReasonInvalid
	case is(errPanic):
		return ReasonInternal
	case is(signer.ErrIntegrity, enrol.ErrIntegrity, augment.ErrIntegrity):
		return ReasonIntegrity
	case errors.As(err, &signCode):
		return codeReason(string(signCode.Result))
	case errors.As(err, &enrolCode):
		return codeReason(string(enrolCode.Result))
	case is(enrol.ErrTooManyCodes):
		return ReasonTooManyCodes
	case errors.As(err, &budget):
		return ReasonBudget
	case is(enrol.ErrResent):
		return ReasonResent
	case is(enrol.ErrLocked):
		return ReasonCodeLocked
	case is(signer.ErrRequestReused, enrol.ErrRequestReused):
		return ReasonRequestReused
	case is(signer.ErrCredential, augment.ErrCredential):
		return ReasonCredential
	case is(signer.ErrTooLarge):
		return ReasonDocumentTooLarge
	case is(signer.ErrQuota):
		return ReasonQuota
	case is(signer.ErrEmpty):
		return ReasonDocumentEmpty
	case is(signer.ErrGone, augment.ErrGone):
		return ReasonDocumentGone
	case is(signer.ErrNotPDF):
		return ReasonNotPDF
	case is(signer.ErrDamagedPDF):
		return ReasonPDFDamaged
	case is(signer.ErrEncryptedPDF):
		return ReasonPDFEncrypted
	case is(signer.ErrComplexPDF):
		return ReasonPDFTooComplex
	case is(signer.ErrUnsupportedPDF, signer.ErrHybridPDF, signer.ErrXFA):
		return ReasonPDFUnsupported
	case is(signer.ErrCertifiedPDF, signer.ErrFieldsLocked):
		return ReasonPDFLocked
	case is(signer.ErrInProgress):
		return ReasonInProgress
	case is(signer.ErrActivationExpired):
		return ReasonActivationExpired
	case is(signer.ErrWithheld):
		return ReasonWithheld
	case is(enrol.ErrExpired):
		return ReasonEnrolmentExpired
	case is(signer.ErrState, enrol.ErrState):
		return ReasonState
	case is(enrol.ErrVoucherCode):
		return ReasonVoucherMistyped
	case is(enrol.ErrVoucher):
		return ReasonVoucherUnknown
	case is(enrol.ErrVoucherUsed):
		return ReasonVoucherUsed
	case is(enrol.ErrVoucherExpired):
		return ReasonVoucherExpired
	case is(enrol.ErrVoucherRate):
		return ReasonVoucherRate
	case is(enrol.ErrProduct):
		return ReasonProduct
	case is(enrol.ErrNotInProduct):
		return ReasonNotInProduct
	case is(enrol.ErrOrganisation):
		return ReasonOrganisation
	case is(enrol.ErrShownOnce):
		return ReasonVouchersShown
	case is(enrol.ErrName):
		return ReasonName
	case is(enrol.ErrIdentifier):
		return ReasonIdentifier
	case is(enrol.ErrCheckDigit):
		return ReasonCheckDigit
	case is(enrol.ErrBirthDate):
		return ReasonBirthDate
	case is(enrol.ErrAge):
		return ReasonAge
	case is(enrol.ErrPhone):
		return ReasonPhone
	case is(enrol.ErrLanguage):
		return ReasonLanguage
	case is(enrol.ErrYears):
		return ReasonYears
	case is(enrol.ErrAlgorithm):
		return ReasonAlgorithm
	case is(enrol.ErrIdentityDiffers):
		return ReasonIdentityDiffers
	case is(enrol.ErrProofingTooOld):
		return ReasonProofingTooOld
	case is(enrol.ErrProvider):
		return ReasonProvider
	case is(enrol.ErrClock):
		return ReasonClock
	case is(enrol.ErrConsent):
		return ReasonConsent
	case is(enrol.ErrAgreementDiffers):
		return ReasonAgreementDiffers
	case is(enrol.ErrNotRenewable):
		return ReasonNotRenewable
	case is(tenure.ErrRevoked, ca.ErrAlreadyRevoked):
		return ReasonCredentialRevoked
	case is(ca.ErrLint):
		return ReasonCertificateRules
	case is(ca.ErrRequest, ca.ErrKey):
		return ReasonCSR
	}
	if r := levelReason(is); r != "" {
		return r
	}
	if is(signer.ErrInput, enrol.ErrField) {
		return ReasonInvalid
	}
	return t.below(err, is)
}

// levelReason names what concerns levels; empty: nothing of it.
func levelReason(is func(...error) bool) Reason {
	switch {
	case is(augment.ErrNotOffered):
		return ReasonLevelNotOffered
	case is(augment.ErrNotReady):
		return ReasonLevelNotReady
	case is(augment.ErrGivenUp):
		return ReasonLevelGivenUp
	case is(augment.ErrNotAsked):
		return ReasonLevelNotAsked
	case is(augment.ErrNoSignature):
		return ReasonNoSignature
	case is(augment.ErrContent):
		return ReasonContent
	case is(augment.ErrService):
		return ReasonNoService
	case is(signer.ErrSpace):
		return ReasonCMSSpace
	}
	return ""
}

// below finds the reason of what the use cases hand through.
func (t translator) below(err error, is func(...error) bool) Reason {
	// Before its cause: a full disk, found at the commit, leaves the caller another thing to do than one found before.
	if is(signer.ErrOutcomeUnknown, enrol.ErrOutcomeUnknown) {
		return ReasonOutcomeUnknown
	}
	for _, f := range t.faults {
		if is(f.Err) {
			return f.Reason
		}
	}
	switch {
	case is(signer.ErrNotFound, enrol.ErrNotFound):
		return ReasonNotFound
	case is(signer.ErrConflict, enrol.ErrConflict):
		return ReasonConflict
	case is(context.DeadlineExceeded):
		return ReasonDeadline
	case is(context.Canceled):
		return ReasonCancelled
	}
	switch status.Code(err) { // of gRPC itself, such as a stream that broke
	case codes.DeadlineExceeded:
		return ReasonDeadline
	case codes.Canceled:
		return ReasonCancelled
	case codes.ResourceExhausted:
		return ReasonMessageSize
	case codes.Unimplemented:
		return ReasonNotOffered
	}
	return ReasonInternal
}

// codeReason names the result of a try.
func codeReason(result string) Reason {
	switch result {
	case "rejected":
		return ReasonCodeRejected
	case "exhausted":
		return ReasonCodeExhausted
	case "expired":
		return ReasonCodeExpired
	case "spent":
		return ReasonCodeSpent
	case "voided":
		return ReasonCodeVoided
	case "locked":
		return ReasonCodeLocked
	}
	return ReasonInternal
}
