package restore

import (
	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/store"
)

// record makes every change of the plan in one transaction.
func (p *plan) record(tx store.RestoreTx, limits otp.Limits) error {
	for _, f := range []func(store.RestoreTx) error{p.putVouchers, p.putEnrolments, p.putCredentials, p.putGrants, p.putOperations} {
		if err := f(tx); err != nil {
			return err
		}
	}
	if err := p.putTries(tx, limits); err != nil {
		return err
	}
	for _, l := range p.lost {
		if err := tx.PutLost(l.kind, l.id); err != nil {
			return err
		}
	}
	var err error
	if p.report.Voided, err = tx.VoidChallenges(p.now); err != nil {
		return err
	}
	if p.report.Messages, err = tx.ClearOutbox(); err != nil {
		return err
	}
	if p.text, err = p.report.text(); err != nil {
		return err
	}
	for _, e := range p.events {
		tx.Append(e)
	}
	tx.Append(audit.ServiceRestored{
		Backup: p.report.Backup, Size: p.report.Recovered, Epoch: p.report.Epoch, Report: digest(p.text),
	})
	return nil
}

func (p *plan) putVouchers(tx store.RestoreTx) error {
	for _, voucher := range sorted(p.story.gap.redeemed) {
		v, err := tx.Voucher(hash(voucher))
		if notFound(err) {
			continue // made after the backup, too
		}
		if err != nil {
			return err
		}
		v.Enrolment = p.story.gap.redeemed[voucher]
		if err := tx.PutVoucher(v); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) putEnrolments(tx store.RestoreTx) error {
	for _, e := range p.enrolments {
		if err := tx.PutEnrolment(e); err != nil {
			return err
		}
	}
	for _, e := range p.codes {
		if err := tx.TouchEnrolment(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) putCredentials(tx store.RestoreTx) error {
	for _, r := range p.revoke {
		if err := p.off.Issuing.RevokeLost(tx, r.serial, r.spki, r.reason, r.at); err != nil {
			return err
		}
	}
	for _, r := range p.credentials {
		if err := tx.PutCredential(r); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) putGrants(tx store.RestoreTx) error {
	for g, granted := range p.story.grants {
		id := credential.ID(g[0])
		if _, err := tx.Credential(id); notFound(err) {
			continue
		} else if err != nil {
			return err
		}
		var err error
		if granted {
			err = tx.PutGrant(credential.Grant{Credential: id, Client: g[1], CreatedAt: p.now})
		} else {
			err = tx.DeleteGrant(id, g[1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) putOperations(tx store.RestoreTx) error {
	for _, o := range p.operations {
		if err := tx.PutOperation(o); err != nil {
			return err
		}
	}
	return nil
}

// putTries counts again every try that the backup lacks: on its challenge, if there is a row, and on the locks.
func (p *plan) putTries(tx store.RestoreTx, limits otp.Limits) error {
	for _, t := range p.story.gap.tries {
		if t.result == "" {
			if err := otp.Unlock(tx, t.account, t.caller); err != nil {
				return err
			}
			continue
		}
		c, err := tx.Challenge(otp.ID(t.challenge))
		if err != nil && !notFound(err) {
			return err
		}
		if err == nil {
			c.Attempts = max(c.Attempts, int(t.attempt)) //nolint:gosec // a small count
			if t.result == otp.Accepted {
				c.Spent = t.at
			}
			if err := tx.PutChallenge(c); err != nil {
				return err
			}
			t.account = c.Account
		}
		if err := limits.Replay(tx, t.account, t.caller, t.result, t.at); err != nil {
			return err
		}
	}
	return nil
}
