package enrol_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/tenure"
)

// voucherOf makes a voucher of a product.
func (w *world) voucherOf(product string) string {
	w.Helper()
	codes, err := w.CreateVouchers(context.Background(), operator, w.request(), enrol.VoucherRequest{
		Product: product, Count: 1, Expires: w.now().AddDate(1, 0, 0),
	})
	w.must(err)
	return codes[0]
}

// enrolment begins one with a voucher of a product.
func (w *world) enrolment(product string) *person {
	w.Helper()
	v, err := w.Create(context.Background(), portal, w.request(), w.voucherOf(product), "pl", "")
	w.must(err)
	return &person{world: w, id: v.ID, view: v}
}

func TestProductsDecideWhatCanBeChosen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	for _, c := range []struct {
		product string
		p       enrol.Parameters
		field   string
		want    error
	}{
		{"qes-1y", enrol.Parameters{Years: 1, IdentifierType: "PNO", Algorithm: credential.RSA3072}, "", nil},
		{"qes-1y", enrol.Parameters{Years: 2, IdentifierType: "PNO", Algorithm: credential.RSA3072}, "years", enrol.ErrYears},
		{"qes-3y", enrol.Parameters{Years: 3, IdentifierType: "IDC", Algorithm: credential.ECDSAP256}, "", nil},
		{"qes-3y", enrol.Parameters{Years: 3, IdentifierType: "IDC", Algorithm: credential.ECDSAP256, ForOrganisation: true}, "for_organisation", enrol.ErrNotInProduct},
		{"org-3y", enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256, ForOrganisation: true}, "", nil},
		{"org-3y", enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256}, "for_organisation", enrol.ErrNotInProduct},
		{"narrow", enrol.Parameters{Years: 1, IdentifierType: "PAS", Algorithm: credential.ECDSAP256}, "", nil},
		{"narrow", enrol.Parameters{Years: 1, IdentifierType: "PAS", Algorithm: credential.ECDSAP256, ForOrganisation: true}, "", nil},
		{"narrow", enrol.Parameters{Years: 1, IdentifierType: "PNO", Algorithm: credential.ECDSAP256}, "identifier_type", enrol.ErrNotInProduct},
		{"qes-3y", enrol.Parameters{Years: 3, IdentifierType: "PNO", Algorithm: credential.ECDSAP384}, "", nil},
		{"narrow", enrol.Parameters{Years: 1, IdentifierType: "PAS", Algorithm: credential.ECDSAP384}, "algorithm", enrol.ErrNotInProduct},
		{"narrow", enrol.Parameters{Years: 1, IdentifierType: "PAS", Algorithm: credential.RSA3072}, "algorithm", enrol.ErrNotInProduct},
	} {
		p := w.enrolment(c.product)
		v, err := w.SetParameters(ctx, portal, p.id, w.request(), c.p)
		var f *enrol.FieldError
		switch {
		case c.want == nil && (err != nil || v.Product != c.product || v.ForOrganisation != c.p.ForOrganisation):
			t.Errorf("%s %+v: %+v, %v", c.product, c.p, v, err)
		case c.want != nil && (!errors.Is(err, c.want) || !errors.As(err, &f) || f.Field != c.field):
			t.Errorf("%s %+v: %v, want %v of %s", c.product, c.p, err, c.want, c.field)
		}
	}
}

// What the voucher paid for is sealed when it is redeemed: who writes to the row of the voucher afterwards gains nothing.
func TestProductIsSealed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.enrolment("qes-1y")
	w.store.write(func(d *tables) {
		for k, v := range d.vouchers {
			v.Product, v.Years = "qes-3y", 3
			d.vouchers[k] = v
		}
	})
	q := parameters()
	q.Years = 3
	if _, err := w.SetParameters(ctx, portal, p.id, w.request(), q); !errors.Is(err, enrol.ErrYears) {
		t.Errorf("3 years for a voucher of one: %v", err)
	}
	v, err := w.Get(ctx, portal, p.id)
	if err != nil || v.Product != "qes-1y" {
		t.Errorf("product %q, %v", v.Product, err)
	}
}

