package proofing

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
)

// Veriff asks Veriff by its public API, version 1: sessions, decisions, and both of its webhooks.
//
// Its webhooks carry no time and no event id: the same bytes are the same event, and an old one that is sent again only
// has the decision fetched again.
type Veriff struct {
	Link
	// URL is the address of the API, without /v1.
	URL string
	// IdentifierType is what an idNumber of a decision is: PNO or TIN (EN 319 412-1 clause 5.1.3).
	IdentifierType string
	// PhoneField is where the decision has the phone that Veriff itself verified, names with dots between, from the
	// top of the answer. Without such a phone nobody gets a certificate.
	PhoneField string

	http *http.Client
}

var _ enrol.Provider = (*Veriff)(nil)

// Headers of Veriff: who calls, and the lower-case hex HMAC-SHA-256 of a body, or of the session's id where there is none.
const (
	VeriffClientHeader    = "X-Auth-Client"
	VeriffSignatureHeader = "X-Hmac-Signature"
)

// NewVeriff checks the description of an integration.
func NewVeriff(v Veriff) (*Veriff, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if err := secureURL(v.URL); err != nil {
		return nil, err
	}
	if v.IdentifierType != "PNO" && v.IdentifierType != "TIN" {
		return nil, fmt.Errorf("%w: what its idNumber is must be PNO or TIN", ErrConfig)
	}
	if v.PhoneField == "" {
		return nil, fmt.Errorf("%w: name the field of the decision that has the verified phone", ErrConfig)
	}
	v.URL = strings.TrimRight(v.URL, "/")
	v.http = v.client()
	return &v, nil
}

func (v *Veriff) header(signed []byte) http.Header {
	h := http.Header{}
	h.Set(VeriffClientHeader, string(v.Key))
	h.Set(VeriffSignatureHeader, sign(v.Secrets[0], signed))
	return h
}

// signedAnswer refuses an answer whose signature is there but wrong. TLS vouches for those without.
func (v *Veriff) signedAnswer(header http.Header, body []byte) error {
	if header.Get(VeriffSignatureHeader) == "" {
		return nil
	}
	if err := v.authentic(header, VeriffSignatureHeader, body); err != nil {
		return fmt.Errorf("%w: its answer is wrongly signed", enrol.ErrProvider)
	}
	return nil
}

type veriffSession struct {
	Verification struct {
		ID  string `json:"id"`
		URL string `json:"url"`
	} `json:"verification"`
}

type veriffDecision struct {
	Status       string `json:"status"`
	Verification *struct {
		ID         string `json:"id"`
		Code       int    `json:"code"`
		Status     string `json:"status"`
		VendorData string `json:"vendorData"`
		ReasonCode *int   `json:"reasonCode"`
		Decided    string `json:"decisionTime"`
		Person     struct {
			FirstName   *string `json:"firstName"`
			LastName    *string `json:"lastName"`
			IDNumber    *string `json:"idNumber"`
			DateOfBirth *string `json:"dateOfBirth"`
		} `json:"person"`
		Document struct {
			Type       *string `json:"type"`
			Number     *string `json:"number"`
			Country    *string `json:"country"`
			ValidUntil *string `json:"validUntil"`
		} `json:"document"`
	} `json:"verification"`
}

// Start implements enrol.Provider.
func (v *Veriff) Start(ctx context.Context, r enrol.ProofingRequest) (enrol.Session, error) {
	verification := map[string]any{
		"vendorData": r.Reference,
		"person": map[string]string{
			"firstName": r.Claimed.GivenName, "lastName": r.Claimed.Surname, "dateOfBirth": r.BirthDate, "phoneNumber": r.Phone,
		},
	}
	if v.ReturnURL != "" {
		verification["callback"] = v.ReturnURL
	}
	body, err := json.Marshal(map[string]any{"verification": verification})
	if err != nil {
		return enrol.Session{}, err
	}
	b, header, err := v.read(ctx, v.http, http.MethodPost, v.URL+"/v1/sessions", v.header(body), body)
	if err != nil {
		return enrol.Session{}, err
	}
	if err := v.signedAnswer(header, b); err != nil {
		return enrol.Session{}, err
	}
	var s veriffSession
	if err := parse(b, &s); err != nil || s.Verification.ID == "" || personURL(s.Verification.URL) != nil {
		return enrol.Session{}, fmt.Errorf("%w: it opened no usable session", enrol.ErrProvider)
	}
	return enrol.Session{ID: s.Verification.ID, URL: s.Verification.URL}, nil
}

