package signer

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// Errors that a caller of the service meets, beside ErrNotFound and ErrOutcomeUnknown and those of the formats.
var (
	// ErrCredential: the credential is not active, its certificate is not valid now, or it is not granted to the caller.
	// All three answer alike to a caller without a grant.
	ErrCredential = errors.New("signer: credential cannot be used")
	// ErrInput: a field of the request is wrong; the FieldError around it names the field.
	ErrInput = errors.New("signer: request is wrong")
	// ErrRequestReused: the request id was used before with another body.
	ErrRequestReused = errors.New("signer: request id was used with another body")
	// ErrState: the operation is in a state where this call has no meaning.
	ErrState = errors.New("signer: operation is in another state")
	// ErrCode: the code was not accepted; the CodeError around it says why and how many tries are left.
	ErrCode = errors.New("signer: code not accepted")
	// ErrInProgress: the operation is being signed right now; ask again.
	ErrInProgress = errors.New("signer: signing is in progress")
	// ErrActivationExpired: the operation was interrupted too long ago to be resumed; make a new one.
	ErrActivationExpired = sam.ErrExpired
	// ErrWithheld: a signature was made but not released, because the credential or the fence changed meanwhile.
	ErrWithheld = errors.New("signer: signature withheld")
	// ErrTooLarge: the document exceeds the limit of this installation.
	ErrTooLarge = errors.New("signer: document too large")
	// ErrEmpty: the document has no bytes.
	ErrEmpty = errors.New("signer: document is empty")
	// ErrGone: the document was fetched and acknowledged, or its time is over; the signature stays available.
	ErrGone = errors.New("signer: document is no longer kept")
	// ErrIntegrity: a stored record was changed outside this program. An alarm is in the operation log.
	ErrIntegrity = errors.New("signer: stored record was tampered with")
)

// FieldError says which field of a request is wrong, and how.
type FieldError struct {
	Field string // path in the request, e.g. "items[0].hash"
	Text  string // what is wrong and what to do
	Err   error  // the sentinel
}

func (e *FieldError) Error() string { return e.Err.Error() + ": " + e.Field + ": " + e.Text }

// Unwrap returns the sentinel.
func (e *FieldError) Unwrap() error { return e.Err }

// FieldName returns the field's path.
func (e *FieldError) FieldName() string { return e.Field }

// CodeError says why a code was not accepted.
type CodeError struct {
	Result    otp.Result
	TriesLeft int
}

func (e *CodeError) Error() string {
	return fmt.Sprintf("%v: %s, tries left: %d", ErrCode, e.Result, e.TriesLeft)
}

// Unwrap returns ErrCode.
func (e *CodeError) Unwrap() error { return ErrCode }

// Caller is the authenticated document system.
type Caller struct {
	Name       string // in its certificate
	Registered string // display name that the person is shown
}

// Typeface is a font for the text of visible signatures, and one for the name or nil, both TrueType files.
type Typeface struct {
	Regular, Bold []byte
}

// Config wires a Service. All fields are required but Levels, Typefaces, Parts and Notice.
type Config struct {
	Levels    Levels              // nil: no level above B-B is offered
	Typefaces map[string]Typeface // that callers may name
	Store     Store
	Spool     Spool
	Trust     Activator
	Memory    *otp.Memory
	Codes     otp.Limits
	Now       func() time.Time
	Rand      io.Reader
	MaxBytes  int64         // of one document
	Quota     int64         // bytes that are kept for one caller; 0: no limit
	Keep      time.Duration // how long a document is kept at most
	Life      time.Duration // of an operation that waits for its code
	Notice    bool          // a text tells the person of each signature
	Parts     int           // of the phone network that a text may take; 0: sms.DefaultParts
	Alarm     func(ctx context.Context, kind, subject string, err error)
}

// Limits of one operation.
const (
	maxItems    = 100
	maxTitle    = 200              // characters
	maxRoom     = 4 << 20          // bytes of a CMS in a PDF that stays with the client
	signTimeout = 25 * time.Second // for the HSM and the record; below the lease
)

// ActivationLife is how long an operation that was interrupted after its activation can be resumed.
const ActivationLife = 2 * time.Minute

// Service is the use case of signing. It is safe for concurrent use.
type Service struct {
	Config
	quota  *quota
	hashed *hashed

	mu     sync.Mutex
	flight map[OperationID]chan struct{} // operations that this process is signing
}

// New checks the wiring.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Spool == nil || c.Trust == nil || c.Memory == nil || c.Now == nil || c.Rand == nil ||
		c.Alarm == nil || c.MaxBytes <= 0 || c.Life <= 0 {
		return nil, errors.New("signer: incomplete configuration")
	}
	return &Service{Config: c, quota: newQuota(c.Quota, c.Keep), hashed: newHashed(), flight: map[OperationID]chan struct{}{}}, nil
}

