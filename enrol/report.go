package enrol

import (
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/credential"
)

// Reason says why a proofing did not end in an agreement.
type Reason string

// Reasons, as the view shows them beside the names of the fields that they are about.
const (
	ReasonDiffers           Reason = "data_differ"         // other data were proven than given: look at them
	ReasonPhoneDiffers      Reason = "phone_differs"       // another phone was proven than the one that was confirmed
	ReasonAttributeMissing  Reason = "attribute_missing"   // not proven, although the certificate needs it
	ReasonAttributeRefused  Reason = "attribute_refused"   // proven, but no certificate can say it
	ReasonBirthDateConflict Reason = "birth_date_conflict" // the proven birth date is not the one in the proven identifier
	ReasonTooOld            Reason = "too_old"             // the proof is too old to issue a certificate on it
	ReasonSessionEnded      Reason = "session_ended"       // the session ended without a result
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

const reportV1 = "ecsigner identity report v1"

// report encodes everything that was reported, so that the record shows on what the decision rests (TS 119 461
// ISS-8.5.2). Its SHA-256 is sealed.
func (i IdentityResult) report(provider string) []byte {
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
	w.Bytes(i.evidence())
	w.Time(i.CompletedAt)
	return w.Data()
}

// provenBirthDate reads the birth date from a report whose digest was checked; empty in one that cannot be read.
func provenBirthDate(report []byte) string {
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