// ParseCallback implements enrol.Provider, for the webhook of decisions and that of events.
func (v *Veriff) ParseCallback(header http.Header, body []byte, _ time.Time) (enrol.Callback, error) {
	if err := v.authentic(header, VeriffSignatureHeader, body); err != nil {
		return enrol.Callback{}, err
	}
	if !hmac.Equal([]byte(header.Get(VeriffClientHeader)), v.Key) {
		return enrol.Callback{}, fmt.Errorf("%w: it is of another integration", enrol.ErrCallback)
	}
	var c struct {
		ID           string `json:"id"`
		Verification *struct {
			ID string `json:"id"`
		} `json:"verification"`
	}
	if err := parse(body, &c); err != nil {
		return enrol.Callback{}, fmt.Errorf("%w: %w", enrol.ErrCallbackBody, err)
	}
	session := c.ID
	if c.Verification != nil {
		session = c.Verification.ID
	}
	if session == "" || c.Verification != nil && c.ID != "" && c.ID != session {
		return enrol.Callback{}, fmt.Errorf("%w: it names not one session", enrol.ErrCallbackBody)
	}
	sum := sha256.Sum256(body)
	return enrol.Callback{Session: session, Event: hex.EncodeToString(sum[:])}, nil
}

// decision fetches the decision of a session as it came.
func (v *Veriff) decision(ctx context.Context, session string) ([]byte, error) {
	address := v.URL + "/v1/sessions/" + url.PathEscape(session) + "/decision"
	b, header, err := v.read(ctx, v.http, http.MethodGet, address, v.header([]byte(session)), nil)
	if err != nil {
		return nil, err
	}
	return b, v.signedAnswer(header, b)
}

// Fetch implements enrol.Provider.
func (v *Veriff) Fetch(ctx context.Context, session string) (enrol.Result, error) {
	b, err := v.decision(ctx, session)
	if err != nil {
		return enrol.Result{}, err
	}
	var d veriffDecision
	if err := parse(b, &d); err != nil || d.Status != "success" {
		return enrol.Result{}, fmt.Errorf("%w: its decision cannot be read", enrol.ErrProvider)
	}
	if d.Verification == nil { // not decided yet, so nothing that could be mistaken for another session's
		return enrol.Result{Session: session, Progress: enrol.ProgressPending}, nil
	}
	x := d.Verification
	at, err := instant(x.Decided)
	if err != nil {
		return enrol.Result{}, fmt.Errorf("%w: its decision has no readable time", enrol.ErrProvider)
	}
	r := enrol.Result{
		Session: x.ID, Reference: x.VendorData, Method: "remote document and face", At: at, Phone: textAt(b, v.PhoneField),
		Person:    enrol.Person{GivenName: text(x.Person.FirstName), Surname: text(x.Person.LastName)},
		BirthDate: text(x.Person.DateOfBirth),
		Document: enrol.Document{
			Type: text(x.Document.Type), Number: text(x.Document.Number), Country: text(x.Document.Country),
			Expires: text(x.Document.ValidUntil),
		},
	}
	if x.ReasonCode != nil {
		r.Reasons = []string{fmt.Sprint(*x.ReasonCode)}
	}
	r.Identifiers = v.identifiers(text(x.Person.IDNumber), r.Document)
	r.Progress, r.Final, err = progress(x.Status, x.Code)
	return r, err
}

// progress reads a decision. Status and code must agree where it matters: on a positive one.
func progress(status string, code int) (enrol.Progress, bool, error) {
	switch {
	case status == "approved" && code == 9001:
		return enrol.ProgressPositive, true, nil
	case status == "declined":
		return enrol.ProgressNegative, true, nil
	case status == "resubmission_requested":
		return enrol.ProgressPending, false, nil
	case status == "expired", status == "abandoned":
		return enrol.ProgressExpired, true, nil
	case status == "review":
		return enrol.ProgressDeferred, false, nil
	}
	return "", false, fmt.Errorf("%w: its decision is none we know", enrol.ErrProvider)
}

// identifiers of a person, as document and decision have them.
func (v *Veriff) identifiers(number string, d enrol.Document) []enrol.Identifier {
	var all []enrol.Identifier
	if number != "" {
		all = append(all, enrol.Identifier{Type: v.IdentifierType, Country: d.Country, Value: number})
	}
	kind := map[string]string{"PASSPORT": "PAS", "ID_CARD": "IDC"}[d.Type]
	if kind != "" && d.Number != "" {
		all = append(all, enrol.Identifier{Type: kind, Country: d.Country, Value: d.Number})
	}
	return all
}

// Evidence implements enrol.Provider: the decision as Veriff states it. Pictures and recordings stay there, found by the
// session.
func (v *Veriff) Evidence(ctx context.Context, session string) (io.ReadCloser, error) {
	b, err := v.decision(ctx, session)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(string(b))), nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// textAt returns the text at a path of names, empty where there is none.
func textAt(b []byte, path string) string {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	s, _ := v.(string)
	return s
}
