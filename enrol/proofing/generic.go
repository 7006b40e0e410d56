package proofing

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
)

// SignatureHeader carries the lower-case hex HMAC-SHA-256 of a body, of what a generic provider sends and gets.
const SignatureHeader = "Ecsigner-Signature"

// Generic is a provider that speaks the format of docs/formats.md.
type Generic struct {
	Link
	// StartURL opens a session. FetchURL and EvidenceURL have {session} where the session's id goes. EvidenceURL may be
	// empty.
	StartURL, FetchURL, EvidenceURL string
	// Tolerance is how old a callback may be, and how far the provider's clock may be ahead.
	Tolerance time.Duration

	http *http.Client
}

var _ enrol.Provider = (*Generic)(nil)

// NewGeneric checks the description of a provider.
func NewGeneric(g Generic) (*Generic, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	if g.Tolerance <= 0 {
		return nil, fmt.Errorf("%w: the tolerance of time stamps must be positive", ErrConfig)
	}
	for _, a := range []struct {
		address        string
		names, missing bool
	}{{g.StartURL, false, false}, {g.FetchURL, true, false}, {g.EvidenceURL, true, true}} {
		if a.address == "" && a.missing {
			continue
		}
		if err := secureURL(a.address); err != nil {
			return nil, err
		}
		if a.names != strings.Contains(a.address, "{session}") {
			return nil, fmt.Errorf("%w: {session} belongs into the addresses of result and evidence, and only there", ErrConfig)
		}
	}
	g.http = g.client()
	return &g, nil
}

type genericStart struct {
	Reference string        `json:"reference"`
	Language  string        `json:"language"`
	ReturnURL string        `json:"return_url,omitempty"`
	Claimed   genericPerson `json:"claimed"`
	Phone     string        `json:"phone"`
}

type genericPerson struct {
	GivenName      string `json:"given_name"`
	Surname        string `json:"surname"`
	LocalName      string `json:"local_name,omitempty"`
	Country        string `json:"country"`
	IdentifierType string `json:"identifier_type"`
	Identifier     string `json:"identifier"`
	BirthDate      string `json:"birth_date"`
	Organisation   string `json:"organisation,omitempty"`
	OrganisationID string `json:"organisation_id,omitempty"`
}

type genericSession struct {
	Session string `json:"session"`
	URL     string `json:"url"`
	Expires string `json:"expires_at"`
}

type genericResult struct {
	Session   string        `json:"session"`
	Reference string        `json:"reference"`
	Status    string        `json:"status"`
	Final     bool          `json:"final"`
	Level     string        `json:"level"`
	Method    string        `json:"method"`
	Person    genericPerson `json:"person"`
	Phone     string        `json:"phone"`
	Document  struct {
		Type    string `json:"type"`
		Number  string `json:"number"`
		Country string `json:"country"`
		Expires string `json:"expires"`
	} `json:"document"`
	Reasons   []string `json:"reasons"`
	Completed string   `json:"completed_at"`
}

type genericCallback struct {
	Event   string `json:"event"`
	Session string `json:"session"`
	At      string `json:"at"`
}

func (g *Generic) header(body []byte) http.Header {
	h := http.Header{}
	h.Set("Authorization", "Bearer "+string(g.Key))
	if body != nil {
		h.Set(SignatureHeader, sign(g.Secrets[0], body))
	}
	return h
}

// Start implements enrol.Provider.
func (g *Generic) Start(ctx context.Context, r enrol.ProofingRequest) (enrol.Session, error) {
	p := r.Claimed
	body, err := json.Marshal(genericStart{
		Reference: r.Reference, Language: r.Language, ReturnURL: g.ReturnURL, Phone: r.Phone,
		Claimed: genericPerson{
			GivenName: p.GivenName, Surname: p.Surname, LocalName: p.LocalName, Country: p.Country,
			IdentifierType: p.IdentifierType, Identifier: p.Identifier, BirthDate: r.BirthDate,
			Organisation: p.Organisation, OrganisationID: p.OrganisationID,
		},
	})
	if err != nil {
		return enrol.Session{}, err
	}
	b, _, err := g.read(ctx, g.http, http.MethodPost, g.StartURL, g.header(body), body)
	if err != nil {
		return enrol.Session{}, err
	}
	var s genericSession
	err = parse(b, &s)
	if err == nil {
		err = personURL(s.URL)
	}
	expires, bad := instant(s.Expires)
	if err != nil || bad != nil || s.Session == "" {
		return enrol.Session{}, fmt.Errorf("%w: it opened no usable session", enrol.ErrProvider)
	}
	return enrol.Session{ID: s.Session, URL: s.URL, Expires: expires}, nil
}

