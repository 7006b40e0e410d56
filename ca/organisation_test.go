package ca

import (
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/ca/lint"
)

func TestCheckOrganisationID(t *testing.T) {
	for id, want := range map[string]error{
		"VATPL-9512352379":                 nil,
		"VATPL-5250008198":                 nil,
		"VATPL-9512352378":                 ErrCheckDigit,
		"VATPL-951235237":                  ErrIdentifier,
		"NTRPL-123456785":                  nil, // REGON
		"NTRPL-123456784":                  ErrCheckDigit,
		"NTRPL-0000123456":                 nil, // KRS
		"NTRPL-00001234567":                ErrIdentifier,
		"NTRUA-12345678":                   nil,
		"NTRUA-1234567":                    ErrIdentifier,
		"VATUA-123456789012":               nil, // form only
		"VATEL-094259216":                  nil,
		"NTREL-094259216":                  ErrIdentifier, // only VAT knows EL
		"LEIXG-HWUPKR0MPOU8FGXBT394":       nil,
		"LEIXG-HWUPKR0MPOU8FGXBT395":       ErrCheckDigit,
		"LEIXG-HWUPKR0MPOU8FGXBT39":        ErrIdentifier,
		"LEIPL-HWUPKR0MPOU8FGXBT394":       ErrIdentifier,
		"NTRDE+HE-HRB12345":                nil,
		"ntrua-12345678":                   ErrIdentifier,
		"NTRGB-sc123456":                   ErrIdentifier,
		"PNOPL-44051401359":                ErrIdentifier,
		"9512352379":                       ErrIdentifier,
		"VATPL-":                           ErrIdentifier,
		"NTRDE-" + strings.Repeat("1", 58): nil,
		"NTRDE-" + strings.Repeat("1", 59): ErrIdentifier,
		"":                                 ErrIdentifier,
	} {
		err := CheckOrganisationID(id)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", id, err, want)
		}
		if err != nil && len(id) > 7 && strings.Contains(err.Error(), id[6:]) && !strings.Contains(err.Error(), "looks like") {
			t.Errorf("the error repeats the number: %v", err)
		}
	}
}

func employee(t testing.TB, id string) Request {
	r := personRequest(t, id)
	r.Natural.Organisation, r.Natural.OrganisationID = "Приклад sp. z o.o.", "VATPL-9512352379"
	return r
}

// With an organisation the subject names it, the subject identifier stays the person's, and SemanticsId-Legal stands
// behind SemanticsId-Natural.
func TestCertificateWithOrganisation(t *testing.T) {
	h := build(t, testConfig())
	cert := parse(t, h.issue(t, newTx(), h.issuing, employee(t, "r1")).DER)
	subject := hex.EncodeToString(cert.RawSubject)
	for _, want := range []string{
		"060355040a" + "0c19" + hex.EncodeToString([]byte("Приклад sp. z o.o.")),
		"0603550461" + "0c10" + hex.EncodeToString([]byte("VATPL-9512352379")),
		"0603550405" + "1310" + hex.EncodeToString([]byte("TINUA-3184710691")),
	} {
		if strings.Count(subject, want) != 1 {
			t.Errorf("subject %s does not hold %s once", subject, want)
		}
	}
	semantics := "3015" + "06082b06010505070b02" + "3009" + "060704008bec4901"
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidQCStatements) && !strings.HasSuffix(hex.EncodeToString(e.Value), semantics+"01"+semantics+"02") {
			t.Errorf("statements %x", e.Value)
		}
	}
}

// Every kind of identifier, with and without an organisation, passes our rules and zlint; a wrong one does not come so
// far as to be judged.
func TestEveryIdentifierIsIssued(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	for _, text := range []string{
		"PNOPL-44051401359", "TINPL-9512352379", "IDCPL-ABA300000", "PASPL-ZS0000177", "PNOUA-19900101-00000",
		"TINUA-2935412318", "IDCUA-000123456", "PASUA-FA123456", "PNOEE-38001085718", "PASDE-C01X0006H", "IDCLT-12345678",
	} {
		for _, organisation := range []bool{false, true} {
			r := personRequest(t, text)
			if organisation {
				r = employee(t, text+"-o")
				r.Natural.Organisation = strings.Repeat("Товариство ", 9) + "«Приклад»" // longer than RFC 5280 allows
			}
			r.Natural.Country, r.Natural.Identifier = text[3:5], Identifier{text[:3], text[3:5], text[6:]}
			r.Person, r.PublicKey = text, newKey(t, elliptic.P256()).Public()
			c := h.issue(t, tx, h.issuing, r)
			if found := h.issuing.zlint.certificate(c.DER, NaturalPerson); found != nil {
				t.Errorf("%s: %s", text, lint.Describe(found))
			}
		}
	}
	for name, change := range map[string]func(*Natural){
		"check digit":                func(n *Natural) { n.Identifier.Value = "3184710692" },
		"name alone":                 func(n *Natural) { n.OrganisationID = "" },
		"identifier alone":           func(n *Natural) { n.Organisation = "" },
		"organisation's check digit": func(n *Natural) { n.OrganisationID = "VATPL-9512352378" },
		"invisible character":        func(n *Natural) { n.Organisation = "A\u200bB" },
	} {
		r := employee(t, name)
		change(&r.Natural)
		if _, err := h.issuing.Prepare(r); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A subject name is never given to another person, whatever the type of the identifier, with an organisation or
// without, and not after the certificate was revoked (EN 319 411-1 GEN-6.3.3-10). The same person may have it again.
func TestNameIsNeverAnothersEver(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	n := 0
	for _, text := range []string{"PNOPL-44051401359", "TINUA-2935412318", "IDCPL-ABA300000", "PASUA-FA123456"} {
		for _, organisation := range []bool{false, true} {
			request := func(person string) Request {
				n++
				r := personRequest(t, text+string(rune('a'+n)))
				if organisation {
					r = employee(t, r.ID)
				}
				r.Person, r.PublicKey = person, newKey(t, elliptic.P256()).Public()
				r.Natural.Identifier = Identifier{text[:3], text[3:5], text[6:]}
				return r
			}
			refused := func(when string) {
				t.Helper()
				intent, err := h.issuing.Prepare(request("another of " + text))
				must(t, err)
				if err := h.issuing.Intend(tx, intent); !errors.Is(err, ErrSubjectTaken) {
					t.Errorf("%s, organisation %t, %s: %v", text, organisation, when, err)
				}
			}
			c := h.issue(t, tx, h.issuing, request(text))
			refused("while it is valid")
			must(t, h.issuing.Revoke(tx, c.Serial, KeyCompromise, start()))
			refused("after revocation")
			h.issue(t, tx, h.issuing, request(text))
		}
	}
}
