package agreement

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
)

func sample() Data {
	return Data{
		Number: "EN-7F3Q-2K8M-44ZT", Language: "uk", At: time.Date(2026, 11, 24, 9, 15, 42, 0, time.UTC),
		Provider: Provider{
			Name: "TEST Приклад Траст sp. z o.o.", RegistrationID: "VATPL-0000000017",
			Address: "ul. Łąkowa 123A, 20-001 Lublin, Polska", PolicyOID: "1.3.6.1.4.1.99999.1.2",
			PDSURL: "https://pki.example.com/pds_uk.pdf", PDSVersion: "3", PDSSHA256: bytes.Repeat([]byte{0x3c, 0x99}, 16),
			Issuer: "TEST Приклад CA 1",
		},
		Terms: Terms{
			Version: "1.0", URL: "https://pki.example.com/terms_uk.pdf", RetentionYears: 20,
			SHA256: bytes.Repeat([]byte{0xa5, 0x17}, 16),
		},
		Subject: Subject{
			GivenName: "Mariana", Surname: "Lukianenko-Zhovtenko", CommonName: "Mariana Lukianenko-Zhovtenko",
			LocalName: "Марʼяна Лук’яненко-Ґжицька", Country: "UA", SerialNumber: "TINUA-3184710691",
		},
		Phone: "+380671234567", ValidityYears: 2, KeyAlgorithm: "EC P-256", QSCD: true, Test: true,
	}
}

func render(t *testing.T, d Data) string {
	t.Helper()
	b, err := Render(d)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agreement.pdf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// words joins what a person reads into one line, so that where lines were broken does not matter.
func words(t *testing.T, path string) string {
	t.Helper()
	return strings.Join(strings.Fields(run(t, "pdftotext", "-layout", path, "-")), " ")
}

func TestSameDataSameBytes(t *testing.T) {
	want, err := Render(sample())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := sample()
	elsewhere.At = elsewhere.At.In(time.FixedZone("", 2*3600))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := Render(elsewhere)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("another document from the same data: %v", err)
			}
		})
	}
	wg.Wait()
	other := sample()
	other.Subject.SerialNumber = "TINUA-3184710692"
	if got, err := Render(other); err != nil || bytes.Equal(got, want) {
		t.Errorf("the same document from other data: %v", err)
	}
}

func TestJudges(t *testing.T) {
	path := render(t, sample())
	if out := run(t, "qpdf", "--check", path); strings.Contains(strings.ToLower(out), "warning") ||
		!strings.Contains(out, "No syntax or stream encoding errors found") {
		t.Errorf("qpdf: %s", out)
	}
	run(t, "mutool", "info", path)
	// After two lines of head: name, type in two words, encoding, emb, sub, uni, object, generation.
	rows := strings.Split(strings.TrimSpace(run(t, "pdffonts", path)), "\n")[2:]
	for _, row := range rows {
		if f := strings.Fields(row); len(f) != 9 || f[4] != "yes" || f[6] != "yes" {
			t.Errorf("pdffonts: font not embedded or without Unicode: %s", row)
		}
	}
	if len(rows) != 2 {
		t.Errorf("pdffonts: %d fonts, want 2", len(rows))
	}
	info := run(t, "pdfinfo", path)
	for _, want := range []string{
		"Title:           ДОГОВІР про видачу кваліфікованого сертифіката електронного підпису № EN-7F3Q-2K8M-44ZT",
		"Author:          TEST Приклад Траст sp. z o.o.", "A4", "Pages:           4",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("pdfinfo: no %q in\n%s", want, info)
		}
	}
}

