package bench

import (
	"fmt"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// rnokppEpoch is the day before the first: the first five digits of an RNOKPP count days from it.
var rnokppEpoch = time.Date(1899, time.December, 31, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant in all but type

// firstDay is 1970-01-01 as RNOKPP counts; below it everybody is of age.
const firstDay = 25568

// rnokpp makes the Ukrainian tax number of the sequence-th person (0 to 9999) born days after the epoch: five digits of
// days, four of the sequence, and the check digit over both.
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
		{"Olena", "Олена"}, {"Andrii", "Андрій"}, {"Iryna", "Ірина"}, {"Bohdan", "Богдан"}, {"Oksana", "Оксана"},
		{"Petro", "Петро"}, {"Nataliia", "Наталія"}, {"Taras", "Тарас"},
	}
	family := [...][2]string{
		{"Kovalchuk", "Ковальчук"}, {"Shevchenko", "Шевченко"}, {"Bondarenko", "Бондаренко"}, {"Melnyk", "Мельник"},
		{"Tkachenko", "Ткаченко"}, {"Kravets", "Кравець"}, {"Oliinyk", "Олійник"}, {"Rudenko", "Руденко"}, {"Marchenko", "Марченко"},
	}
	g, f := given[i%len(given)], family[i%len(family)]
	days := firstDay + i%7300
	return &pb.PersonalData{
		GivenName: g[0], Surname: f[0], LocalName: g[1] + " " + f[1], Country: "UA",
		// Even sequence numbers are women's, odd ones men's, as the given names are.
		Identifier: rnokpp(days, i%10000), BirthDate: rnokppEpoch.AddDate(0, 0, days).Format(time.DateOnly),
		Phone: fmt.Sprintf("+38050%07d", i),
	}
}