func TestProductTakenOutOfTheCatalogue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	code, begun := w.voucherOf("qes-1y"), w.enrolment("qes-1y")
	whole := w.config.Products
	w.config.Products = whole[1:]
	w.start()
	_, err := w.Create(ctx, portal, w.request(), code, "uk", "person-1")
	var f *enrol.FieldError
	if !errors.Is(err, enrol.ErrProduct) || !errors.As(err, &f) || f.Field != "voucher" {
		t.Errorf("redeeming: %v", err)
	}
	if _, err := w.SetParameters(ctx, portal, begun.id, w.request(), parameters()); !errors.Is(err, enrol.ErrProduct) {
		t.Errorf("choosing: %v", err)
	}
	_, err = w.CreateVouchers(ctx, operator, w.request(), enrol.VoucherRequest{Product: "qes-1y", Count: 1, Expires: w.now().AddDate(1, 0, 0)})
	if !errors.Is(err, enrol.ErrProduct) || !errors.As(err, &f) || f.Field != "product" {
		t.Errorf("selling: %v", err)
	}
	// The voucher was not spent: it is good again once the product is.
	w.config.Products = whole
	w.start()
	if _, err := w.Create(ctx, portal, w.request(), code, "uk", "person-1"); err != nil {
		t.Error(err)
	}
}

// Vouchers named as they were before there was a catalogue, by a name and years, are those of the product name-years.
func TestProductByNameAndYears(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	make := func(product string, years uint8) error {
		_, err := w.CreateVouchers(ctx, operator, w.request(), enrol.VoucherRequest{
			Product: product, Years: years, Count: 1, Expires: w.now().AddDate(1, 0, 0),
		})
		return err
	}
	w.must(make("qes", 2))
	w.store.write(func(d *tables) {
		for _, v := range d.vouchers {
			if v.Product != "qes-2y" || v.Years != 2 {
				t.Errorf("voucher of %s for %d years", v.Product, v.Years)
			}
		}
	})
	w.must(make("qes-3y", 3))
	if err := make("qes-3y", 2); !errors.Is(err, enrol.ErrYears) {
		t.Errorf("a product of 3 years for 2: %v", err)
	}
	if err := make("qes", 0); !errors.Is(err, enrol.ErrProduct) {
		t.Errorf("a name without years: %v", err)
	}
	code := w.voucherOf("qes-2y")
	w.store.write(func(d *tables) {
		for k, v := range d.vouchers {
			v.Product = "qes"
			d.vouchers[k] = v
		}
	})
	if v, err := w.Create(ctx, portal, w.request(), code, "uk", ""); err != nil || v.Product != "qes-2y" {
		t.Errorf("an old voucher: %q, %v", v.Product, err)
	}
}

// An enrolment that began before there was a catalogue keeps what its voucher said.
func TestEnrolmentWithoutProduct(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.enrolment("qes-2y")
	w.store.write(func(d *tables) {
		row := d.enrolments[p.id]
		e, err := w.trust.OpenEnrolment(ctx, row.Sealed)
		w.must(err)
		e.Product = ""
		row.Sealed, err = w.trust.SealEnrolment(ctx, e)
		w.must(err)
		d.enrolments[p.id] = row
	})
	for years, want := range map[uint8]error{3: enrol.ErrYears, 2: nil} {
		q := parameters()
		q.Years = years
		if _, err := w.SetParameters(ctx, portal, p.id, w.request(), q); !errors.Is(err, want) {
			t.Errorf("%d years: %v", years, err)
		}
	}
	q := parameters()
	q.IdentifierType = "PAS"
	if _, err := w.SetParameters(ctx, portal, p.id, w.request(), q); !errors.Is(err, enrol.ErrNotInProduct) {
		t.Errorf("a passport: %v", err)
	}
}

func TestWrongCatalogues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := catalogue()[0]
	for says, change := range map[string]func(*enrol.Product){
		"validity":        func(p *enrol.Product) { p.Years = 4 },
		"name":            func(p *enrol.Product) { p.Name = "a b" },
		"no keys":         func(p *enrol.Product) { p.Algorithms = []credential.Algorithm{"rsa-1024"} },
		"at least one":    func(p *enrol.Product) { p.Identifiers = nil },
		"identifiers are": func(p *enrol.Product) { p.Identifiers = []string{"EID"} },
		"organisation":    func(p *enrol.Product) { p.Organisation = "" },
		"twice":           func(*enrol.Product) {},
	} {
		p := good
		change(&p)
		c := w.config
		c.Products = []enrol.Product{good, p}
		if says != "twice" {
			c.Products = []enrol.Product{p}
		}
		if _, err := enrol.New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	c := w.config
	c.Products = nil
	if _, err := enrol.New(c); err == nil {
		t.Error("an empty catalogue is accepted")
	}
	if got := w.Catalogue(); !slices.EqualFunc(got, catalogue(), func(a, b enrol.Product) bool { return a.Name == b.Name }) {
		t.Errorf("catalogue %v", got)
	}
}