// TestContent holds the document to ETSI EN 319 411-1 clause 6.3.4 and to the data.
func TestContent(t *testing.T) {
	text := words(t, render(t, sample()))
	for _, want := range []string{
		"Договір № EN-7F3Q-2K8M-44ZT", "24 листопада 2026 року, 09:15:42 UTC", "Редакція тексту uk-2 · українська",
		"TEST Приклад Траст sp. z o.o.", "VATPL-0000000017", "ul. Łąkowa 123A, 20-001 Lublin, Polska",
		"Прізвище (surname) Lukianenko-Zhovtenko", "Ім’я (givenName) Mariana",
		"Загальне ім’я (commonName) Mariana Lukianenko-Zhovtenko",
		"Рідною мовою (поза сертифікатом) Марʼяна Лук’яненко-Ґжицька",
		"Ідентифікатор особи (serialNumber) TINUA-3184710691", "Країна (countryName) UA", "Строк чинності 2 роки",
		"Алгоритм ключа EC P-256", "лише електронний підпис (nonRepudiation)", "(QcSSCD)",
		"Політика сертифіката (OID) 0.4.0.194112.1.2 (QCP-n-qscd), 1.3.6.1.4.1.99999.1.2", "1.0, https://pki.example.com/terms_uk.pdf",
		"SHA-256 Умов " + strings.Repeat("a517", 16), "3, https://pki.example.com/pds_uk.pdf", "+380•••••••67",
		"SHA-256 Заяви " + strings.Repeat("3c99", 16), "Центр, що видає (issuer) TEST Приклад CA 1", "20 років",
		"5. Обов’язки Підписувача", "7.1. Підписувач зобов’язаний негайно просити про скасування",
		"8.1. Підписувач погоджується, що Надавач зберігає", "щонайменше 20 років",
		"9.1. Надавач оприлюднює сертифікат у своєму загальнодоступному реєстрі, лише якщо", "10.1. Дані в розділі 2 правильні",
		"підтвердження: obligations", "підтвердження: publication", "за бажанням",
		"11.1. Портал показує цей документ і його відбиток SHA-256", "Сторінка 1 з 4", "Сторінка 4 з 4",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the document: %q", want)
		}
	}
	for _, hidden := range []string{"{", "}", "%!", "380671234567", "671234567"} {
		if strings.Contains(text, hidden) {
			t.Errorf("in the document: %q", hidden)
		}
	}
	if n := strings.Count(text, "ТЕСТ — юридичної сили не має"); n != 5 {
		t.Errorf("the test mark stands %d times, want once on each of 4 pages and once under the title", n)
	}
	if required, optional := strings.Count(text, "обов’язкове"), strings.Count(text, "за бажанням"); required != 4 || optional != 1 {
		t.Errorf("%d declarations are required and %d optional, want 4 and 1", required, optional)
	}
	for _, absent := range []string{"ЗАМОВНИК", "organizationName", " 12. "} {
		if strings.Contains(text, absent) {
			t.Errorf("without an organisation the document holds %q", absent)
		}
	}
}

// The other languages say the same, section by section; the judges accept them.
func TestLanguages(t *testing.T) {
	for language, wants := range map[string][]string{
		"pl": {
			"UMOWA o wydanie kwalifikowanego certyfikatu podpisu elektronicznego Nr EN-7F3Q-2K8M-44ZT",
			"24 listopada 2026 r., 09:15:42 UTC", "Wersja tekstu pl-2 · polski", "Nazwisko (surname) Lukianenko-Zhovtenko",
			"Okres ważności 2 lata", "TEST — bez mocy prawnej", "7.1. Podpisujący ma obowiązek niezwłocznie wystąpić o unieważnienie",
			"co najmniej 20 lat od chwili", "10.1. Dane w rozdziale 2 są prawidłowe", "(art. 25 rozporządzenia (UE) nr 910/2014)",
			"11.1. Portal pokazuje ten dokument i jego skrót SHA-256", "Strona 4 z 4",
		},
		"en": {
			"AGREEMENT on the issuance of a qualified certificate for electronic signatures No. EN-7F3Q-2K8M-44ZT",
			"24 November 2026, 09:15:42 UTC", "Edition of the text en-2 · English", "Surname (surname) Lukianenko-Zhovtenko",
			"Validity 2 years", "TEST — without legal effect", "7.1. The Signatory must ask for revocation at once",
			"for at least 20 years after", "10.1. The data in section 2 are correct", "(Article 25 of Regulation (EU) No 910/2014)",
			"11.1. The portal shows this document and its SHA-256 digest", "Page 4 of 4",
		},
	} {
		d := sample()
		d.Language = language
		path := render(t, d)
		run(t, "qpdf", "--check", path)
		run(t, "mutool", "info", path)
		text := words(t, path)
		for _, want := range append(wants, "TINUA-3184710691", "Марʼяна Лук’яненко-Ґжицька", "+380•••••••67", strings.Repeat("a517", 16)) {
			if !strings.Contains(text, want) {
				t.Errorf("%s: not in the document: %q", language, want)
			}
		}
		for _, hidden := range []string{"{", "}", "%!", "671234567", "Надавач", "Підписувач"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: in the document: %q", language, hidden)
			}
		}
	}
}

