package system_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// commitpoint is the file by which a server of the failpoint build is told at which commit it dies.
type commitpoint struct {
	t    testing.TB
	path string
}

func newCommitpoint(t testing.TB) commitpoint {
	c := commitpoint{t, filepath.Join(t.TempDir(), "commitpoint")}
	c.clear()
	return c
}

func (c commitpoint) env() string { return "ECSIGNER_COMMITPOINT=" + c.path }

func (c commitpoint) clear() { c.set("", "") }

// set has the server die before, committed or after the commit of an entry that holds this text.
func (c commitpoint) set(when, what string) {
	c.t.Helper()
	if err := os.WriteFile(c.path, []byte(when+" "+what), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// walk is one enrolment on its way through every step, killed at each.
type walk struct {
	t       *testing.T
	i       *system.Installation
	point   commitpoint
	person  int
	when    string
	id      string
	voucher string
	last    *pb.Enrolment
	code    string
	objects map[string]int64
}

// enrolmentStep is one call, the entry by which its commit is known, all its entries, and the texts that it sends.
type enrolmentStep struct {
	name    string
	entry   string
	entries string
	texts   string // their kinds
	call    func(w *walk) (proto.Message, error)
	resumed string // entries that follow in a call that runs through, or at the start after a crash behind the commit
}

// enrolmentSteps are the steps of one enrolment, in order.
func enrolmentSteps() []enrolmentStep {
	const issuing = "AgreementSealed KeyGenerated CertificateIntended EnrolmentChanged CertificateIssued BindingChanged EnrolmentChanged NoticeSent"
	step := func(name, entry, entries, texts string, make func(w *walk) func(w *walk) (proto.Message, error)) enrolmentStep {
		s := enrolmentStep{name: name, entry: entry, entries: entries, texts: texts}
		var request func(w *walk) (proto.Message, error)
		s.call = func(w *walk) (proto.Message, error) {
			if request == nil {
				request = make(w)
			}
			return request(w)
		}
		return s
	}
	all := []enrolmentStep{
		step("redeem", `"type":"enrolment.created"`, "EnrolmentCreated EnrolmentChanged", "", redeemVoucher),
		step("parameters", `"state":"parameters"`, "EnrolmentChanged", "", parameters),
		step("data", `"state":"data"`, "EnrolmentChanged", "", data),
		step("phone code", `"type":"code.requested"`, "CodeRequested", "phone", phoneCode),
		step("phone code again", `"type":"code.resent"`, "CodeResent", "phone", phoneCode),
		step("confirm the phone", `"type":"phone.confirmed"`, "CodeAccepted PhoneConfirmed EnrolmentChanged", "", confirm),
		step("start proofing", `"type":"identity.started"`, "IdentityStarted EnrolmentChanged", "", startProofing),
		step("deferred", `"state":"deferred"`, "IdentityReported EnrolmentChanged NoticeSent", "deferred", reportOf(pb.IdentityOutcome_IDENTITY_OUTCOME_DEFERRED, "")),
		step("to review", `"state":"review"`, "IdentityReported EnrolmentChanged", "", reportOf(pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, "Other")),
		step("reviewed", `"type":"agreement.prepared"`, "IdentityReported AgreementPrepared EnrolmentChanged", "", reviewed),
		step("agreement fetched", `"type":"agreement.shown"`, "AgreementShown", "", fetched),
		step("agreement code", `"type":"code.requested"`, "CodeRequested", "agreement", agreementCode),
		step("accept", `"type":"agreement.accepted"`, "CodeAccepted AgreementAccepted ConsentsGiven EnrolmentChanged", "issued", accept),
	}
	all[len(all)-1].resumed = issuing
	return all
}

func redeemVoucher(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.CreateEnrolmentRequest{RequestId: client.RequestID(), VoucherCode: w.voucher, Language: "en"}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.CreateEnrolment(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func parameters(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.SetParametersRequest{RequestId: client.RequestID(), EnrolmentId: w.id, Parameters: &pb.CertificateParameters{
		Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: w.i.Key,
	}}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.SetParameters(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func data(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.SetPersonalDataRequest{RequestId: client.RequestID(), EnrolmentId: w.id, PersonalData: system.Person(w.person)}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.SetPersonalData(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func phoneCode(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.SendPhoneCodeRequest{RequestId: client.RequestID(), EnrolmentId: w.id}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.SendPhoneCode(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func confirm(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.ConfirmPhoneRequest{RequestId: client.RequestID(), EnrolmentId: w.id, Code: w.code}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.ConfirmPhone(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func startProofing(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.StartIdentityProofingRequest{RequestId: client.RequestID(), EnrolmentId: w.id, Provider: "identity"}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.StartIdentityProofing(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func reportOf(outcome pb.IdentityOutcome, surname string) func(w *walk) func(*walk) (proto.Message, error) {
	return func(w *walk) func(*walk) (proto.Message, error) {
		r := system.Proven(w.person, w.id, w.last.GetProofingReference())
		r.Outcome, r.CompleteTime = outcome, timestamppb.Now()
		if surname != "" {
			r.ProvenData.Surname = surname
		}
		return func(w *walk) (proto.Message, error) {
			_, err := w.i.Identity().Enrolment.ReportIdentityResult(w.t.Context(), r)
			if err != nil {
				return nil, err
			}
			return w.get(), nil
		}
	}
}

func reviewed(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.AcceptProvenDataRequest{RequestId: client.RequestID(), EnrolmentId: w.id, ReportSha256: w.last.GetProofing().GetReportSha256()}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.AcceptProvenData(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func fetched(*walk) func(*walk) (proto.Message, error) {
	return func(w *walk) (proto.Message, error) {
		if _, _, err := w.i.Portal().Agreement(w.t.Context(), w.id); err != nil {
			return nil, err
		}
		return w.get(), nil
	}
}

func agreementCode(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.SendAgreementCodeRequest{RequestId: client.RequestID(), EnrolmentId: w.id}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.SendAgreementCode(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func accept(w *walk) func(*walk) (proto.Message, error) {
	r := &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: w.id, AgreementSha256: w.last.GetAgreementSha256(), Code: w.code, Consents: system.Consents(),
	}
	return func(w *walk) (proto.Message, error) {
		a, err := w.i.Portal().Enrolment.AcceptAgreement(w.t.Context(), r)
		return a.GetEnrolment(), err
	}
}

func (w *walk) get() *pb.Enrolment {
	w.t.Helper()
	a, err := w.i.Portal().Enrolment.GetEnrolment(w.t.Context(), &pb.GetEnrolmentRequest{EnrolmentId: w.id})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.GetEnrolment()
}

// texts counts the files on the phone by kind. A text that is sent again after a crash is the same file.
func (w *walk) texts() map[string]int {
	w.t.Helper()
	settled(w.t, w.i)
	files, err := filepath.Glob(w.i.Path("outbox", "*.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	count := map[string]int{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		_, kind, _ := strings.Cut(string(text), `"kind": "`)
		kind, _, _ = strings.Cut(kind, `"`)
		count[kind]++
	}
	return count
}

// residue: nothing is left where a crash could leave something.
func (w *walk) residue() {
	w.t.Helper()
	if now := tokenObjects(w.t, w.i); !maps.Equal(now, w.objects) {
		w.t.Errorf("the token holds other objects than before: %d, were %d", len(now), len(w.objects))
	}
	if left, err := filepath.Glob(w.i.Path("data", "spool", "*")); err != nil || len(left) > 0 {
		w.t.Errorf("left in the spool: %v, %v", left, err)
	}
}

// step kills the server at one step and goes on from what is left.
func (w *walk) step(s enrolmentStep) {
	mark, texts := logSize(w.t, w.i), w.texts()
	w.point.set(w.when, s.entry)
	if got, err := s.call(w); err == nil {
		w.t.Fatalf("an answer came from a dead server: %v", got)
	}
	w.i.AwaitEnd()
	w.point.clear()
	w.i.Start(w.point.env())

	left := s.entries
	if w.when == "before" {
		left = ""
	} else if s.resumed != "" {
		left += " " + s.resumed // start-up goes on by itself
	}
	if got := kinds(w.t, w.i, mark); got != left {
		w.t.Errorf("the crash left %q in the log, want %q", got, left)
	}
	if w.when == "before" && w.id != "" {
		if now := w.get(); !proto.Equal(now, w.last) {
			w.t.Errorf("the enrolment is %v, was %v", now, w.last)
		}
	}
	first, err := s.call(w)
	if err != nil {
		w.t.Fatalf("the same request after the restart: %v", err)
	}
	again, err := s.call(w)
	if err != nil || !proto.Equal(first, again) {
		w.t.Errorf("the same request once more: %v, %v; was %v", again, err, first)
	}
	w.last = again.(*pb.Enrolment)
	w.id = w.last.GetId()
	if got, want := kinds(w.t, w.i, mark), strings.TrimSpace(s.entries+" "+s.resumed); got != want {
		w.t.Errorf("the log tells %q, want %q", got, want)
	}
	w.told(s, texts)
	w.residue()
}

// told: the step sent its text once, and no other. It reads the code.
func (w *walk) told(s enrolmentStep, before map[string]int) {
	w.t.Helper()
	for kind, n := range w.texts() {
		want := before[kind]
		if kind == s.texts {
			want++
		}
		if n != want {
			w.t.Errorf("%d texts of kind %s on the phone, want %d", n, kind, want)
		}
	}
	switch s.texts {
	case "phone", "agreement":
		w.code = w.i.Code(s.texts, "")
	}
}

// TestCrashEnrolment kills the server before the commit of each step of enrolment, between the commit and the head file,
// and between the head file and the answer.
func TestCrashEnrolment(t *testing.T) {
	t.Parallel()
	i, point := system.New(t, build.Program(t, failpoints)), newCommitpoint(t)
	i.Start(point.env())
	i.Credential(0)
	objects := tokenObjects(t, i)
	codes := i.Vouchers(24)
	begin := func(t *testing.T, when string) *walk {
		i.Within(t)
		w := &walk{t: t, i: i, point: point, person: 100 + len(codes), when: when, voucher: codes[0], objects: objects}
		codes = codes[1:]
		return w
	}
	for _, when := range []string{"before", "committed", "after"} {
		t.Run(when, func(t *testing.T) {
			w := begin(t, when)
			for _, s := range enrolmentSteps() {
				t.Run(s.name, func(t *testing.T) {
					i.Within(t)
					w.t = t
					w.step(s)
				})
				if t.Failed() {
					return
				}
			}
			if w.last.GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED || w.last.GetCredentialId() == "" {
				t.Errorf("in the end the enrolment is %v", w.last)
			}
		})
		for name, end := range map[string]func() enrolmentStep{"cancel": cancelStep, "rejected": rejectedStep} {
			t.Run(when+", "+name, func(t *testing.T) {
				w := begin(t, when)
				w.t = t
				w.lead("start proofing")
				w.step(end())
			})
		}
	}
	for k, entry := range issuingCommits() {
		for _, when := range []string{"before", "committed", "after"} {
			t.Run(fmt.Sprintf("%s, commit %d of issuing", when, k+1), func(t *testing.T) {
				w := begin(t, when)
				w.lead("agreement code")
				w.issue(entry)
			})
		}
	}
	i.Within(t)
	endRun(t, i)
}

// lead goes through the steps up to one without a crash.
func (w *walk) lead(to string) {
	w.t.Helper()
	for _, s := range enrolmentSteps() {
		got, err := s.call(w)
		if err != nil {
			w.t.Fatalf("%s: %v", s.name, err)
		}
		w.last = got.(*pb.Enrolment)
		w.id = w.last.GetId()
		if s.texts == "phone" || s.texts == "agreement" {
			w.code = w.i.Code(s.texts, "")
		}
		if s.name == to {
			return
		}
	}
	w.t.Fatalf("there is no step %q", to)
}

func cancelStep() enrolmentStep {
	id := client.RequestID()
	return enrolmentStep{
		name: "cancel", entry: `"state":"cancelled"`, entries: "EnrolmentChanged EnrolmentClosed",
		call: func(w *walk) (proto.Message, error) {
			a, err := w.i.Portal().Enrolment.CancelEnrolment(w.t.Context(), &pb.CancelEnrolmentRequest{RequestId: id, EnrolmentId: w.id})
			return a.GetEnrolment(), err
		},
	}
}

func rejectedStep() enrolmentStep {
	var call func(*walk) (proto.Message, error)
	return enrolmentStep{
		name: "rejected", entry: `"state":"rejected"`, entries: "IdentityReported EnrolmentChanged EnrolmentClosed",
		call: func(w *walk) (proto.Message, error) {
			if call == nil {
				call = reportOf(pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE, "")(w)
			}
			return call(w)
		},
	}
}

// issuingCommits are the entries by which the commits behind the acceptance are known.
func issuingCommits() []string {
	return []string{`"type":"agreement.sealed"`, `"type":"certificate.intended"`, `"type":"certificate.issued"`}
}

// issue kills the server at a commit of issuing: whatever is lost, there is one key, one certificate, one notice.
func (w *walk) issue(entry string) {
	steps := enrolmentSteps()
	s := steps[len(steps)-1]
	mark, texts := logSize(w.t, w.i), w.texts()
	w.point.set(w.when, entry)
	if got, err := s.call(w); err == nil {
		w.t.Fatalf("an answer came from a dead server: %v", got)
	}
	w.i.AwaitEnd()
	w.point.clear()
	w.i.Start(w.point.env())
	first := w.get()
	again, err := s.call(w)
	if err != nil || !proto.Equal(first, again) || first.GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		w.t.Errorf("the same request after the restart: %v, %v; the enrolment was %v", again, err, first)
	}
	if got, want := kinds(w.t, w.i, mark), s.entries+" "+s.resumed; got != want {
		w.t.Errorf("the log tells %q, want %q", got, want)
	}
	if now := w.texts(); now["issued"] != texts["issued"]+1 {
		w.t.Errorf("%d notices, were %d", now["issued"], texts["issued"])
	}
	serials := map[string]bool{}
	for _, e := range logFrom(w.i, mark) {
		if serial, ok := e["serial"].(string); ok {
			serials[serial] = true
		}
	}
	if len(serials) != 1 {
		w.t.Errorf("serial numbers %v", slices.Sorted(maps.Keys(serials)))
	}
	w.residue()
}