func employee() enrol.PersonalData {
	d := data()
	d.Organisation, d.OrganisationID = "Przykład sp. z o.o.", "VATPL-9512352379"
	return d
}

// The organisation is given exactly when the parameters say so; it has to be proven as everything else; the agreement has
// two parts, and the certificate names it.
func TestEnrolmentForAnOrganisation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.enrolment("org-3y")
	q := parameters()
	q.ForOrganisation = true
	p.got(w.SetParameters(ctx, portal, p.id, w.request(), q))
	for _, c := range []struct {
		name, field string
		want        error
		change      func(*enrol.PersonalData)
	}{
		{"missing", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "" }},
		{"without a number", "organisation_id", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.OrganisationID = "" }},
		{"check digit", "organisation_id", enrol.ErrCheckDigit, func(d *enrol.PersonalData) { d.OrganisationID = "VATPL-9512352378" }},
		{"form", "organisation_id", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.OrganisationID = "9512352379" }},
		{"look-alike in a word", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Przykłаd" }},
		{"emoji", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Łąka 😀" }},
		{"direction", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Łą\u202eka" }},
		{"invisible", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Łą\u200bka" }},
		{"stacked accents", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Lx\u030c\u030cka" }},
		{"full width", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "Ｌａｋａ" }},
		{"no letter", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "123" }},
		{"double blank", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = "A  B" }},
		{"too long", "organisation", enrol.ErrOrganisation, func(d *enrol.PersonalData) { d.Organisation = strings.Repeat("a", 151) }},
	} {
		d := employee()
		c.change(&d)
		_, err := w.SetPersonalData(ctx, portal, p.id, w.request(), d)
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.Field != c.field || !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, good := range []string{"ТОВ «Приклад-1» №5", "IT-Компанія & Co. (Львів)", "3M Polska", `P.H.U. "Łąka" s.c.`} {
		d := employee()
		d.Organisation = good
		if _, err := w.SetPersonalData(ctx, portal, p.id, w.request(), d); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), employee()))
	p.sendPhone()
	p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), p.code()))
	p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
	restore := w.snapshot()
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result()))
	if f := p.view.Proofing; p.view.State != enrol.StateData || f.Reason != enrol.ReasonAttributeMissing || !slices.Equal(f.Fields, []string{"organisation", "organisation_id"}) {
		t.Errorf("a result without the organisation: %s, %+v", p.view.State, f)
	}
	restore()
	p.got(w.Get(ctx, portal, p.id))
	other := p.result()
	other.Person.Organisation, other.Person.OrganisationID = "Inna sp. z o.o.", "VATPL-5250008198"
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), other))
	if f := p.view.Proofing; p.view.State != enrol.StateReview || !slices.Equal(f.Fields, []string{"organisation", "organisation_id"}) {
		t.Errorf("a result with another organisation: %s, %+v", p.view.State, f)
	}
	restore()
	p.got(w.Get(ctx, portal, p.id))
	result := p.result()
	result.Person.Organisation, result.Person.OrganisationID = employee().Organisation, employee().OrganisationID
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), result))
	p.sendAgreement()
	code := p.code()
	_, err := p.accept(code)
	var missing *enrol.ConsentError
	if !errors.As(err, &missing) || !slices.Equal(missing.Missing, []string{"subscriber"}) {
		t.Errorf("without the subscriber's part: %v", err)
	}
	a := p.acceptance(code)
	a.Consents = append(a.Consents, "subscriber")
	p.got(w.AcceptAgreement(ctx, portal, p.id, w.request(), a))
	if p.view.State != enrol.StateIssued || p.view.Person.Organisation != employee().Organisation {
		t.Fatalf("%+v; alarms %v", p.view, w.alarmed())
	}
	c, err := w.Credential(ctx, p.view.Credential, "")
	w.must(err)
	leaf := parseCertificate(t, c.Chain[0])
	if got := leaf.Subject.Organization; !slices.Equal(got, []string{employee().Organisation}) || leaf.Subject.SerialNumber != "TINUA-2935412318" {
		t.Errorf("subject %s", leaf.Subject)
	}
}