// Where an organisation is the subscriber the agreement has two parts, and the person accepts the second one for it.
func TestOrganisation(t *testing.T) {
	for language, wants := range map[string][]string{
		"uk": {"ЗАМОВНИК Товариство «Приклад-1» Ідентифікатор організації NTRUA-12345678", "12. Частина Замовника", "12.5. Я маю право діяти від імені організації Товариство «Приклад-1»"},
		"pl": {"ZAMAWIAJĄCY Товариство «Приклад-1» Identyfikator organizacji NTRUA-12345678", "12. Część Zamawiającego", "12.5. Mam prawo działać w imieniu organizacji Товариство «Приклад-1»"},
		"en": {"SUBSCRIBER Товариство «Приклад-1» Identifier of the organisation NTRUA-12345678", "12. Part of the Subscriber", "12.5. I am entitled to act for Товариство «Приклад-1»"},
	} {
		d := sample()
		d.Language, d.Subject.Organisation, d.Subject.OrganisationID = language, "Товариство «Приклад-1»", "NTRUA-12345678"
		path := render(t, d)
		run(t, "qpdf", "--check", path)
		text := words(t, path)
		for _, want := range append(wants, "(organizationName) Товариство «Приклад-1»", "NTRUA-12345678", " subscriber") {
			if !strings.Contains(text, want) {
				t.Errorf("%s: not in the document: %q\n%s", language, want, text)
			}
		}
		if n := len(Consents(language, d.Subject.Organisation)); n != 6 {
			t.Errorf("%s: %d consents", language, n)
		}
	}
}

// What a portal shows beside each box is what the document says, word for word.
func TestConsentsAreThoseOfTheDocument(t *testing.T) {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, s)
	}
	for _, language := range Languages() {
		d := sample()
		d.Language, d.Subject.Organisation, d.Subject.OrganisationID = language, "Przykład", "VATPL-9512352379"
		// Without -layout the columns are read one after the other.
		text := plain(run(t, "pdftotext", render(t, d), "-"))
		optional := 0
		for _, c := range Consents(language, d.Subject.Organisation) {
			if !strings.Contains(text, plain(c.Text)) {
				t.Errorf("%s: %s: not in the document: %q", language, c.Name, c.Text)
			}
			if strings.ContainsAny(c.Text, "{}") {
				t.Errorf("%s: %s: %q", language, c.Name, c.Text)
			}
			if !c.Required {
				optional++
			}
		}
		if optional != 1 || Edition(language) == "" {
			t.Errorf("%s: %d optional consents, edition %q", language, optional, Edition(language))
		}
	}
	if Consents("de", "") != nil || Edition("de") != "" {
		t.Error("German is not offered")
	}
}

func TestVariants(t *testing.T) {
	d := sample()
	d.Test, d.QSCD, d.Terms.SHA256, d.Provider.PDSSHA256, d.Provider.PDSVersion, d.Subject.LocalName = false, false, nil, nil, "", ""
	d.ValidityYears, d.Phone = 1, "+4812345"
	text := words(t, render(t, d))
	for _, want := range []string{"Строк чинності 1 рік", "в апаратному модулі безпеки", "0.4.0.194112.1.0 (QCP-n), 1.3", "+481••45"} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the document: %q", want)
		}
	}
	for _, absent := range []string{"ТЕСТ", "QcSSCD", "subjectAltName", "SHA-256 Умов", "SHA-256 Заяви", "власноручний"} {
		if strings.Contains(text, absent) {
			t.Errorf("in the document: %q", absent)
		}
	}
}

// Data that look like a name of a value, a page number or PDF syntax are printed as they are.
func TestDataAreNotInterpreted(t *testing.T) {
	d := sample()
	d.Provider.Name = `A {phone} {nb} (B\) %s <</Type`
	d.Subject.Surname, d.Subject.GivenName, d.Subject.CommonName = "{provider}", "{nb}) Tj", `%d \012 (`
	path := render(t, d)
	run(t, "qpdf", "--check", path)
	text := words(t, path)
	for _, want := range []string{
		`укладають A {phone} {nb} (B\) %s <</Type (далі`, "(surname) {provider}", "(givenName) {nb}) Tj", `(commonName) %d \012 (`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the document: %q", want)
		}
	}
}

