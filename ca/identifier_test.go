package ca

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
	"pgregory.net/rapid"
)

// parseIdentifier is the inverse of String.
func parseIdentifier(s string) (Identifier, error) {
	kind, country, value, ok := lint.SplitIdentifier(s)
	if !ok {
		return Identifier{}, ErrIdentifier
	}
	i := Identifier{kind, country, value}
	return i, i.Check()
}

func TestCheckIdentifier(t *testing.T) {
	cases := []struct {
		text string
		want error
	}{
		{"PNOPL-44051401359", nil},
		{"PNOPL-44051401358", ErrCheckDigit},
		{"PNOPL-02070803628", nil},            // 1902-07-08, a much published sample
		{"PNOPL-4405140135", ErrIdentifier},   // ten digits
		{"PNOPL-440514013590", ErrIdentifier}, // twelve
		{"PNOPL-4405140135A", ErrIdentifier},
		{"PNOPL-00000000000", ErrIdentifier}, // check digit right, no such date
		{"PNOPL-44023001350", ErrCheckDigit}, // no such date either, but the digit speaks first
		{"TINPL-9512352379", nil},
		{"TINPL-5250008198", nil},
		{"TINPL-5260250274", nil},
		{"TINPL-9512352378", ErrCheckDigit},
		{"TINPL-951-235-23-79", ErrIdentifier},
		{"IDCPL-ABA300000", nil},
		{"IDCPL-ABA300001", ErrCheckDigit},
		{"IDCPL-aba300000", ErrIdentifier},
		{"PASPL-ZS0000177", nil},
		{"PASPL-ZS0000178", ErrCheckDigit},
		{"TINUA-3184710691", nil},
		{"TINUA-2935412318", nil},
		{"TINUA-2935412319", ErrCheckDigit},
		{"TINUA-0000000000", ErrIdentifier},
		{"TINUA-293541231", ErrIdentifier},
		{"PNOUA-19900101-00000", nil},
		{"PNOUA-19900230-00000", ErrIdentifier},
		{"PNOUA-1990010100000", ErrIdentifier},
		{"IDCUA-000123456", nil},
		{"IDCUA-00012345", ErrIdentifier},
		{"PASUA-FA123456", nil},
		{"PASUA-ФА123456", ErrIdentifier},
		{"PASUA-FA12345", ErrIdentifier},
		{"PNOEE-38001085718", nil}, // form only
		{"TINEL-123456789", nil},
		{"PNOEL-123456789", ErrIdentifier}, // only TIN knows EL
		{"PNOUK-1", ErrIdentifier},
		{"TAXPL-9512352379", ErrIdentifier},
		{"pnopl-44051401359", ErrIdentifier},
		{"PNOPL44051401359", ErrIdentifier},
		{"PNODE-", ErrIdentifier},
		{"PNODE- 1", ErrIdentifier},
		{"PNODE-1*", ErrIdentifier},
		{"PNODE-" + strings.Repeat("1", 58), nil},
		{"PNODE-" + strings.Repeat("1", 59), ErrIdentifier},
		{"", ErrIdentifier},
	}
	for _, c := range cases {
		i, err := parseIdentifier(c.text)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", c.text, err, c.want)
		}
		if c.want == nil && i.String() != c.text {
			t.Errorf("%s came back as %s", c.text, i)
		}
		if err != nil && len(c.text) > 6 && strings.Contains(err.Error(), c.text[6:]) && c.text[6:] != "1" {
			t.Errorf("the error repeats the number: %v", err)
		}
	}
	// Parts that together read like an identifier are none.
	if err := CheckIdentifier("PNOPL-4", "40", "51401359"); !errors.Is(err, ErrIdentifier) {
		t.Errorf("shifted parts: %v", err)
	}
}

func TestBirth(t *testing.T) {
	cases := []struct {
		text string
		date string
		male bool
		want error
	}{
		{"PNOPL-44051401359", "1944-05-14", true, nil},
		{"PNOPL-02070803628", "1902-07-08", false, nil},
		{"TINUA-2935412318", "1980-05-14", true, nil},
		{"TINUA-3184710691", "1987-03-12", true, nil},
		{"PNOUA-19900101-00000", "1990-01-01", false, nil},
		{"IDCPL-ABA300000", "", false, ErrNoBirthDate},
		{"PNOPL-44051401358", "", false, ErrCheckDigit},
	}
	for _, c := range cases {
		i := Identifier{c.text[:3], c.text[3:5], c.text[6:]}
		date, male, err := Birth(i)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if err == nil && (date.Format(time.DateOnly) != c.date || male != c.male) {
			t.Errorf("%s: %s, male %t", c.text, date.Format(time.DateOnly), male)
		}
	}
}

// PESEL made by its published rule for any day of five centuries is accepted and read back; changing any one digit of
// it is always noticed, as its weights are coprime to ten.
func TestPESELProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		from := time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC)
		day := from.AddDate(0, 0, rapid.IntRange(0, 182000).Draw(r, "day"))
		shift := map[int]int{18: 80, 19: 0, 20: 20, 21: 40, 22: 60}[day.Year()/100]
		body := fmt.Sprintf("%02d%02d%02d%04d", day.Year()%100, int(day.Month())+shift, day.Day(),
			rapid.IntRange(0, 9999).Draw(r, "serial"))
		pesel := body + digit(10-weigh(body, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)
		date, male, err := Birth(Identifier{"PNO", "PL", pesel})
		if err != nil || !date.Equal(day) || male != (pesel[9]%2 == 1) {
			r.Fatalf("%s: %s %t %v", pesel, date, male, err)
		}
		at := rapid.IntRange(0, 10).Draw(r, "position")
		wrong := []byte(pesel)
		wrong[at] = '0' + (wrong[at]-'0'+byte(rapid.IntRange(1, 9).Draw(r, "change")))%10
		if err := CheckIdentifier("PNO", "PL", string(wrong)); err == nil {
			r.Fatalf("%s accepted, changed from %s", wrong, pesel)
		}
	})
}

func TestRNOKPPProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		days := rapid.IntRange(1, 55000).Draw(r, "days")
		body := fmt.Sprintf("%05d%04d", days, rapid.IntRange(0, 9999).Draw(r, "serial"))
		sum := 0
		for i, w := range []int{-1, 5, 7, 9, 4, 6, 10, 5, 7} {
			sum += int(body[i]-'0') * w
		}
		number := body + digit(((sum%11)+11)%11)
		date, male, err := Birth(Identifier{"TIN", "UA", number})
		want := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days-1)
		if err != nil || !date.Equal(want) || male != (number[8]%2 == 1) {
			r.Fatalf("%s: %s %t %v", number, date, male, err)
		}
	})
}

func digit(n int) string { return fmt.Sprint(n % 10) }

func FuzzIdentifier(f *testing.F) {
	for _, s := range []string{"PNOPL-44051401359", "TINUA-3184710691", "PNOUA-19900101-00000", "IDCPL-ABA300000", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := parseIdentifier(s)
		if err == nil && i.String() != s {
			t.Errorf("%q came back as %q", s, i)
		}
		if _, _, err := Birth(i); err == nil && i.Kind == "" {
			t.Errorf("%q: birth date of nothing", s)
		}
	})
}