// View is an operation as its caller sees it.
type View struct {
	ID         OperationID
	Version    uint64 // rises with each change
	State      State
	Outcome    string
	Credential credential.ID
	Title      string
	Language   string
	Algorithm  credential.Scheme // empty like Title once the epoch of a finished operation is over
	Created    time.Time
	Expires    time.Time
	Items      []ItemView
	Documents  []byte   // DocumentsDigest of what the person is shown
	HighValue  bool     // its codes are longer
	Code       CodeSent // the present one, in state requested
	Receipt    []byte   // of the signatures' log entry, in state signed
}

// ItemView is one item of a View; Signature and Result are there in state signed.
type ItemView struct {
	Format    Format
	Document  string
	Digest    []byte // SHA-256 of the document, or the given hash
	DTBSR     []byte
	Signature []byte // DER for ECDSA, plain bytes for RSA
	Result    []byte // raw signature, CMS, or the bytes to append to the PDF

	Level  cades.Level        // asked for
	Levels []augment.Progress // above B-B, from state signed on
	Room   int                // PAdESHash: bytes that the CMS takes at most
}

// Get returns an operation of the caller. Foreign and unknown operations are both ErrNotFound.
func (s *Service) Get(ctx context.Context, caller Caller, id OperationID) (View, error) {
	var o Operation
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		o, err = own(tx, caller, id)
		return err
	})
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, o)
}

// own returns the operation if it belongs to the caller.
func own(tx Tx, caller Caller, id OperationID) (Operation, error) {
	o, err := tx.Operation(id)
	if err != nil {
		return Operation{}, err
	}
	if o.Caller != caller.Name {
		return Operation{}, ErrNotFound
	}
	return o, nil
}

// view opens the seal before it shows anything, so that what a database writer changed is never shown as genuine.
func (s *Service) view(ctx context.Context, o Operation) (View, error) {
	v, items, err := s.opened(ctx, o)
	if err == nil && o.State == StateRequested {
		v.Code, err = s.present(ctx, o)
	}
	if err != nil || o.State != StateSigned {
		return v, err
	}
	for i := range v.Items {
		if i < len(o.Signatures) && i < len(o.Results) {
			v.Items[i].Signature, v.Items[i].Result = o.Signatures[i], o.Results[i]
		}
	}
	if v.Receipt, err = s.receipt(ctx, o, items); err != nil {
		return View{}, err
	}
	return v, s.progress(ctx, &v)
}

// progress adds how far the levels above B-B are.
func (s *Service) progress(ctx context.Context, v *View) error {
	if !slices.ContainsFunc(v.Items, func(it ItemView) bool { return it.Level > cades.LevelBB }) {
		return nil
	}
	return s.Store.View(ctx, func(tx Tx) error {
		jobs, err := tx.Jobs(string(v.ID))
		if err != nil {
			return err
		}
		made, err := tx.ArtefactsOf(string(v.ID))
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.Item < len(v.Items) {
				v.Items[j.Item].Levels = augment.Levels(j, made)
				v.Version += j.Version // so that it rises with each change of theirs
			}
		}
		return nil
	})
}

// Settled tells that nothing of the operation will change any more.
func (v View) Settled() bool {
	if v.State != StateSigned {
		return v.State == StateClosed
	}
	for _, it := range v.Items {
		for _, p := range it.Levels {
			if !p.Ready && !p.Ended {
				return false
			}
		}
	}
	return true
}

// opened is view without what an operation has only once it is signed.
func (s *Service) opened(ctx context.Context, o Operation) (View, []Item, error) {
	v := View{
		ID: o.ID, Version: o.Version, State: o.State, Outcome: o.Outcome, Credential: o.Credential, Created: o.Created, Expires: o.Expires,
	}
	items, err := UnmarshalItems(o.Items)
	if err != nil {
		return View{}, nil, s.integrity(ctx, "operation", string(o.ID), err)
	}
	sealed, err := s.Trust.OpenOperation(ctx, o.Sealed)
	switch {
	case err == nil:
		if err := matches(o, sealed); err != nil {
			return View{}, nil, s.integrity(ctx, "operation", string(o.ID), err)
		}
		v.Title, v.Language, v.Algorithm = sealed.Title, sealed.Language, sealed.Algorithm
		v.HighValue = sealed.Digits > 0
		v.Documents = DocumentsDigest(sealed.Documents)
	case errors.Is(err, sam.ErrSeal) && (o.State == StateSigned || o.State == StateClosed):
		// Finished in an earlier epoch, whose keys are gone. What was signed is proven by signature and log.
	default:
		return View{}, nil, s.integrity(ctx, "operation", string(o.ID), err)
	}
	for _, it := range items {
		v.Items = append(v.Items, ItemView{
			Format: it.Format, Document: it.Document, Digest: it.Digest, DTBSR: it.DTBSR, Level: max(it.Level, cades.LevelBB), Room: it.Room,
		})
	}
	return v, items, nil
}

// matches holds the stored columns against the sealed record.
func matches(o Operation, sealed sam.Operation) error {
	details := sha256.Sum256(o.Items)
	if sealed.ID != string(o.ID) || sealed.Caller != o.Caller || sealed.Credential != o.Credential ||
		string(sealed.Details) != string(details[:]) || !sealed.Expires.Equal(o.Expires) {
		return fmt.Errorf("%w: columns differ from the sealed operation", sam.ErrSeal)
	}
	return nil
}

