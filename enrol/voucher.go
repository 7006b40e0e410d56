package enrol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
)

// VoucherRequest says what vouchers are to be made.
type VoucherRequest struct {
	Product string // of the catalogue, e.g. "qes-1y"; with Years its name without the ending, e.g. "qes"
	Years   uint8  // longest validity, as the product has it; 0: whatever it has
	Count   int    // 1 to 1000
	Expires time.Time
}

const (
	maxYears         = 3
	maxVouchers      = 1000
	maxVoucherLife   = 5 * 366 * 24 * time.Hour
	voucherAlphabet  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base 32: no I, L, O, U
	voucherSymbols   = 20                                 // 19 random ones (95 bits) and the check symbol
	voucherGroupSize = 4
)

// CreateVouchers makes vouchers and returns their codes, which exist nowhere else: only their hashes are stored. The
// same request again is ErrShownOnce.
func (s *Service) CreateVouchers(ctx context.Context, caller, requestID string, v VoucherRequest) ([]string, error) {
	now := s.now()
	if err := v.check(now); err != nil {
		return nil, err
	}
	product, err := s.product(v.Product, v.Years)
	if err != nil {
		return nil, &FieldError{"product", err}
	}
	if v.Years != 0 && v.Years != product.Years {
		return nil, &FieldError{"years", fmt.Errorf("%w: %s is for %d", ErrYears, product.Name, product.Years)}
	}
	r, err := newRequest(caller, requestID, "CreateVouchers", v.Product, strconv.Itoa(int(v.Years)), strconv.Itoa(v.Count), v.Expires.UTC().String())
	if err != nil {
		return nil, err
	}
	codes := make([]string, v.Count)
	vouchers := make([]Voucher, v.Count)
	for i := range codes {
		b, err := s.random(voucherSymbols - 1)
		if err != nil {
			return nil, err
		}
		code := voucherCode(b)
		codes[i] = groups(code)
		vouchers[i] = Voucher{
			Hash: digest([]byte(code)), Product: product.Name, Years: product.Years,
			Expires: v.Expires.UTC().Truncate(time.Microsecond), Created: now, Caller: caller,
		}
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if _, done, err := r.answered(tx); err != nil || done {
			return errors.Join(err, shownOnce(done))
		}
		for _, voucher := range vouchers {
			if err := tx.PutVoucher(voucher); err != nil {
				return err
			}
			tx.Append(audit.VoucherCreated{Voucher: hex.EncodeToString(voucher.Hash), Product: voucher.Product, Caller: caller})
		}
		return r.put(tx, "vouchers")
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

func shownOnce(done bool) error {
	if done {
		return ErrShownOnce
	}
	return nil
}

func (v VoucherRequest) check(now time.Time) error {
	switch {
	case !audit.ValidID(v.Product):
		return &FieldError{"product", fmt.Errorf("%w: give an identifier such as qes-1y", ErrField)}
	case v.Years > maxYears:
		return &FieldError{"years", fmt.Errorf("%w: 1 to %d years", ErrYears, maxYears)}
	case v.Count < 1 || v.Count > maxVouchers:
		return &FieldError{"count", fmt.Errorf("%w: 1 to %d at a time", ErrField, maxVouchers)}
	case !v.Expires.After(now) || v.Expires.Sub(now) > maxVoucherLife:
		return &FieldError{"expires", fmt.Errorf("%w: give a time within the next five years", ErrField)}
	}
	return nil
}

// voucherCode turns 19 random bytes into 19 symbols and their check symbol.
func voucherCode(random []byte) string {
	code := make([]byte, 0, voucherSymbols)
	for _, b := range random {
		code = append(code, voucherAlphabet[b%32]) // 256 is a multiple of 32: no symbol is likelier
	}
	return string(append(code, checkSymbol(string(code))))
}

// checkSymbol is Luhn's algorithm modulo 32: it finds every single wrong symbol and nearly every swap of neighbours.
func checkSymbol(code string) byte {
	sum, factor := 0, 2
	for i := len(code) - 1; i >= 0; i-- {
		v := factor * strings.IndexByte(voucherAlphabet, code[i])
		sum += v/32 + v%32
		factor = 3 - factor
	}
	return voucherAlphabet[(32-sum%32)%32]
}

// groups writes a code as people read it aloud.
func groups(code string) string {
	var b strings.Builder
	for i := range len(code) {
		if i > 0 && i%voucherGroupSize == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(code[i])
	}
	return b.String()
}

// normalVoucher undoes how people write a code: case, groups, and letters that look like digits. A wrong check symbol
// is a FieldError.
func normalVoucher(text string) (string, error) {
	wrong := &FieldError{"voucher", fmt.Errorf("%w: compare it with the voucher, e.g. XXXX-XXXX-XXXX-XXXX-XXXX", ErrVoucherCode)}
	if len(text) > 64 {
		return "", wrong
	}
	code := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	if len(code) != voucherSymbols {
		return "", wrong
	}
	for i := range len(code) {
		if strings.IndexByte(voucherAlphabet, code[i]) < 0 {
			return "", wrong
		}
	}
	if checkSymbol(code[:voucherSymbols-1]) != code[voucherSymbols-1] {
		return "", wrong
	}
	return code, nil
}
