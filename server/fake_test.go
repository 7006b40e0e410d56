package server

import (
	"context"
	"crypto"
	"io"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/tenure"
)

// fakes stand for all use cases. before runs first in every method and may fail, block or panic.
type fakes struct {
	selection  audit.Selection
	operation  signer.View // what Get answers
	operations []signer.View
	cursor     signer.Cursor
	query      signer.Query // what List was asked

	mu      sync.Mutex
	before  func(ctx context.Context, method string) error
	calls   []string // "method caller"
	view    enrol.View
	limit   int64         // of an upload
	upload  error         // how the last upload ended
	kept    int           // uploads that were kept
	begun   chan struct{} // closed when an upload begins
	done    chan struct{} // closed when it has ended
	result  signer.Artifact
	issued  ClientRequest
	create  signer.CreateRequest
	augment augment.Request
	report  enrol.IdentityResult
}

func (f *fakes) enter(ctx context.Context, method, caller string) error {
	f.mu.Lock()
	f.calls = append(f.calls, method+" "+caller)
	before := f.before
	f.mu.Unlock()
	if before != nil {
		return before(ctx, method)
	}
	return nil
}

func (f *fakes) on(before func(ctx context.Context, method string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *fakes) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return ""
	}
	return f.calls[len(f.calls)-1]
}

func (f *fakes) setView(v enrol.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = v
}

func (f *fakes) shown(ctx context.Context, method, caller string) (enrol.View, error) {
	err := f.enter(ctx, method, caller)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view, err
}

// fakeEnrol answers as enrol.Service would.
type fakeEnrol struct{ *fakes }

var (
	_ Enrolments  = fakeEnrol{}
	_ Credentials = fakeEnrol{}
)

func (f fakeEnrol) Create(ctx context.Context, caller, _, _, _, _ string) (enrol.View, error) {
	return f.shown(ctx, "Create", caller)
}

func (f fakeEnrol) SetParameters(ctx context.Context, caller, _, _ string, _ enrol.Parameters) (enrol.View, error) {
	return f.shown(ctx, "SetParameters", caller)
}

func (f fakeEnrol) SetPersonalData(ctx context.Context, caller, _, _ string, _ enrol.PersonalData) (enrol.View, error) {
	return f.shown(ctx, "SetPersonalData", caller)
}

func (f fakeEnrol) SendPhoneCode(ctx context.Context, caller, _, _ string) (enrol.View, enrol.CodeSent, error) {
	v, err := f.shown(ctx, "SendPhoneCode", caller)
	return v, enrol.CodeSent{Number: 1}, err
}

func (f fakeEnrol) ConfirmPhone(ctx context.Context, caller, _, _, _ string) (enrol.View, error) {
	return f.shown(ctx, "ConfirmPhone", caller)
}

func (f fakeEnrol) StartIdentityProofing(ctx context.Context, caller, _, _, _ string) (enrol.View, error) {
	return f.shown(ctx, "StartIdentityProofing", caller)
}

func (f fakeEnrol) ReportIdentityResult(ctx context.Context, caller, _ string, r enrol.IdentityResult) (enrol.View, error) {
	f.mu.Lock()
	f.report = r
	f.mu.Unlock()
	return f.shown(ctx, "ReportIdentityResult", caller)
}

func (f fakeEnrol) AcceptProvenData(ctx context.Context, caller, _, _ string, _ []byte) (enrol.View, error) {
	return f.shown(ctx, "AcceptProvenData", caller)
}

func (f fakeEnrol) Agreement(ctx context.Context, caller, _ string) (enrol.AgreementDocument, error) {
	return enrol.AgreementDocument{PDF: make([]byte, 3*chunkSize+1), SHA256: make([]byte, 32)}, f.enter(ctx, "Agreement", caller)
}

func (f fakeEnrol) NewPhoneCode(ctx context.Context, caller, _, _ string) (enrol.View, enrol.CodeSent, error) {
	v, err := f.shown(ctx, "NewPhoneCode", caller)
	return v, enrol.CodeSent{Number: 2}, err
}

func (f fakeEnrol) NewAgreementCode(ctx context.Context, caller, _, _ string) (enrol.View, enrol.CodeSent, error) {
	v, err := f.shown(ctx, "NewAgreementCode", caller)
	return v, enrol.CodeSent{Number: 2}, err
}

func (f fakeEnrol) SendAgreementCode(ctx context.Context, caller, _, _ string) (enrol.View, enrol.CodeSent, error) {
	v, err := f.shown(ctx, "SendAgreementCode", caller)
	return v, enrol.CodeSent{Number: 1}, err
}

func (f fakeEnrol) AcceptAgreement(ctx context.Context, caller, _, _ string, _ enrol.Acceptance) (enrol.View, error) {
	return f.shown(ctx, "AcceptAgreement", caller)
}

func (f fakeEnrol) Evidence(ctx context.Context, caller, _ string) (enrol.Evidence, error) {
	return enrol.Evidence{Record: []byte("of " + caller), SHA256: make([]byte, 32)}, f.enter(ctx, "Evidence", caller)
}

