package person

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/sam"
	"golang.org/x/text/unicode/norm"
)

// clockSkew is how far the clock of an identity provider may be ahead of ours or behind.
const clockSkew = 5 * time.Minute

// Result is what an identity provider found (ETSI TS 119 461 clause 8.5).
type Result struct {
	Enrolment   string
	Reference   string // the enrolment's own
	Session     string // the provider's own, where it has one
	Outcome     sam.Outcome
	Level       string     // of identity proofing that was reached, as the provider says
	Method      string     // how it was proven, as the provider says
	Person      sam.Person // as proven; compared when positive
	BirthDate   string     // YYYY-MM-DD
	Phone       string     // E.164
	Document    Document   // that was presented
	Reasons     []string   // codes of the provider
	Evidence    []byte     // the evidence package: its SHA-256 is sealed, the provider keeps it
	CompletedAt time.Time

	// EvidenceSHA256 stands instead of Evidence where the package was hashed as it came.
	EvidenceSHA256 []byte
}

// Normal brings texts into Unicode normal form C, and the time to the precision that is stored.
func (i Result) Normal() Result {
	for _, s := range []*string{&i.Person.GivenName, &i.Person.Surname, &i.Person.LocalName, &i.Person.Organisation} {
		*s = norm.NFC.String(*s)
	}
	i.CompletedAt = i.CompletedAt.UTC().Truncate(time.Microsecond)
	return i
}

// EvidenceDigest is that of the evidence package, nil when there is none.
func (i Result) EvidenceDigest() []byte {
	if len(i.Evidence) == 0 {
		return i.EvidenceSHA256
	}
	sum := sha256.Sum256(i.Evidence)
	return sum[:]
}

// Document is the identity document that was presented.
type Document struct {
	Type, Number, Country string
	Expires               string // YYYY-MM-DD
}

// TakenIn are the states in which a result is taken. What is final is never overwritten but by a final refusal before the
// agreement is accepted: a provider that finds a fraud afterwards is heard. Negative is the end; only a new enrolment
// can be positive after it.
func (i Result) TakenIn() []sam.State {
	if i.Outcome == sam.Negative {
		return []sam.State{sam.StateProofing, sam.StateDeferred, sam.StateReview, sam.StateProven}
	}
	return []sam.State{sam.StateProofing, sam.StateDeferred}
}

// Timely refuses a result from before the proofing was asked for, or from the future.
func (i Result) Timely(e sam.Enrolment, now time.Time) error {
	asked := e.Identity.At
	if asked.IsZero() {
		asked = e.At // of a record that began before the start was sealed
	}
	if i.CompletedAt.Before(asked.Add(-clockSkew)) || i.CompletedAt.After(now.Add(clockSkew)) {
		return call.Wrong("complete_time", fmt.Errorf("%w: it must lie between the start of this proofing and now; check the clock", call.ErrField))
	}
	return nil
}

// Proven is the proven person. What no document proves, the name in the person's own script, is as given where the provider
// is silent. An organisation is what was proven, and none where the certificate names none.
func (i Result) Proven(given sam.Person) sam.Person {
	p := i.Person
	if p.LocalName == "" {
		p.LocalName = given.LocalName
	}
	if given.Organisation == "" {
		p.Organisation, p.OrganisationID = "", ""
	}
	return p
}

const reportV1 = "ecsigner identity report v1"

// Report encodes everything that was reported, so that the record shows on what the decision rests (TS 119 461
// ISS-8.5.2). Its SHA-256 is sealed.
func (i Result) Report(provider string) []byte {
	var w credential.Encoder
	w.String(reportV1)
	w.String(provider)
	w.String(i.Reference)
	w.String(i.Session)
	w.String(string(i.Outcome))
	w.String(i.Level)
	w.String(i.Method)
	person := []string{
		i.Person.GivenName, i.Person.Surname, i.Person.LocalName, i.Person.Country, i.Person.IdentifierType, i.Person.Identifier,
	}
	if i.Person.Organisation != "" || i.Person.OrganisationID != "" {
		person = append(person, i.Person.Organisation, i.Person.OrganisationID)
	}
	w.Strings(person)
	w.String(i.BirthDate)
	w.String(i.Phone)
	w.Strings([]string{i.Document.Type, i.Document.Number, i.Document.Country, i.Document.Expires})
	w.Strings(i.Reasons)
	w.Bytes(i.EvidenceDigest())
	w.Time(i.CompletedAt)
	return w.Data()
}

// ProvenBirthDate reads the birth date from a report whose digest was checked; empty in one that cannot be read.
func ProvenBirthDate(report []byte) string {
	d := credential.NewDecoder(report)
	if d.String() != reportV1 {
		return ""
	}
	for range 6 {
		_ = d.String()
	}
	_ = d.Strings()
	return d.String()
}
