package person

import (
	"errors"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/sam"
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

// Findings is why a positive result makes no agreement by itself: nothing when it is just what the person gave.
type Findings struct {
	Reason Reason // empty: nothing was found
	Fields string // names of fields, comma between
}

// Given is what a person gave, against which a result is held.
type Given struct {
	IdentifierType  string // that the certificate shall have
	ForOrganisation bool
	Person          sam.Person
	BirthDate       string // YYYY-MM-DD
	Phone           string // that was confirmed
}

// Find holds a positive result against what was given, the gravest finding first. longest is the longest time from the proof
// until now.
func (i Result) Find(g Given, now time.Time, longest time.Duration) Findings {
	switch missing := i.missing(g.IdentifierType, g.ForOrganisation); {
	case now.Sub(i.CompletedAt) > longest:
		return Findings{Reason: ReasonTooOld}
	case len(missing) > 0:
		return Findings{ReasonAttributeMissing, strings.Join(missing, ",")}
	case birthDateConflicts(i):
		return Findings{ReasonBirthDateConflict, "birth_date,identifier"}
	case i.Phone != g.Phone:
		return Findings{ReasonPhoneDiffers, "phone"}
	}
	proven := i.Proven(g.Person)
	data := Data{
		GivenName: proven.GivenName, Surname: proven.Surname, LocalName: proven.LocalName, Country: proven.Country,
		Identifier: proven.Identifier, BirthDate: i.BirthDate, Phone: i.Phone,
		Organisation: proven.Organisation, OrganisationID: proven.OrganisationID,
	}
	_, err := data.Check(g.IdentifierType, now)
	if err == nil {
		err = data.CheckOrganisation(g.ForOrganisation)
	}
	if err != nil {
		f := Findings{Reason: ReasonAttributeRefused}
		if field := (*call.FieldError)(nil); errors.As(err, &field) {
			f.Fields = field.Field
		}
		return f
	}
	if names := i.differences(g); len(names) > 0 {
		return Findings{ReasonDiffers, strings.Join(names, ",")}
	}
	return Findings{}
}

// missing names what the certificate needs and the provider did not prove, the organisation where it names one.
func (i Result) missing(kind string, organisation bool) []string {
	var names []string
	for _, f := range []struct {
		name  string
		there bool
	}{
		{"given_name", i.Person.GivenName != ""},
		{"surname", i.Person.Surname != ""},
		{"country", i.Person.Country != ""},
		{"identifier", i.Person.Identifier != "" && i.Person.IdentifierType == kind},
		{"birth_date", i.BirthDate != ""},
		{"phone", i.Phone != ""},
		{"organisation", i.Person.Organisation != "" || !organisation},
		{"organisation_id", i.Person.OrganisationID != "" || !organisation},
	} {
		if !f.there {
			names = append(names, f.name)
		}
	}
	return names
}

// birthDateConflicts tells whether the identifier that was proven says another birth date than was proven: one of the two
// belongs to somebody else, or was read wrongly. A person decides.
func birthDateConflicts(i Result) bool {
	in, _, err := ca.Birth(ca.Identifier{Kind: i.Person.IdentifierType, Country: i.Person.Country, Value: i.Person.Identifier})
	born, parsed := time.Parse(time.DateOnly, i.BirthDate)
	return err == nil && (parsed != nil || !in.Equal(born))
}

// differences names the fields in which the proven identity is not the given one.
func (i Result) differences(g Given) []string {
	form, proven := g.Person, i.Proven(g.Person)
	var names []string
	for _, f := range []struct{ name, proven, given string }{
		{"given_name", proven.GivenName, form.GivenName},
		{"surname", proven.Surname, form.Surname},
		{"local_name", proven.LocalName, form.LocalName},
		{"country", proven.Country, form.Country},
		{"identifier_type", proven.IdentifierType, form.IdentifierType},
		{"identifier", proven.Identifier, form.Identifier},
		{"organisation", proven.Organisation, form.Organisation},
		{"organisation_id", proven.OrganisationID, form.OrganisationID},
		{"birth_date", i.BirthDate, g.BirthDate},
	} {
		if f.proven != f.given {
			names = append(names, f.name)
		}
	}
	return names
}