func (f fakeEnrol) Catalogue() []enrol.Product {
	return []enrol.Product{{
		Name: "qes-2y", Years: 2, Algorithms: credential.Algorithms(),
		Identifiers: []string{"PNO", "TIN", "PAS", "IDC"}, Organisation: enrol.OrganisationOptional,
	}}
}

func (f fakeEnrol) Cancel(ctx context.Context, caller, _, _ string) (enrol.View, error) {
	return f.shown(ctx, "Cancel", caller)
}

func (f fakeEnrol) Get(ctx context.Context, caller, _ string) (enrol.View, error) {
	return f.shown(ctx, "Get", caller)
}

func (f fakeEnrol) List(ctx context.Context, caller, _ string, limit int) ([]enrol.View, error) {
	v, err := f.shown(ctx, "List", caller)
	out := make([]enrol.View, limit)
	for i := range out {
		out[i] = v
	}
	return out, err
}

func (f fakeEnrol) CreateVouchers(ctx context.Context, caller, _ string, v enrol.VoucherRequest) ([]string, error) {
	return make([]string, v.Count), f.enter(ctx, "CreateVouchers", caller)
}

func (f fakeEnrol) CreateRenewal(ctx context.Context, caller, _ string, _ enrol.RenewalRequest) (enrol.View, error) {
	return f.shown(ctx, "CreateRenewal", caller)
}

func (f fakeEnrol) Enrolled(ctx context.Context, portal string, _ credential.ID) (tenure.CredentialView, error) {
	return tenure.CredentialView{}, f.enter(ctx, "Enrolled", portal)
}

func (f fakeEnrol) SendRevocationCode(ctx context.Context, caller, _ string, _ credential.ID, _ bool) (enrol.CodeSent, error) {
	return enrol.CodeSent{Number: 1}, f.enter(ctx, "SendRevocationCode", caller)
}

func (f fakeEnrol) RevokeWithCode(ctx context.Context, caller, _ string, _ credential.ID, _, _ string) (tenure.CredentialView, error) {
	return tenure.CredentialView{}, f.enter(ctx, "RevokeWithCode", caller)
}

func (f fakeEnrol) Credential(ctx context.Context, _ credential.ID, client string) (tenure.CredentialView, error) {
	return tenure.CredentialView{}, f.enter(ctx, "Credential", client)
}

func (f fakeEnrol) Credentials(ctx context.Context, client string, _ credential.ID, limit int) ([]tenure.CredentialView, error) {
	return make([]tenure.CredentialView, limit), f.enter(ctx, "Credentials", client)
}

func (f fakeEnrol) GrantAccess(ctx context.Context, caller, _ string, _ credential.ID, _ string) error {
	return f.enter(ctx, "GrantAccess", caller)
}

func (f fakeEnrol) WithdrawAccess(ctx context.Context, caller, _ string, _ credential.ID, _ string) error {
	return f.enter(ctx, "WithdrawAccess", caller)
}

func (f fakeEnrol) Revoke(ctx context.Context, caller, _ string, _ credential.ID, _ string) error {
	return f.enter(ctx, "Revoke", caller)
}

func (f fakeEnrol) Unlock(ctx context.Context, caller, _, _, _ string) error {
	return f.enter(ctx, "Unlock", caller)
}

// fakeSigner answers as signer.Service would.
type fakeSigner struct{ *fakes }

var _ Signing = fakeSigner{}

