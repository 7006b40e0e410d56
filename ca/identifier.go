package ca

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Errors of identifiers.
var (
	ErrIdentifier  = errors.New("ca: identifier has the wrong form")
	ErrCheckDigit  = errors.New("ca: identifier's check digit is wrong; compare it with the document")
	ErrNoBirthDate = errors.New("ca: this kind of identifier holds no birth date")
)

// Identifier is a natural person's number as EN 319 412-1 NAT-5.1.3 writes it into serialNumber.
type Identifier struct {
	Kind    string // PNO, TIN, IDC, PAS or EID
	Country string // ISO 3166-1 alpha-2 of the authority that gave the number
	Value   string
}

// String is the form that stands in the certificate, such as PNOPL-44051401359.
func (i Identifier) String() string { return i.Kind + i.Country + "-" + i.Value }

// Check is CheckIdentifier.
func (i Identifier) Check() error { return CheckIdentifier(i.Kind, i.Country, i.Value) }

// CheckIdentifier judges a number by the rules of the country that gives it: Polish PESEL (PNO), NIP (TIN), identity
// card (IDC) and passport (PAS); Ukrainian UNZR (PNO), RNOKPP (TIN), identity card (IDC) and passport (PAS). Numbers of
// other countries are judged by their form alone. Letters are capitals: names are compared without regard to case
// (X.520), so small letters would make a second spelling of one person's name. Errors never repeat the number:
// ErrIdentifier, ErrCheckDigit.
func CheckIdentifier(kind, country, value string) error {
	if _, _, _, ok := lint.SplitIdentifier(kind + country + "-" + value); !ok || len(kind) != 3 || len(country) != 2 {
		return fmt.Errorf("%w: kind PNO, TIN, IDC, PAS or EID, a country code, and 1 to 58 printable characters", ErrIdentifier)
	}
	if value != strings.ToUpper(value) {
		return fmt.Errorf("%w: write its letters as capitals", ErrIdentifier)
	}
	check := map[string]func(string) error{
		"PNOPL": checkPESEL,
		"TINPL": checkNIP,
		"IDCPL": checkPolishCard,
		"PASPL": checkPolishPassport,
		"PNOUA": checkUNZR,
		"TINUA": checkRNOKPP,
		"IDCUA": checkUkrainianCard,
		"PASUA": checkUkrainianPassport,
	}[kind+country]
	if check == nil {
		return nil
	}
	return check(value)
}

// Birth returns the birth date (midnight UTC) and sex that PESEL, RNOKPP and UNZR hold, to be compared with the
// identity proof; UNZR holds no sex and answers false. ErrNoBirthDate for other kinds, and the errors of CheckIdentifier.
func Birth(i Identifier) (date time.Time, male bool, err error) {
	if err := i.Check(); err != nil {
		return time.Time{}, false, err
	}
	switch i.Kind + i.Country {
	case "PNOPL":
		date, err = dateOfPESEL(i.Value)
		return date, (i.Value[9]-'0')%2 == 1, err
	case "TINUA":
		return dateOfRNOKPP(i.Value), (i.Value[8]-'0')%2 == 1, nil
	case "PNOUA":
		date, err = time.Parse("20060102", i.Value[:8])
		return date, false, err
	}
	return time.Time{}, false, ErrNoBirthDate
}

// form checks a text against a picture: '9' stands for a digit, 'A' for a capital Latin letter.
func form(what, value, picture string) error {
	good := len(value) == len(picture)
	for i := 0; good && i < len(value); i++ {
		low, high := byte('0'), byte('9')
		switch picture[i] {
		case 'A':
			low, high = 'A', 'Z'
		case '-':
			low, high = '-', '-'
		}
		good = value[i] >= low && value[i] <= high
	}
	if !good {
		return fmt.Errorf("%w: %s has the form %s (9 a digit, A a letter)", ErrIdentifier, what, picture)
	}
	return nil
}

// weigh adds up the characters times their weights; letters count A = 10 to Z = 35.
func weigh(value string, weights ...int) int {
	sum := 0
	for i, w := range weights {
		n := int(value[i] - '0')
		if value[i] >= 'A' {
			n = int(value[i]-'A') + 10
		}
		sum += n * w
	}
	return sum
}

func checkDigit(what string, good bool) error {
	if !good {
		return fmt.Errorf("%w: %s", ErrCheckDigit, what)
	}
	return nil
}

func checkPESEL(v string) error {
	if err := form("PESEL", v, "99999999999"); err != nil {
		return err
	}
	if err := checkDigit("PESEL", weigh(v, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0); err != nil {
		return err
	}
	_, err := dateOfPESEL(v)
	return err
}

// dateOfPESEL reads YYMMDD; the month tells the century: +80 for 18xx, +20 for 20xx, +40 for 21xx, +60 for 22xx.
func dateOfPESEL(v string) (time.Time, error) {
	month := weigh(v[2:], 10, 1)
	century := []string{"19", "20", "21", "22", "18"}[month/20]
	date, err := time.Parse("20060102", fmt.Sprintf("%s%s%02d%s", century, v[:2], month%20, v[4:6]))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: the birth date in the PESEL does not exist", ErrIdentifier)
	}
	return date, nil
}

func checkNIP(v string) error {
	if err := form("NIP", v, "9999999999"); err != nil {
		return err
	}
	// A remainder of 10 matches no digit, so no such number exists.
	return checkDigit("NIP", weigh(v, 6, 5, 7, 2, 3, 4, 5, 6, 7)%11 == int(v[9]-'0'))
}

func checkPolishCard(v string) error {
	if err := form("Polish identity card", v, "AAA999999"); err != nil {
		return err
	}
	return checkDigit("Polish identity card", weigh(v, 7, 3, 1, 9, 7, 3, 1, 7, 3)%10 == 0)
}

func checkPolishPassport(v string) error {
	if err := form("Polish passport", v, "AA9999999"); err != nil {
		return err
	}
	return checkDigit("Polish passport", weigh(v, 7, 3, 9, 1, 7, 3, 1, 7, 3)%10 == 0)
}

func checkRNOKPP(v string) error {
	if err := form("RNOKPP", v, "9999999999"); err != nil {
		return err
	}
	if v[:5] == "00000" {
		return fmt.Errorf("%w: RNOKPP holds no birth date", ErrIdentifier)
	}
	sum := weigh(v, -1, 5, 7, 9, 4, 6, 10, 5, 7) % 11
	return checkDigit("RNOKPP", (sum+11)%11%10 == int(v[9]-'0'))
}

// dateOfRNOKPP counts days; day 1 is 1900-01-01.
func dateOfRNOKPP(v string) time.Time {
	return time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC).AddDate(0, 0, weigh(v, 10000, 1000, 100, 10, 1))
}

// checkUNZR knows form and date; no public rule for the last digits is known.
func checkUNZR(v string) error {
	if err := form("UNZR", v, "99999999-99999"); err != nil {
		return err
	}
	if _, err := time.Parse("20060102", v[:8]); err != nil {
		return fmt.Errorf("%w: the birth date in the UNZR does not exist", ErrIdentifier)
	}
	return nil
}

func checkUkrainianCard(v string) error { return form("Ukrainian identity card", v, "999999999") }

// checkUkrainianPassport takes the foreign passport in its Latin spelling; the old internal booklet has Cyrillic
// letters, which a PrintableString cannot hold.
func checkUkrainianPassport(v string) error {
	return form("Ukrainian passport", v, "AA999999")
}