// personURL demands an address that a person can be sent to.
func personURL(text string) error {
	if len(text) > 2048 {
		return fmt.Errorf("%w: an address is longer than 2048 bytes", ErrConfig)
	}
	return secureURL(text)
}

// ParseCallback implements enrol.Provider.
func (g *Generic) ParseCallback(header http.Header, body []byte, now time.Time) (enrol.Callback, error) {
	if err := g.authentic(header, SignatureHeader, body); err != nil {
		return enrol.Callback{}, err
	}
	var c genericCallback
	if err := parse(body, &c); err != nil {
		return enrol.Callback{}, fmt.Errorf("%w: %w", enrol.ErrCallbackBody, err)
	}
	at, err := instant(c.At)
	if err != nil || at.IsZero() || c.Event == "" || c.Session == "" {
		return enrol.Callback{}, fmt.Errorf("%w: event, session and time are required", enrol.ErrCallbackBody)
	}
	if at.Before(now.Add(-g.Tolerance)) || at.After(now.Add(g.Tolerance)) {
		return enrol.Callback{}, fmt.Errorf("%w: its time is too far from ours", enrol.ErrCallback)
	}
	return enrol.Callback{Session: c.Session, Event: c.Event}, nil
}

// Fetch implements enrol.Provider.
func (g *Generic) Fetch(ctx context.Context, session string) (enrol.Result, error) {
	b, _, err := g.read(ctx, g.http, http.MethodGet, at(g.FetchURL, session), g.header(nil), nil)
	if err != nil {
		return enrol.Result{}, err
	}
	var r genericResult
	err = parse(b, &r)
	completed, bad := instant(r.Completed)
	if err != nil || bad != nil {
		return enrol.Result{}, fmt.Errorf("%w: its result cannot be read", enrol.ErrProvider)
	}
	progress := enrol.Progress(r.Status)
	switch progress {
	case enrol.ProgressPending, enrol.ProgressPositive, enrol.ProgressNegative, enrol.ProgressDeferred, enrol.ProgressExpired,
		enrol.ProgressCancelled:
	default:
		return enrol.Result{}, fmt.Errorf("%w: its result has an unknown status", enrol.ErrProvider)
	}
	p := r.Person
	return enrol.Result{
		Session: r.Session, Reference: r.Reference, Progress: progress, Final: r.Final, Level: r.Level, Method: r.Method,
		Person: enrol.Person{
			GivenName: p.GivenName, Surname: p.Surname, LocalName: p.LocalName,
			Organisation: p.Organisation, OrganisationID: p.OrganisationID,
		},
		Identifiers: []enrol.Identifier{{Type: p.IdentifierType, Country: p.Country, Value: p.Identifier}},
		BirthDate:   p.BirthDate, Phone: r.Phone,
		Document: enrol.Document{Type: r.Document.Type, Number: r.Document.Number, Country: r.Document.Country, Expires: r.Document.Expires},
		Reasons:  r.Reasons, At: completed,
	}, nil
}

// at puts a session's id into an address.
func at(address, session string) string {
	return strings.ReplaceAll(address, "{session}", url.PathEscape(session))
}

// Evidence implements enrol.Provider.
func (g *Generic) Evidence(ctx context.Context, session string) (io.ReadCloser, error) {
	if g.EvidenceURL == "" {
		return nil, nil //nolint:nilnil // the port's "none"
	}
	r, err := do(ctx, g.http, http.MethodGet, at(g.EvidenceURL, session), g.header(nil), nil)
	if err != nil {
		return nil, err
	}
	return r.Body, nil
}
