package bench

import (
	"fmt"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// firstDay is the birth date of the first person as an RNOKPP counts it: days since 1899-12-31. It is 1970-01-01; the
// last person is born in 1989 and so of age.
const firstDay = 25568

// birthDate is the day that an RNOKPP counts.
func birthDate(days int) time.Time {
	return time.Date(1899, time.December, 31+days, 0, 0, 0, 0, time.UTC)
}

// rnokpp makes the Ukrainian tax number of the sequence-th person (0 to 9999) born days after
// 1899-12-31: five digits of days, four of the sequence, and the check digit over both.
func rnokpp(days, sequence int) string {
	digits := fmt.Sprintf("%05d%04d", days, sequence)
	sum := 0
	for i, weight := range [9]int{-1, 5, 7, 9, 4, 6, 10, 5, 7} {
		sum += weight * int(digits[i]-'0')
	}
	return fmt.Sprintf("%s%d", digits, (sum%11+11)%11%10)
}

// person makes the i-th person. No two have the same identifier or phone.
func person(i int) *pb.PersonalData {
	given := [...][2]string{
		{"Olena", "Олена"},
		{"Andrii", "Андрій"},
		{"Iryna", "Ірина"},
		{"Bohdan", "Богдан"},
		{"Oksana", "Оксана"},
		{"Petro", "Петро"},
		{"Nataliia", "Наталія"},
		{"Taras", "Тарас"},
	}
	family := [...][2]string{
		{"Kovalchuk", "Ковальчук"},
		{"Shevchenko", "Шевченко"},
		{"Bondarenko", "Бондаренко"},
		{"Melnyk", "Мельник"},
		{"Tkachenko", "Ткаченко"},
		{"Kravets", "Кравець"},
		{"Oliinyk", "Олійник"},
		{"Rudenko", "Руденко"},
		{"Marchenko", "Марченко"},
	}
	g, f := given[i%len(given)], family[i%len(family)]
	days := firstDay + i%7300
	return &pb.PersonalData{
		GivenName: g[0], Surname: f[0], LocalName: g[1] + " " + f[1], Country: "UA",
		// Even sequence numbers are women's, odd ones men's, as the given names are.
		Identifier: rnokpp(days, i%10000), BirthDate: birthDate(days).Format(time.DateOnly),
		Phone: fmt.Sprintf("+38050%07d", i),
	}
}
