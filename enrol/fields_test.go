package enrol_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestPersonalDataFields(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateParameters)
	restore := w.snapshot()
	set := func(d enrol.PersonalData) error {
		_, err := w.SetPersonalData(ctx, portal, p.id, w.request(), d)
		return err
	}
	for _, c := range []struct {
		name, field string
		want        error
		change      func(*enrol.PersonalData)
	}{
		{"empty", "given_name", enrol.ErrName, func(d *enrol.PersonalData) { d.GivenName = "" }},
		{"cyrillic", "given_name", enrol.ErrName, func(d *enrol.PersonalData) { d.GivenName = "Тарас" }},
		{"one cyrillic letter", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shevchеnko" }},
		{"digit", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shevchenko2" }},
		{"control", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shev\x00chenko" }},
		{"direction", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shev\u202echenko" }},
		{"zero width", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shev\u200bchenko" }},
		{"emoji", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Shevchenko😀" }},
		{"full width", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Ｓｈｅｖ" }},
		{"ligature", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "Gri\ufb03n" }},
		{"leading blank", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = " Shevchenko" }},
		{"double blank", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "She  vchenko" }},
		{"marks only", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "--" }},
		{"not UTF-8", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = "She\xffv" }},
		{"too long", "surname", enrol.ErrName, func(d *enrol.PersonalData) { d.Surname = strings.Repeat("a", 65) }},
		{"two scripts", "local_name", enrol.ErrName, func(d *enrol.PersonalData) { d.LocalName = "Тарас Shevchenko" }},
		{"emoji", "local_name", enrol.ErrName, func(d *enrol.PersonalData) { d.LocalName = "Тарас 😀" }},
		{"check digit", "identifier", enrol.ErrCheckDigit, func(d *enrol.PersonalData) { d.Identifier = "2935412317" }},
		{"form", "identifier", enrol.ErrIdentifier, func(d *enrol.PersonalData) { d.Identifier = "29354123" }},
		{"country", "identifier", enrol.ErrIdentifier, func(d *enrol.PersonalData) { d.Country = "ua" }},
		{"another date", "birth_date", enrol.ErrBirthDate, func(d *enrol.PersonalData) { d.BirthDate = "1980-05-15" }},
		{"no date", "birth_date", enrol.ErrBirthDate, func(d *enrol.PersonalData) { d.BirthDate = "14.05.1980" }},
		{"no such date", "birth_date", enrol.ErrBirthDate, func(d *enrol.PersonalData) { d.BirthDate = "1980-02-30" }},
		{"future", "birth_date", enrol.ErrBirthDate, func(d *enrol.PersonalData) { d.BirthDate = "2080-05-14" }},
		{"no plus", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "380501234567" }},
		{"short", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+3805012" }},
		{"long", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+3805012345678901" }},
		{"blank", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+380 501234567" }},
		{"no zone", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+080501234567" }},
		{"unassigned zone", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+890501234567" }},
		{"other digits", "phone", enrol.ErrPhone, func(d *enrol.PersonalData) { d.Phone = "+38050123456٧" }},
	} {
		d := data()
		c.change(&d)
		err := set(d)
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.FieldName() != c.field || !errors.Is(err, c.want) {
			t.Errorf("%s %s: %v", c.field, c.name, err)
		}
		if err != nil && c.field == "identifier" && strings.Contains(err.Error(), d.Identifier) {
			t.Errorf("the error repeats the number: %v", err)
		}
	}
	for _, good := range []enrol.PersonalData{
		{GivenName: "Zażółć Anna-Maria", Surname: "O'Neil Łęcka", LocalName: "Zażółć Łęcka", Country: "UA", Identifier: "2935412318", BirthDate: "1980-05-14", Phone: "+48501234567"},
		{GivenName: "Z\u0307ofia", Surname: "Kowalska", LocalName: "Дар’я Мар'яненко-Ґудзь", Country: "UA", Identifier: "2935412318", BirthDate: "1980-05-14", Phone: "+12025550123"},
	} {
		if err := set(good); err != nil {
			t.Errorf("%s: %v", good.GivenName, err)
		}
	}
	v, err := w.Get(ctx, portal, p.id)
	if err != nil || v.Person.GivenName != "Żofia" {
		t.Errorf("normal form C: %+q, %v", v.Person.GivenName, err)
	}
	restore()
	young := data()
	young.BirthDate, young.Identifier = "2008-11-25", "3977600019" // 39776 days after 1899-12-31
	if err := set(young); !errors.Is(err, enrol.ErrAge) {
		t.Errorf("one day before the 18th birthday: %v", err)
	}
}

func TestPolishIdentifiers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	v, err := w.Create(ctx, portal, w.request(), w.voucher(), "pl", "")
	w.must(err)
	_, err = w.SetParameters(ctx, portal, v.ID, w.request(), enrol.Parameters{Years: 2, IdentifierType: "PNO", Algorithm: parameters().Algorithm})
	w.must(err)
	d := enrol.PersonalData{
		GivenName: "Jan", Surname: "Kowalski", LocalName: "Jan Kowalski", Country: "PL", Identifier: "44051401359",
		BirthDate: "1944-05-14", Phone: "+48501234567",
	}
	for identifier, want := range map[string]error{"44051401358": enrol.ErrCheckDigit, "44051401359": nil} {
		d.Identifier = identifier
		if _, err := w.SetPersonalData(ctx, portal, v.ID, w.request(), d); !errors.Is(err, want) {
			t.Errorf("%s: %v", identifier, err)
		}
	}
}

func TestParameterFields(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateCreated)
	for field, change := range map[string]func(*enrol.Parameters){
		"years":           func(q *enrol.Parameters) { q.Years = 0 },
		"identifier_type": func(q *enrol.Parameters) { q.IdentifierType = "EID" },
		"algorithm":       func(q *enrol.Parameters) { q.Algorithm = "rsa-1024" },
	} {
		q := parameters()
		change(&q)
		_, err := p.SetParameters(ctx, portal, p.id, p.request(), q)
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	q := parameters()
	q.Years = 3
	if _, err := p.SetParameters(ctx, portal, p.id, p.request(), q); !errors.Is(err, enrol.ErrYears) {
		t.Errorf("more than the voucher pays for: %v", err)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateCreated)
	for _, id := range []string{"", "a b", strings.Repeat("x", 201), "ż"} {
		_, err := p.SetParameters(ctx, portal, p.id, id, parameters())
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.Field != "request_id" {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestVouchers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.config.Guesses.Person, w.config.Guesses.Caller = 1000, 1000
	w.start()
	request := enrol.VoucherRequest{Product: "qes-1y", Years: 1, Count: 50, Expires: w.now().AddDate(1, 0, 0)}
	codes, err := w.CreateVouchers(ctx, operator, "vouchers", request)
	w.must(err)
	if _, err := w.CreateVouchers(ctx, operator, "vouchers", request); !errors.Is(err, enrol.ErrShownOnce) {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, code := range codes {
		if len(code) != 24 || seen[code] {
			t.Errorf("code %q", code)
		}
		seen[code] = true
	}
	for _, v := range w.store.data.vouchers {
		if strings.Contains(fmt.Sprintf("%+v", v), strings.ReplaceAll(codes[0], "-", "")) {
			t.Error("a code is stored")
		}
	}
	for name, change := range map[string]func(*enrol.VoucherRequest){
		"product": func(r *enrol.VoucherRequest) { r.Product = "" },
		"years":   func(r *enrol.VoucherRequest) { r.Years = 4 },
		"count":   func(r *enrol.VoucherRequest) { r.Count = 1001 },
		"expires": func(r *enrol.VoucherRequest) { r.Expires = w.now() },
	} {
		r := request
		change(&r)
		_, err := w.CreateVouchers(ctx, operator, w.request(), r)
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}

	redeem := func(code string) error {
		_, err := w.Create(ctx, portal, w.request(), code, "uk", "")
		return err
	}
	w.must(redeem(" " + strings.ToLower(strings.ReplaceAll(codes[0], "-", " "))))
	if err := redeem(codes[0]); !errors.Is(err, enrol.ErrVoucherUsed) {
		t.Error(err)
	}
	if _, err := w.Create(ctx, portal, w.request(), codes[1], "de", ""); !errors.Is(err, enrol.ErrLanguage) {
		t.Error(err)
	}
	// Every single wrong symbol is noticed before the database is asked.
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	plain := strings.ReplaceAll(codes[1], "-", "")
	for i := range len(plain) {
		for _, symbol := range alphabet {
			if mistyped := plain[:i] + string(symbol) + plain[i+1:]; mistyped != plain {
				if err := redeem(mistyped); !errors.Is(err, enrol.ErrVoucherCode) {
					t.Fatalf("%s: %v", mistyped, err)
				}
			}
		}
	}
	for _, code := range []string{"", "UUUU", strings.Repeat("0", 1000), plain + "0", "Ж"} {
		if err := redeem(code); !errors.Is(err, enrol.ErrVoucherCode) {
			t.Errorf("%q: %v", code, err)
		}
	}
	if err := redeem("0000-0000-0000-0000-0000"); !errors.Is(err, enrol.ErrVoucher) {
		t.Error(err)
	}
	w.wait(400 * 24 * time.Hour)
	if err := redeem(codes[1]); !errors.Is(err, enrol.ErrVoucherExpired) {
		t.Error(err)
	}
}

// Whatever a portal sends, it gets an error or a step, never a panic, and nothing of it enters the log.
func FuzzPersonalData(f *testing.F) {
	d := data()
	f.Add(d.GivenName, d.Surname, d.LocalName, d.Country, d.Identifier, d.BirthDate, d.Phone)
	f.Add("Żaneta", "O’Neil", "Жанна", "PL", "44051401359", "1944-05-14", "+48501234567")
	f.Add("\u202e", "\xff", "😀", "", "", "0000-00-00", "+")
	w := newWorld(f)
	p := w.reach(enrol.StateParameters)
	restore := w.snapshot()
	f.Fuzz(func(t *testing.T, given, surname, local, country, identifier, birth, phone string) {
		w.TB, w.store.t = t, t
		restore()
		_, err := w.SetPersonalData(context.Background(), portal, p.id, w.request(), enrol.PersonalData{
			GivenName: given, Surname: surname, LocalName: local, Country: country, Identifier: identifier, BirthDate: birth, Phone: phone,
		})
		var field *enrol.FieldError
		if err != nil && !errors.As(err, &field) {
			t.Error(err)
		}
	})
}
