package enrol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/enrol/voucher"
)

// CreateVouchers makes vouchers and returns their codes, which exist nowhere else: only their hashes are stored. The
// same request again is ErrShownOnce.
func (s *Service) CreateVouchers(ctx context.Context, caller, requestID string, v VoucherRequest) ([]string, error) {
	now := s.now()
	if err := v.Check(now); err != nil {
		return nil, err
	}
	product, err := s.product(v.Product, v.Years)
	if err != nil {
		return nil, call.Wrong("product", err)
	}
	if v.Years != 0 && v.Years != product.Years {
		return nil, call.Wrong("years", fmt.Errorf("%w: %s is for %d", ErrYears, product.Name, product.Years))
	}
	r, err := call.NewRequest(caller, requestID, "CreateVouchers", v.Product, strconv.Itoa(int(v.Years)), strconv.Itoa(v.Count), v.Expires.UTC().String())
	if err != nil {
		return nil, err
	}
	codes := make([]string, v.Count)
	vouchers := make([]Voucher, v.Count)
	for i := range codes {
		b, err := s.room.Random(voucher.RandomBytes)
		if err != nil {
			return nil, err
		}
		code := voucher.Code(b)
		codes[i] = voucher.Groups(code)
		vouchers[i] = Voucher{
			Hash: digest([]byte(code)), Product: product.Name, Years: product.Years,
			Expires: v.Expires.UTC().Truncate(time.Microsecond), Created: now, Caller: caller,
		}
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if _, done, err := r.Answered(tx); err != nil || done {
			return errors.Join(err, shownOnce(done))
		}
		for _, made := range vouchers {
			if err := tx.PutVoucher(made); err != nil {
				return err
			}
			tx.Append(audit.VoucherCreated{Voucher: hex.EncodeToString(made.Hash), Product: made.Product, Caller: caller})
		}
		return r.Put(tx, "vouchers")
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