// The longest values wrap: nothing runs over the margin and nothing is lost.
func TestLongValues(t *testing.T) {
	d := sample()
	d.Subject.Surname, d.Subject.GivenName = strings.Repeat("Щ", longestName), strings.Repeat("Wy ", 66)+"Wy"
	d.Subject.CommonName, d.Subject.LocalName = d.Subject.GivenName+" "+d.Subject.Surname, strings.Repeat("Ґ", longestName)
	d.Subject.SerialNumber = "TINUA-" + strings.Repeat("9", longestMark-6)
	d.Provider.Name, d.Provider.Address = strings.Repeat("Ж", longestName), strings.Repeat("Ю, ", 99)+"Юя"
	d.Subject.Organisation, d.Subject.OrganisationID = strings.Repeat("Ї", longestName), "NTRUA-"+strings.Repeat("8", longestMark-6)
	d.Terms.URL = "https://" + strings.Repeat("w", longestText-8)
	d.Provider.PDSURL, d.Number = d.Terms.URL, strings.Repeat("W", longestID)
	path := render(t, d)
	run(t, "qpdf", "--check", path)
	// The layout keeps the columns; without it pdftotext joins the lines of a cell.
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, run(t, "pdftotext", path, "-"))
	for _, r := range "ЩҐЖЇ" {
		if n := strings.Count(text, string(r)); n < longestName {
			t.Errorf("%d of %q, want %d or more", n, r, longestName)
		}
	}
	for line := range strings.Lines(run(t, "pdftotext", "-bbox", path, "-")) {
		var x float64
		if _, after, ok := strings.Cut(line, `xMax="`); ok {
			if _, err := fmt.Sscan(strings.SplitN(after, `"`, 2)[0], &x); err != nil {
				t.Fatal(err)
			}
			if limit := right/mm + 0.5; x > limit {
				t.Errorf("over the margin at %.1f pt: %s", limit, line)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Data)
		want   error
		says   string
	}{
		"German is not offered":  {func(d *Data) { d.Language = "de" }, ErrLanguage, `"de"; choose one of [uk pl en]`},
		"no language":            {func(d *Data) { d.Language = "" }, ErrLanguage, "choose"},
		"empty surname":          {func(d *Data) { d.Subject.Surname = "" }, ErrField, "surname: must not be empty"},
		"empty number":           {func(d *Data) { d.Number = "" }, ErrField, "number"},
		"500 characters":         {func(d *Data) { d.Subject.GivenName = strings.Repeat("я", 500) }, ErrField, "given name: must not be longer than 200"},
		"line break":             {func(d *Data) { d.Subject.Surname = "A\nB" }, ErrField, "U+000A"},
		"NUL":                    {func(d *Data) { d.Subject.Surname = "A\x00B" }, ErrField, "U+0000"},
		"right-to-left override": {func(d *Data) { d.Subject.CommonName = "A\u202eB" }, ErrField, "U+202E"},
		"right-to-left mark":     {func(d *Data) { d.Subject.LocalName = "A\u200fB" }, ErrField, "local name: remove the character U+200F"},
		"isolate":                {func(d *Data) { d.Provider.Address = "A\u2066B" }, ErrField, "U+2066"},
		"zero-width joiner":      {func(d *Data) { d.Subject.GivenName = "A\u200dB" }, ErrField, "U+200D"},
		"soft hyphen":            {func(d *Data) { d.Subject.GivenName = "A\u00adB" }, ErrField, "U+00AD"},
		"no-break space":         {func(d *Data) { d.Subject.GivenName = "A\u00a0B" }, ErrField, "U+00A0"},
		"combining accent":       {func(d *Data) { d.Subject.GivenName = "I\u0308" }, ErrField, "U+0308"},
		"replacement character":  {func(d *Data) { d.Subject.GivenName = "A\ufffd" }, ErrField, "U+FFFD"},
		"private use":            {func(d *Data) { d.Subject.GivenName = "A\uf800" }, ErrField, "U+F800"},
		"not UTF-8":              {func(d *Data) { d.Subject.GivenName = "A\xd0" }, ErrField, "UTF-8"},
		"leading space":          {func(d *Data) { d.Subject.GivenName = " A" }, ErrField, "space"},
		"two spaces":             {func(d *Data) { d.Subject.GivenName = "A  B" }, ErrField, "space"},
		"emoji":                  {func(d *Data) { d.Subject.GivenName = "A😀" }, ErrGlyph, "given name: replace the character '😀' (U+1F600)"},
		"Hebrew":                 {func(d *Data) { d.Subject.LocalName = "אבג" }, ErrGlyph, "'א' (U+05D0)"},
		"letter the font lacks":  {func(d *Data) { d.Subject.Surname = "Nguyễn" }, ErrGlyph, "'ễ' (U+1EC5)"},
		"Hangul filler":          {func(d *Data) { d.Subject.Surname = "A\u3164" }, ErrGlyph, "U+3164"},
		"phone without plus":     {func(d *Data) { d.Phone = "380671234567" }, ErrField, "E.164"},
		"phone with letters":     {func(d *Data) { d.Phone = "+38067123456a" }, ErrField, "E.164"},
		"phone too short":        {func(d *Data) { d.Phone = "+12345" }, ErrField, "E.164"},
		"country":                {func(d *Data) { d.Subject.Country = "ua" }, ErrField, "country"},
		"policy":                 {func(d *Data) { d.Provider.PolicyOID = "1..2" }, ErrField, "OID"},
		"script for a URL":       {func(d *Data) { d.Terms.URL = "javascript:alert(1)" }, ErrField, "URL"},
		"look-alike URL":         {func(d *Data) { d.Provider.PDSURL = "https://pкі.example" }, ErrField, "URL"},
		"no time":                {func(d *Data) { d.At = time.Time{} }, ErrField, "time"},
		"organisation alone":     {func(d *Data) { d.Subject.Organisation = "A" }, ErrField, "organisation"},
		"its identifier alone":   {func(d *Data) { d.Subject.OrganisationID = "NTRUA-1" }, ErrField, "organisation"},
		"organisation's mark":    {func(d *Data) { d.Subject.Organisation, d.Subject.OrganisationID = "A\u202eB", "NTRUA-1" }, ErrField, "U+202E"},
		"SHA-1 of the PDS":       {func(d *Data) { d.Provider.PDSSHA256 = make([]byte, 20) }, ErrField, "32 bytes"},
		"no validity":            {func(d *Data) { d.ValidityYears = 0 }, ErrField, "validity"},
		"records kept too short": {func(d *Data) { d.Terms.RetentionYears = 6 }, ErrField, "retention"},
		"SHA-1 of the terms":     {func(d *Data) { d.Terms.SHA256 = make([]byte, 20) }, ErrField, "32 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			d := sample()
			c.change(&d)
			b, err := Render(d)
			if b != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v that says %q", err, c.want, c.says)
			}
			if errors.Is(c.want, ErrGlyph) && !errors.Is(err, ErrField) {
				t.Error("ErrGlyph is not an ErrField")
			}
		})
	}
}

