package enrol

import (
	"errors"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/ca"
)

// findings is why a positive result makes no agreement by itself: nothing when it is just what the person gave.
type findings struct {
	reason Reason
	fields string
}

// found holds a positive result against the enrolment, the gravest finding first.
func (s *Service) found(from record, i IdentityResult, now time.Time) findings {
	e := from.sealed
	switch missing := i.missing(e.Type, e.ForOrg); {
	case now.Sub(i.CompletedAt) > s.ProofAge:
		return findings{reason: ReasonTooOld}
	case len(missing) > 0:
		return findings{ReasonAttributeMissing, strings.Join(missing, ",")}
	case birthDateConflicts(i):
		return findings{ReasonBirthDateConflict, "birth_date,identifier"}
	case i.Phone != from.row.Phone:
		return findings{ReasonPhoneDiffers, "phone"}
	}
	proven := i.person(e.Person)
	data := PersonalData{
		GivenName: proven.GivenName, Surname: proven.Surname, LocalName: proven.LocalName, Country: proven.Country,
		Identifier: proven.Identifier, BirthDate: i.BirthDate, Phone: i.Phone,
		Organisation: proven.Organisation, OrganisationID: proven.OrganisationID,
	}
	_, err := data.check(e.Type, now)
	if err == nil {
		err = data.organisation(e.ForOrg)
	}
	if err != nil {
		f := findings{reason: ReasonAttributeRefused}
		if field := (*FieldError)(nil); errors.As(err, &field) {
			f.fields = field.Field
		}
		return f
	}
	if names := i.differences(from); len(names) > 0 {
		return findings{ReasonDiffers, strings.Join(names, ",")}
	}
	return findings{}
}

// missing names what the certificate needs and the provider did not prove, the organisation where it names one.
func (i IdentityResult) missing(kind string, organisation bool) []string {
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
func birthDateConflicts(i IdentityResult) bool {
	in, _, err := ca.Birth(ca.Identifier{Kind: i.Person.IdentifierType, Country: i.Person.Country, Value: i.Person.Identifier})
	born, parsed := time.Parse(time.DateOnly, i.BirthDate)
	return err == nil && (parsed != nil || !in.Equal(born))
}

// differences names the fields in which the proven identity is not the given one.
func (i IdentityResult) differences(r record) []string {
	form, proven := r.sealed.Person, i.person(r.sealed.Person)
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
		{"birth_date", i.BirthDate, r.row.BirthDate},
	} {
		if f.proven != f.given {
			names = append(names, f.name)
		}
	}
	return names
}
