package bench

import (
	"testing"
	"time"
)

// check is the rule written a second time, from the number's side: weighted sum modulo 11, modulo 10.
func checkRNOKPP(t *testing.T, number string) {
	t.Helper()
	if len(number) != 10 {
		t.Fatalf("%q has %d digits", number, len(number))
	}
	d := make([]int, 10)
	for i := range d {
		d[i] = int(number[i] - '0')
	}
	sum := -d[0] + 5*d[1] + 7*d[2] + 9*d[3] + 4*d[4] + 6*d[5] + 10*d[6] + 5*d[7] + 7*d[8]
	if sum < 0 {
		sum += 11
	}
	if sum%11%10 != d[9] {
		t.Errorf("%s: check digit", number)
	}
}

func TestRNOKPP(t *testing.T) {
	for want, c := range map[string]struct{ days, sequence int }{
		"2935412318": {29354, 1231}, // 1980-05-14, male
		"3184710691": {31847, 1069}, // a published sample
		"2935412324": {29354, 1232},
	} {
		if got := rnokpp(c.days, c.sequence); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
		checkRNOKPP(t, want)
	}
	if got := birthDate(29354).Format(time.DateOnly); got != "1980-05-14" {
		t.Errorf("29354 days are %s", got)
	}
	if got := birthDate(firstDay).Format(time.DateOnly); got != "1970-01-01" {
		t.Errorf("the first day is %s", got)
	}
}

func TestPersonsAreDistinct(t *testing.T) {
	identifiers, phones := map[string]bool{}, map[string]bool{}
	for i := range maxPersons {
		p := person(i)
		checkRNOKPP(t, p.GetIdentifier())
		born, err := time.Parse(time.DateOnly, p.GetBirthDate())
		if err != nil || born.Year() < 1970 || born.Year() > 1989 {
			t.Fatalf("person %d was born %q", i, p.GetBirthDate())
		}
		if identifiers[p.GetIdentifier()] || phones[p.GetPhone()] {
			t.Fatalf("person %d is somebody else too: %v", i, p)
		}
		identifiers[p.GetIdentifier()], phones[p.GetPhone()] = true, true
		if len(p.GetPhone()) != len("+380501234567") {
			t.Fatalf("person %d has the phone %s", i, p.GetPhone())
		}
	}
}