func FuzzRender(f *testing.F) {
	f.Add("Mariana", "Лукʼяненко", "ul. Łąkowa 1", "TINUA-1", "https://a", "+380671234567", "1.2", 1)
	f.Add("\u202e", "😀", "{nb}", "\\(", "https://a(", "+1", "..", -1)
	f.Add(strings.Repeat("W", 200), strings.Repeat("Щ ", 100)+"Щ", strings.Repeat("(", 300), "\r", "http://%0d", "", "", 99)
	fonts, err := loadFonts()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, given, surname, address, serial, url, phone, oid string, years int) {
		d := sample()
		d.Subject.GivenName, d.Subject.Surname, d.Subject.LocalName = given, surname, surname
		d.Subject.CommonName, d.Subject.SerialNumber, d.Provider.Address = given+" "+surname, serial, address
		d.Terms.URL, d.Phone, d.Provider.PolicyOID, d.ValidityYears = url, phone, oid, years
		b, err := Render(d)
		if err != nil {
			if !errors.Is(err, ErrField) || b != nil {
				t.Fatalf("%v with %d bytes", err, len(b))
			}
			return
		}
		if !bytes.HasPrefix(b, []byte("%PDF-")) || !bytes.HasSuffix(b, []byte("%%EOF\n")) {
			t.Error("not a PDF")
		}
		for _, r := range given + surname + address + serial {
			if !fonts.has(r) || unicode.Is(unicode.C, r) {
				t.Errorf("%U was let through", r)
			}
		}
	})
}