// integrity turns a broken seal, or attempts set back, into ErrIntegrity and an alarm; other errors pass.
func (s *Service) integrity(ctx context.Context, kind, subject string, err error) error {
	if !errors.Is(err, sam.ErrSeal) && !errors.Is(err, sam.ErrEncoding) && !errors.Is(err, ErrItems) &&
		!errors.Is(err, credential.ErrEncoding) && !errors.Is(err, sam.ErrStale) && !errors.Is(err, sam.ErrNotAuthorised) &&
		!errors.Is(err, otp.ErrBehind) {
		return err
	}
	var lock *otp.BehindError
	if errors.As(err, &lock) {
		kind, subject = "lock", lock.Account
	}
	s.Alarm(ctx, kind, subject, err)
	reason := err.Error()
	_, _ = s.Store.Update(ctx, func(tx Tx) error {
		tx.Append(audit.IntegrityAlarm{Record: kind, Subject: subject, Reason: reason})
		return nil
	})
	return fmt.Errorf("%w: %w", ErrIntegrity, err)
}

// usable is a credential that may sign now, with its verified binding.
type usable struct {
	record  credential.Record
	binding credential.Binding
	chain   *cades.Chain
	leaf    *x509.Certificate // the first of chain
}

// usable reads the credential and checks grant, seal, status, certificate and validity. What else is needed is read from
// the same snapshot.
func (s *Service) usable(ctx context.Context, caller Caller, id credential.ID, also ...func(Tx)) (usable, error) {
	var r credential.Record
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		for _, read := range also {
			read(tx)
		}
		r, err = granted(tx, caller, id)
		return err
	})
	return s.judge(ctx, id, r, err)
}

// granted reads a credential that the caller was granted; any other is ErrNotFound.
func granted(tx Tx, caller Caller, id credential.ID) (credential.Record, error) {
	if _, err := tx.Grant(id, caller.Name); err != nil {
		return credential.Record{}, err
	}
	return tx.Credential(id)
}

// judge decides on a credential that granted has read, or on the error that it met.
func (s *Service) judge(ctx context.Context, id credential.ID, r credential.Record, err error) (usable, error) {
	if errors.Is(err, ErrNotFound) {
		return usable{}, &FieldError{"credential", "unknown to this client; ask the operator for a grant", ErrCredential}
	}
	if err != nil {
		return usable{}, err
	}
	b, err := s.Trust.OpenBinding(ctx, r.Sealed)
	if err = s.unlessReplaced(ctx, r, err); errors.Is(err, errMoved) {
		return usable{}, err
	}
	if err != nil {
		return usable{}, s.integrity(ctx, "binding", string(id), err)
	}
	destroyed := b.Status == credential.Revoked && len(r.WrappedKey) == 0 // with the revocation, as it should be
	if b.ID != id || r.Version != b.Version || len(r.Chain) == 0 || sum(r.Chain[0]) != string(b.Certificate) ||
		!destroyed && sum(r.WrappedKey) != string(b.WrappedKey) || string(sam.PhoneCommitment(r.PhoneSalt, r.Phone)) != string(b.Phone) {
		return usable{}, s.integrity(ctx, "binding", string(id), fmt.Errorf("%w: credential differs from its binding", sam.ErrSeal))
	}
	chain, err := cades.ParseChain(r.Chain)
	if err != nil {
		return usable{}, fmt.Errorf("reading the certificates of %s: %w", id, err)
	}
	leaf := chain.Leaf()
	now := s.Now()
	switch {
	case b.Status != credential.Active:
		return usable{}, &FieldError{"credential", "it is " + string(b.Status), ErrCredential}
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return usable{}, &FieldError{"credential", "its certificate is not valid now", ErrCredential}
	}
	return usable{record: r, binding: b, chain: chain, leaf: leaf}, nil
}

// unlessReplaced returns err, but errMoved where the stored credential is a newer one than was read: a binding that is
// older than what is known was then not put back, but read just before it was replaced.
func (s *Service) unlessReplaced(ctx context.Context, read credential.Record, err error) error {
	if !errors.Is(err, sam.ErrStale) {
		return err
	}
	var stored credential.Record
	if failed := s.Store.View(ctx, func(tx Tx) (err error) {
		stored, err = tx.Credential(read.ID)
		return err
	}); failed != nil {
		return failed // it will be judged when it can be read
	}
	if stored.Version > read.Version {
		return errMoved
	}
	return err
}

// sum returns SHA-256 as a comparable string.
func sum(b []byte) string {
	h := sha256.Sum256(b)
	return string(h[:])
}

// newID returns prefix and 128 random bits in base32.
func (s *Service) newID(prefix string) (string, error) {
	b, err := s.random(16)
	if err != nil {
		return "", err
	}
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), nil
}

func (s *Service) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}