// Upload keeps what ends with io.EOF, is not empty and not above the limit.
func (f fakeSigner) Upload(ctx context.Context, caller signer.Caller, _, name string, r io.Reader) (signer.Document, error) {
	if f.begun != nil {
		close(f.begun)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, f.limit+1))
	switch {
	case err != nil:
	case n > f.limit:
		err = &signer.FieldError{Field: "document", Text: "over the limit", Err: signer.ErrTooLarge}
	case n == 0:
		err = &signer.FieldError{Field: "document", Text: "no bytes", Err: signer.ErrEmpty}
	default:
		err = f.enter(ctx, "Upload", caller.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upload = err
	if err == nil {
		f.kept++
	}
	if f.done != nil {
		close(f.done)
	}
	return signer.Document{ID: "doc-1", Name: name, Size: n}, err
}

func (f fakeSigner) Artifact(ctx context.Context, caller signer.Caller, _ signer.OperationID, _ int, _ bool, _ cades.Level) (signer.Artifact, error) {
	return f.result, f.enter(ctx, "Artifact", caller.Name)
}

func (f fakeSigner) List(ctx context.Context, caller signer.Caller, q signer.Query) ([]signer.View, signer.Cursor, error) {
	f.mu.Lock()
	f.query = q
	views, next := f.operations, f.cursor
	f.mu.Unlock()
	return views, next, f.enter(ctx, "List", caller.Name)
}

func (f fakeSigner) Get(ctx context.Context, caller signer.Caller, _ signer.OperationID) (signer.View, error) {
	f.mu.Lock()
	v := f.operation
	f.mu.Unlock()
	return v, f.enter(ctx, "Get", caller.Name+"/"+caller.Registered)
}

func (f fakeSigner) Create(ctx context.Context, caller signer.Caller, _ string, c signer.CreateRequest) (signer.View, error) {
	f.mu.Lock()
	f.create = c
	f.mu.Unlock()
	v := signer.View{State: signer.StateSigned}
	for _, it := range c.Items {
		v.Items = append(v.Items, signer.ItemView{Format: it.Format, Result: make([]byte, 6000)})
	}
	return v, f.enter(ctx, "Create", caller.Name)
}

func (f fakeSigner) SendCode(ctx context.Context, caller signer.Caller, _ string, _ signer.OperationID) (signer.CodeSent, error) {
	return signer.CodeSent{Number: 1}, f.enter(ctx, "SendCode", caller.Name)
}

func (f fakeSigner) NewCode(ctx context.Context, caller signer.Caller, _ string, _ signer.OperationID) (signer.CodeSent, error) {
	return signer.CodeSent{Number: 2}, f.enter(ctx, "NewCode", caller.Name)
}

func (f fakeSigner) Authorize(ctx context.Context, caller signer.Caller, _ signer.OperationID, _ string) (signer.View, error) {
	return signer.View{}, f.enter(ctx, "Authorize", caller.Name)
}

func (f fakeSigner) Cancel(ctx context.Context, caller signer.Caller, _ string, _ signer.OperationID) (signer.View, error) {
	return signer.View{}, f.enter(ctx, "Cancel", caller.Name)
}

func (f fakeSigner) Complete(ctx context.Context, caller signer.Caller, _ string, _ signer.OperationID) (signer.View, error) {
	return signer.View{}, f.enter(ctx, "Complete", caller.Name)
}

// fakeLog has three entries, the second as large as an entry can be.
type fakeLog struct{ *fakes }

func (f fakeLog) Checkpoint(ctx context.Context) ([]byte, error) {
	return []byte("checkpoint"), f.enter(ctx, "Checkpoint", "")
}

func (f fakeLog) Receipt(ctx context.Context, index int64) ([]byte, error) {
	if index >= 3 {
		return nil, signer.ErrNotFound
	}
	return []byte("receipt"), f.enter(ctx, "Receipt", "")
}

func (f fakeLog) Entries(ctx context.Context, start int64, limit int) ([][]byte, error) {
	if start >= 3 {
		return nil, nil
	}
	all := make([][]byte, limit)
	for i := range all {
		all[i] = make([]byte, 65535)
	}
	return all, f.enter(ctx, "Entries", "")
}

// Select finds nothing under a head of one entry.
func (f fakeLog) Select(ctx context.Context, start int64, _ audit.Filter, _ int, _ bool) (audit.Selection, error) {
	f.mu.Lock()
	found := f.selection
	f.mu.Unlock()
	if start >= found.Size {
		found.Entries, found.Next = nil, start
	}
	return found, f.enter(ctx, "Select", "")
}

func (f fakeLog) Consistency(ctx context.Context, oldSize int64) ([]byte, [][]byte, error) {
	if oldSize > 3 {
		return nil, nil, signer.ErrNotFound
	}
	return []byte("checkpoint"), nil, f.enter(ctx, "Consistency", "")
}

// fakeIssuer issues a chain of two empty certificates.
type fakeIssuer struct{ *fakes }

func (f fakeIssuer) Issue(ctx context.Context, caller, _ string, r ClientRequest) ([][]byte, error) {
	f.mu.Lock()
	f.issued = r
	f.mu.Unlock()
	return [][]byte{{1}, {2}}, f.enter(ctx, "Issue", caller)
}

// fakeAugmenting stands for the use case of raising signatures.
type fakeAugmenting struct{ *fakes }

func (f fakeAugmenting) Augment(ctx context.Context, caller, _ string, r augment.Request) (augment.View, error) {
	f.mu.Lock()
	f.augment = r
	f.mu.Unlock()
	return augment.View{}, f.enter(ctx, "Augment", caller)
}

func (f fakeAugmenting) Get(ctx context.Context, caller, _ string) (augment.View, error) {
	return augment.View{Revision: 1, Progress: augment.Progress{Ready: true}}, f.enter(ctx, "GetAugmentation", caller)
}

func (f fakeAugmenting) Open(ctx context.Context, caller, _ string, _ bool) (augment.File, error) {
	return f.result, f.enter(ctx, "Open", caller)
}

func (f fakeAugmenting) Complete(ctx context.Context, caller, _ string) (augment.View, error) {
	return augment.View{}, f.enter(ctx, "CompleteAugmentation", caller)
}

func (f fakeAugmenting) StampDigest(ctx context.Context, caller string, _ credential.ID, _ crypto.Hash, _ []byte) ([]byte, error) {
	return nil, f.enter(ctx, "StampDigest", caller)
}

func (f fakeAugmenting) CollectEvidence(ctx context.Context, caller string, _ credential.ID, _ []byte, _ [][]byte, _ time.Time) (revinfo.Evidence, error) {
	return revinfo.Evidence{}, f.enter(ctx, "CollectEvidence", caller)
}
