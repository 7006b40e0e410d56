package enrol

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Errors of identity providers and their callbacks.
var (
	// ErrProvider: the identity provider cannot be asked now. The same call may succeed later.
	ErrProvider = errors.New("enrol: identity provider does not answer")
	// ErrCallback: a callback was not authenticated: signed by nobody we know, too old, or by a provider that is unknown.
	ErrCallback = errors.New("enrol: callback is not authentic")
	// ErrCallbackBody: an authenticated callback cannot be read.
	ErrCallbackBody = errors.New("enrol: callback cannot be read")
	// ErrForeignResult: a provider answered for another session or reference than it was asked for.
	ErrForeignResult = errors.New("enrol: result belongs to another proofing")
)

// Provider proves identities at a distance and is asked over the network. It is safe for concurrent use. Adapters are in
// enrol/proofing.
type Provider interface {
	// Start opens a session. It may be called again for the same request: each call is a session of its own. ErrProvider
	// when none could be opened.
	Start(ctx context.Context, r ProofingRequest) (Session, error)
	// ParseCallback checks that the provider signed exactly this body, before it reads any of it. It does no I/O. A
	// callback is never a result: it says where to look. ErrCallback, ErrCallbackBody.
	ParseCallback(header http.Header, body []byte, now time.Time) (Callback, error)
	// Fetch asks for the result of a session. It is the one authority on it. ErrProvider when it cannot be had.
	Fetch(ctx context.Context, session string) (Result, error)
	// Evidence opens the provider's evidence package of a session, nil when it has none. The caller closes it.
	Evidence(ctx context.Context, session string) (io.ReadCloser, error)
}

// ProofingRequest says whom to prove. What is claimed helps the provider; what it proves is what counts.
type ProofingRequest struct {
	Reference string // ours, which the result has to repeat
	Language  string // ISO 639-1
	Claimed   Person
	BirthDate string // YYYY-MM-DD
	Phone     string // E.164, confirmed by a code
}

// Session is where a person proves who they are.
type Session struct {
	ID      string    // the provider's name of it
	URL     string    // where the person goes
	Expires time.Time // zero where the provider does not say
}

// Callback says that there may be something new about a session.
type Callback struct {
	Session string
	Event   string // the same for each delivery of the same event
}

// Progress is what a provider says about a session.
type Progress string

// Progress of a session. Only these four end it for us when final: positive, negative, expired, cancelled.
const (
	ProgressPending   Progress = "pending"   // the person is not through yet, or has to try again
	ProgressPositive  Progress = "positive"  // proven
	ProgressNegative  Progress = "negative"  // not proven
	ProgressDeferred  Progress = "deferred"  // somebody at the provider looks at it
	ProgressExpired   Progress = "expired"   // the person did not come in time
	ProgressCancelled Progress = "cancelled" // the person or the provider gave up
)

// Result is what a provider found about a session (ETSI TS 119 461 clause 8.5).
type Result struct {
	Session   string
	Reference string // of the request
	Progress  Progress
	Final     bool // false: the provider may still change its mind
	Level     string
	Method    string
	Person    Person // names, organisation
	// Identifiers that were proven. The one of the kind that the certificate shall have is taken.
	Identifiers []Identifier
	BirthDate   string // YYYY-MM-DD
	Phone       string // E.164, proven by the provider
	Document    Document
	Reasons     []string // codes of the provider
	At          time.Time
}

// Identifier of a person (EN 319 412-1 clause 5.1.3).
type Identifier struct{ Type, Country, Value string }