// Without ForOrganisation the data may not hold one.
func TestOrganisationOfAPrivatePerson(t *testing.T) {
	t.Parallel()
	p := newWorld(t).reach(enrol.StateParameters)
	d := data()
	d.OrganisationID = "VATPL-9512352379"
	_, err := p.SetPersonalData(context.Background(), portal, p.id, p.request(), d)
	var f *enrol.FieldError
	if !errors.As(err, &f) || f.Field != "organisation_id" || !errors.Is(err, enrol.ErrOrganisation) {
		t.Error(err)
	}
}

// A person can be named by any kind of identifier that the product has; the certificate says which.
func TestEveryKindOfIdentifier(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct{ kind, country, number, born string }{
		{"PNO", "PL", "44051401359", "1944-05-14"},
		{"TIN", "PL", "9512352379", "1980-05-14"},
		{"TIN", "UA", "2935412318", "1980-05-14"},
		{"PNO", "UA", "19900101-00000", "1990-01-01"},
		{"PAS", "UA", "FA123456", "1990-01-01"},
		{"PAS", "PL", "ZS0000177", "1990-01-01"},
		{"IDC", "PL", "ABA300000", "1990-01-01"},
		{"IDC", "UA", "000123456", "1990-01-01"},
		{"PAS", "DE", "C01X0006H", "1990-01-01"},
	} {
		w := newWorld(t)
		p := w.enrolment("qes-1y")
		p.got(w.SetParameters(ctx, portal, p.id, w.request(), enrol.Parameters{Years: 1, IdentifierType: c.kind, Algorithm: credential.ECDSAP256}))
		d := data()
		d.Country, d.Identifier, d.BirthDate = c.country, c.number, c.born
		p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), d))
		p.sendPhone()
		p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), p.code()))
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
		r := p.result()
		r.BirthDate = c.born
		r.Person.Country, r.Person.IdentifierType, r.Person.Identifier = c.country, c.kind, c.number
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
		p.sendAgreement()
		p.got(p.accept(p.code()))
		if p.view.State != enrol.StateIssued {
			t.Fatalf("%s %s: %s; alarms %v", c.kind, c.country, p.view.State, w.alarmed())
		}
		made, err := w.Credential(ctx, p.view.Credential, "")
		w.must(err)
		if got, want := parseCertificate(t, made.Chain[0]).Subject.SerialNumber, c.kind+c.country+"-"+c.number; got != want {
			t.Errorf("serialNumber %s, want %s", got, want)
		}
	}
}

// The number of a document names the document, not the person: somebody else to whom the same number and name were given
// gets no certificate under that name (EN 319 411-1 GEN-6.3.3-10).
func TestSameDocumentNumberAnotherPerson(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	enrolled := func(born string) *person {
		p := w.enrolment("qes-1y")
		p.got(w.SetParameters(ctx, portal, p.id, w.request(), enrol.Parameters{Years: 1, IdentifierType: "PAS", Algorithm: credential.ECDSAP256}))
		d := data()
		d.Identifier, d.BirthDate = "FA123456", born
		p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), d))
		p.sendPhone()
		p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), p.code()))
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
		r := p.result()
		r.BirthDate, r.Person.IdentifierType, r.Person.Identifier = born, "PAS", d.Identifier
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
		p.sendAgreement()
		p.got(p.accept(p.code()))
		return p
	}
	first := enrolled("1990-01-01")
	if first.view.State != enrol.StateIssued {
		t.Fatalf("%s; alarms %v", first.view.State, w.alarmed())
	}
	w.must(w.Revoke(ctx, operator, w.request(), first.view.Credential, tenure.ReasonSuperseded))
	if other := enrolled("1991-01-01"); other.view.State == enrol.StateIssued {
		t.Error("another person got the name of the first")
	}
	if alarms := w.alarmed(); len(alarms) != 1 || !strings.Contains(alarms[0], "belongs to another person") {
		t.Errorf("alarms %v", alarms)
	}
	if again := enrolled("1990-01-01"); again.view.State != enrol.StateIssued {
		t.Errorf("the same person: %s; alarms %v", again.view.State, w.alarmed())
	}
}
