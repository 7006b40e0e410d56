package otp

import "time"

// Replay counts again what the operation log tells of one counted try, where the rows that counted it are gone: a failure
// locks as it did then, a right code forgives as it did then.
func (l Limits) Replay(tx Tx, account, caller string, r Result, at time.Time) error {
	c := Challenge{Account: account, Caller: caller}
	if r == Accepted {
		_, err := l.forgive(tx, nil, c, at)
		return err
	}
	_, _, _, err := l.fail(tx, nil, c, at)
	return err
}
