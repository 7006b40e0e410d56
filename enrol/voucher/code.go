// Package voucher holds the rules of vouchers: what they are sold for, how their codes are written, and how many wrong ones
// are looked at. It stores nothing and asks nobody.
package voucher

import (
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
)

// Request says what vouchers are to be made.
type Request struct {
	Product string // of the catalogue, e.g. "qes-1y"; with Years its name without the ending, e.g. "qes"
	Years   uint8  // longest validity, as the product has it; 0: whatever it has
	Count   int    // 1 to 1000
	Expires time.Time
}

const (
	maxCount  = 1000
	maxLife   = 5 * 366 * 24 * time.Hour
	alphabet  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base 32: no I, L, O, U
	symbols   = 20                                 // 19 random ones (95 bits) and the check symbol
	groupSize = 4
)

// Check judges it. Each error is a call.FieldError.
func (v Request) Check(now time.Time) error {
	switch {
	case !audit.ValidID(v.Product):
		return call.Wrong("product", fmt.Errorf("%w: give an identifier such as qes-1y", call.ErrField))
	case v.Years > MaxYears:
		return call.Wrong("years", fmt.Errorf("%w: 1 to %d years", ErrYears, MaxYears))
	case v.Count < 1 || v.Count > maxCount:
		return call.Wrong("count", fmt.Errorf("%w: 1 to %d at a time", call.ErrField, maxCount))
	case !v.Expires.After(now) || v.Expires.Sub(now) > maxLife:
		return call.Wrong("expires", fmt.Errorf("%w: give a time within the next five years", call.ErrField))
	}
	return nil
}

// RandomBytes is how many a code is made of.
const RandomBytes = symbols - 1

// Code turns RandomBytes random bytes into as many symbols and their check symbol.
func Code(random []byte) string {
	code := make([]byte, 0, symbols)
	for _, b := range random {
		code = append(code, alphabet[b%32]) // 256 is a multiple of 32: no symbol is likelier
	}
	return string(append(code, checkSymbol(string(code))))
}

// checkSymbol is Luhn's algorithm modulo 32: it finds every single wrong symbol and nearly every swap of neighbours.
func checkSymbol(code string) byte {
	sum, factor := 0, 2
	for i := len(code) - 1; i >= 0; i-- {
		v := factor * strings.IndexByte(alphabet, code[i])
		sum += v/32 + v%32
		factor = 3 - factor
	}
	return alphabet[(32-sum%32)%32]
}

// Groups writes a code as people read it aloud.
func Groups(code string) string {
	var b strings.Builder
	for i := range len(code) {
		if i > 0 && i%groupSize == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(code[i])
	}
	return b.String()
}

// Normal undoes how people write a code: case, groups, and letters that look like digits. A wrong check symbol
// is a call.FieldError.
func Normal(text string) (string, error) {
	wrong := call.Wrong("voucher", fmt.Errorf("%w: compare it with the voucher, e.g. XXXX-XXXX-XXXX-XXXX-XXXX", ErrCode))
	if len(text) > 64 {
		return "", wrong
	}
	code := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	if len(code) != symbols {
		return "", wrong
	}
	for i := range len(code) {
		if strings.IndexByte(alphabet, code[i]) < 0 {
			return "", wrong
		}
	}
	if checkSymbol(code[:symbols-1]) != code[symbols-1] {
		return "", wrong
	}
	return code, nil
}
