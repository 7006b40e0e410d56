package ca

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// CheckOrganisationID judges a legal person's identifier, EN 319 412-1 LEG-5.1.4: a register (VAT, NTR, PSD, LEI, EOR,
// EXC), its country, a hyphen, the number in capitals. Polish VAT numbers (NIP), Polish NTR numbers (KRS, or REGON with
// its check digit), Ukrainian NTR numbers (EDRPOU, 8 digits) and LEI codes (ISO 17442) are judged by their own rules,
// others by their form alone. Errors never repeat the number: ErrIdentifier, ErrCheckDigit.
func CheckOrganisationID(id string) error {
	if !lint.OrganisationID(id) || len(id) > 64 || id != strings.ToUpper(id) {
		return fmt.Errorf("%w: an organisation's identifier looks like VATPL-5260250274 or NTRUA-12345678", ErrIdentifier)
	}
	register, number, _ := strings.Cut(id, "-")
	check := map[string]func(string) error{
		"VATPL": checkNIP, "NTRPL": checkPolishRegister, "NTRUA": checkEDRPOU, "LEIXG": checkLEI,
	}[register]
	if check == nil {
		return nil
	}
	return check(number)
}

// checkPolishRegister takes a KRS number of 10 digits or a REGON of 9.
func checkPolishRegister(v string) error {
	if len(v) == 10 {
		return form("KRS", v, "9999999999")
	}
	if err := form("REGON", v, "999999999"); err != nil {
		return err
	}
	// A remainder of 10 is written as 0.
	return checkDigit("REGON", weigh(v, 8, 9, 2, 3, 4, 5, 6, 7)%11%10 == int(v[8]-'0'))
}

// checkEDRPOU judges the form alone, as the rules of its last digit are not published by the register.
func checkEDRPOU(v string) error { return form("EDRPOU", v, "99999999") }

// checkLEI is ISO 17442: 18 letters and digits and two check digits by ISO 7064 MOD 97-10.
func checkLEI(v string) error {
	if len(v) != 20 {
		return fmt.Errorf("%w: an LEI has 20 letters and digits", ErrIdentifier)
	}
	var digits strings.Builder
	for i := range len(v) {
		switch b := v[i]; {
		case b >= '0' && b <= '9':
			digits.WriteByte(b)
		case b >= 'A' && b <= 'Z' && i < 18:
			fmt.Fprintf(&digits, "%d", b-'A'+10)
		default:
			return fmt.Errorf("%w: an LEI has 18 letters and digits and two check digits", ErrIdentifier)
		}
	}
	n, ok := new(big.Int).SetString(digits.String(), 10)
	return checkDigit("LEI", ok && n.Mod(n, big.NewInt(97)).Int64() == 1)
}
