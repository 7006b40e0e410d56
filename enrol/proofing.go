package enrol

import (
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/sam"
)

// Proofing is what a row keeps about identity proofing beside the sealed result: where to ask, and why it came to nothing.
type Proofing struct {
	Provider string // both empty once no session can bring a result any more
	Session  string
	URL      string // where the person goes
	Expires  time.Time
	Reason   Reason
	Fields   string // names of fields, comma between
	Report   []byte // everything that was reported; its SHA-256 is sealed
}

func (p Proofing) fields() []string {
	if p.Fields == "" {
		return nil
	}
	return strings.Split(p.Fields, ",")
}

// found holds a positive result against the enrolment.
func (s *Service) found(from record, i IdentityResult, now time.Time) person.Findings {
	e := from.sealed
	return i.Find(person.Given{
		IdentifierType: e.Type, ForOrganisation: e.ForOrg, Person: e.Person, BirthDate: from.row.BirthDate, Phone: from.row.Phone,
	}, now, s.ProofAge)
}

// reportedAs is how the log tells of a result.
func reportedAs(i IdentityResult, from record, outcome string) audit.Event {
	return audit.IdentityReported{
		Enrolment: from.row.ID, Outcome: outcome, Evidence: i.EvidenceDigest(), Caller: from.sealed.Identity.Provider,
	}
}

// identityOf is the sealed result. Its time is never after now: a provider whose clock is ahead makes no proof younger.
func identityOf(i IdentityResult, from record, now time.Time) sam.Identity {
	asked := from.sealed.Identity
	at := i.CompletedAt
	if at.After(now) {
		at = now
	}
	id := sam.Identity{
		Outcome: i.Outcome, Provider: asked.Provider, Reference: asked.Reference, Session: asked.Session, Method: i.Method,
		Report: digest(i.Report(asked.Provider)), Evidence: i.EvidenceDigest(), At: at,
	}
	if i.Outcome == Positive {
		id.Person, id.Phone = i.Proven(from.sealed.Person), sam.PhoneCommitment(from.row.PhoneSalt, i.Phone)
	}
	return id
}
