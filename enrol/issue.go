package enrol

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// issueTimeout bounds the device and the store during one issuing, which a caller that hangs up does not interrupt.
const issueTimeout = time.Minute

// AcceptAgreement takes the person's wilful act (EN 319 411-1 REG-6.3.4-08): the digest of the document that was shown,
// the consents, and the code. Key and certificate are made at once; when something interrupts that, the answer is the enrolment in
// state issuing, Alarm is told, and Resume or the same request again completes it without asking the person.
//
// This file is one sequence. Each numbered step says what a crash right after it leaves behind.
func (s *Service) AcceptAgreement(ctx context.Context, caller, id, requestID string, a Acceptance) (View, error) {
	if err := a.Context.check(); err != nil {
		return View{}, err
	}
	r, err := call.NewRequest(caller, requestID, "AcceptAgreement", append([]string{
		id, string(a.SHA256), a.Context.Address, a.Context.UserAgent, a.Context.Session,
	}, a.Consents...)...)
	if err != nil {
		return View{}, err
	}
	chosen, err := s.room.NewID("cred-")
	if err != nil {
		return View{}, err
	}
	taken := false
	// step 1: one commit counts the try, spends the code, records the acceptance with its evidence and chooses the
	// credential's id. After a crash the person is not asked again: the enrolment is in state issuing, which Resume finds.
	accepted, err := s.answer(ctx, r, id, agreementStep(), a.Code, func(from record, ch otp.Challenge, now time.Time) (change, error) {
		c, err := s.accept(ctx, r, from, ch, a, credential.ID(chosen), now)
		if err != nil {
			return change{}, err
		}
		taken = true
		return s.accepting(ctx, c, from, ch, a.Code, now)
	})
	if err != nil {
		return View{}, err
	}
	if taken && accepted.sealed.Renews != "" {
		s.first.Store(id, true)
	}
	failpoint("issue", 1)
	if accepted.sealed.State != StateIssuing {
		return view(accepted), nil
	}
	done, err := s.finish(ctx, id)
	switch {
	case errors.Is(err, ErrIntegrity), errors.Is(err, ErrProofingTooOld):
		return View{}, err
	case err != nil:
		s.Alarm(ctx, "issuing", id, err)
		return view(accepted), nil
	}
	return view(done), nil
}

// accept decides what the right code of an agreement leads to.
func (s *Service) accept(ctx context.Context, r call.Request, from record, ch otp.Challenge, a Acceptance, chosen credential.ID, now time.Time) (change, error) {
	e := from.sealed
	if !hmac.Equal(a.SHA256, e.Agreement) {
		return change{}, call.Wrong("agreement_sha256", fmt.Errorf("%w: show the person the present one", ErrAgreementDiffers))
	}
	consents, err := consent(consentsOf(from), a.Consents)
	if err != nil {
		return change{}, err
	}
	var d Dossier
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		d, err = dossier(tx, from)
		return err
	})
	if err != nil {
		return change{}, err
	}
	if d.Shown.IsZero() {
		return change{}, &StateError{State: e.State, Next: nextAction(e.State), Hint: "the agreement was not downloaded, so nobody can have read it"}
	}
	if d.Evidence, err = s.evidenceOf(r, from, d, ch, a, consents, now); err != nil {
		return change{}, err
	}
	to, err := s.next(ctx, from, now, StateIssuing, func(e *sam.Enrolment, row *Enrolment) {
		e.AcceptedBy, e.AcceptedAt, e.Credential = string(ch.ID), now, chosen
		e.Consents, e.Evidence = consents, digest(d.Evidence)
		row.Challenge = ""
	})
	events := []audit.Event{
		audit.AgreementAccepted{Enrolment: e.ID, Challenge: string(ch.ID), Document: e.Agreement, Means: credential.FactorSMSCode},
		audit.ConsentsGiven{Enrolment: e.ID, Consents: strings.Join(consents, " "), Evidence: digest(d.Evidence)},
	}
	return change{to: to, events: events, also: func(tx Tx) error { return kept(tx, d, ch) }}, err
}

// finish issues, once in this process at a time. Processes that share a store exclude each other in the transactions:
// only one records a key, only one records a certificate.
func (s *Service) finish(ctx context.Context, id string) (record, error) {
	result, err, _ := s.flight.Do(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), issueTimeout)
		defer cancel()
		var done record
		err := call.Again(ctx, func() (err error) {
			done, err = s.issue(ctx, id)
			return err
		})
		return done, err
	})
	if err != nil {
		return record{}, err
	}
	return result.(record), nil
}

// issue goes on from wherever the stored record says that it stopped.
func (s *Service) issue(ctx context.Context, id string) (record, error) {
	r, err := s.any(ctx, id)
	if err != nil || r.sealed.State == StateIssued {
		return r, err
	}
	if r, err = s.issueable(ctx, r); err != nil || r.sealed.State != StateIssuing {
		return r, err
	}
	if err := r.sealed.MayIssue(); err != nil {
		return record{}, err
	}
	if len(r.sealed.TBS) == 0 { // no key is made on a proof that is too old, however long the device was away
		now, err := s.clock()
		if err != nil {
			return record{}, err
		}
		if s.tooOld(r, now) {
			return record{}, s.outdate(ctx, r, "", now)
		}
	}
	if len(r.row.Sealing) == 0 {
		now := s.now()
		document, signature, err := s.signedAgreement(ctx, r)
		if err != nil {
			return record{}, err
		}
		// step 2: the service seals the accepted agreement. The seal existed only in memory; it is made again.
		tail, err := s.sealDocument(ctx, document, now)
		if err != nil {
			return record{}, err
		}
		failpoint("issue", 2)
		// step 3: the sealed agreement is stored: the contract is complete before a key exists. It is not sealed again.
		if r, err = s.recordSealing(ctx, r, append(bytes.Clone(signature), tail...), now); err != nil {
			return record{}, err
		}
		failpoint("issue", 3)
	}
	if len(r.sealed.TBS) == 0 {
		// step 4: the device generates and wraps the key. Nobody has the wrapped key any more; another one is generated.
		key, err := s.generate(ctx, r)
		if err != nil {
			return record{}, err
		}
		failpoint("issue", 4)
		// step 5: one commit stores the wrapped key and what the CA will sign, their digests under seal. From here on it
		// is this key and this serial number for good.
		if r, err = s.recordKey(ctx, r, key); err != nil {
			return record{}, err
		}
		failpoint("issue", 5)
	}
	intended, err := s.intended(ctx, r)
	if err != nil {
		return record{}, err
	}
	// step 6: the CA signs the stored bytes. The certificate existed only in memory; the same bytes are signed again.
	der, err := s.Authority.Sign(ctx, intended)
	if err != nil {
		return record{}, err
	}
	failpoint("issue", 6)
	// step 7: the certificate is held against the sealed record, whatever the database says. As after step 6.
	leaf, err := s.verified(r, der)
	if err != nil {
		return record{}, err
	}
	failpoint("issue", 7)
	// step 8: one commit stores certificate, credential and the end of the enrolment, and puts the notice on its way.
	// Everything is done; the caller reads the state.
	done, err := s.recordIssued(ctx, r, leaf)
	if err != nil {
		return record{}, err
	}
	failpoint("issue", 8)
	return done, nil
}

// any reads an enrolment for the engine itself, its seal checked.
func (s *Service) any(ctx context.Context, id string) (record, error) {
	var row Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		row, err = tx.Enrolment(id)
		return err
	})
	if err != nil {
		return record{}, err
	}
	return s.open(ctx, row)
}

// recordSealing stores the seal of the accepted agreement, unless somebody else did.
func (s *Service) recordSealing(ctx context.Context, r record, tail []byte, now time.Time) (record, error) {
	event := audit.AgreementSealed{
		Enrolment: r.row.ID, Document: r.sealed.Agreement, Sealed: digest(append(bytes.Clone(r.row.Agreement), tail...)),
	}
	var row Enrolment
	_, err := s.Store.Update(ctx, func(tx Tx) (err error) {
		if row, err = r.unchanged(tx); err != nil {
			return err
		}
		if len(row.Sealing) > 0 {
			return nil
		}
		row.Sealing, row.Updated = tail, now
		tx.Append(event)
		return tx.TouchEnrolment(row)
	})
	return record{row: row, sealed: r.sealed, until: r.until}, err
}

// recordKey has the certificate prepared and stores it with the key that it is for.
func (s *Service) recordKey(ctx context.Context, r record, key sam.GeneratedKey) (record, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public)
	if err != nil {
		return record{}, fmt.Errorf("encoding the public key: %w", err)
	}
	now := s.now()
	request := certificateOf(r.sealed, now)
	request.PublicKey, request.Person = key.Public, personOf(r)
	intent, err := s.Authority.Prepare(request)
	if err != nil {
		return record{}, err
	}
	c := intent.Certificate()
	n, err := s.next(ctx, r, now, StateIssuing, func(e *sam.Enrolment, row *Enrolment) {
		e.KEK, e.Wrapped, e.SPKI, e.Serial, e.TBS = key.KEK, digest(key.Wrapped), digest(public), c.Serial, digest(c.TBS)
		row.Wrapped, row.PublicKey = key.Wrapped, public
	})
	if err != nil {
		return record{}, err
	}
	e := n.sealed
	generated := audit.KeyGenerated{
		Enrolment: e.ID, Credential: string(e.Credential), KEK: e.KEK, SPKI: e.SPKI, Wrapped: e.Wrapped,
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		tx.Append(generated)
		tx.Append(audit.CertificateIntended{Enrolment: e.ID, Serial: e.Serial, TBS: e.TBS})
		if err := n.put(tx, r, ""); err != nil {
			return err
		}
		return s.Authority.Intend(tx, intent)
	})
	return n, err
}

// intended reads the stored intent and holds it against the sealed record: whoever writes to the database cannot have
// another name or another key certified.
func (s *Service) intended(ctx context.Context, r record) (ca.Certificate, error) {
	var c ca.Certificate
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		c, err = tx.Certificate(r.sealed.Serial)
		return err
	})
	if err != nil {
		return ca.Certificate{}, fmt.Errorf("reading the intended certificate: %w", err)
	}
	if c.RequestID != r.row.ID || c.Serial != r.sealed.Serial || !hmac.Equal(digest(c.TBS), r.sealed.TBS) ||
		!hmac.Equal(c.SPKI[:], r.sealed.SPKI) {
		err := fmt.Errorf("%w: intended certificate differs from the sealed record", sam.ErrSeal)
		return ca.Certificate{}, s.room.Integrity(ctx, "certificate", r.row.ID, err)
	}
	return c, nil
}

// verified checks the certificate once more, against the sealed record alone.
func (s *Service) verified(r record, der []byte) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the new certificate: %w", err)
	}
	switch {
	case !hmac.Equal(digest(leaf.RawTBSCertificate), r.sealed.TBS),
		!hmac.Equal(digest(leaf.RawSubjectPublicKeyInfo), r.sealed.SPKI),
		hex.EncodeToString(leaf.SerialNumber.Bytes()) != r.sealed.Serial:
		return nil, fmt.Errorf("%w: the new certificate is not the intended one", ca.ErrIntentChanged)
	}
	if err := leaf.CheckSignatureFrom(s.Authority.Certificate()); err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrSignature, err)
	}
	return leaf, nil
}

// recordIssued makes the credential and stores everything that ends the issuing.
func (s *Service) recordIssued(ctx context.Context, r record, leaf *x509.Certificate) (record, error) {
	now := s.now()
	made, err := s.newCredential(ctx, r, leaf, now)
	if err != nil {
		return record{}, err
	}
	n, err := s.next(ctx, r, now, StateIssued, func(_ *sam.Enrolment, row *Enrolment) {
		row.Wrapped, row.PublicKey = nil, nil // the credential holds the key, once
	})
	if err != nil {
		return record{}, err
	}
	notice, err := s.room.Notice(sms.KindIssued, r.row.ID, now)
	if err != nil {
		return record{}, err
	}
	issued := audit.CertificateIssued{
		Enrolment: r.row.ID, Credential: string(made.ID), Serial: made.Serial, Certificate: digest(leaf.Raw),
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		tx.Append(issued)
		tx.Append(custody.BindingChanged(made, credential.Active))
		if err := n.put(tx, r, ""); err != nil {
			return err
		}
		tx.Append(audit.NoticeSent{Subject: r.row.ID, Kind: string(notice.Kind)})
		if err := s.Authority.Record(tx, made.Serial, leaf.Raw); err != nil {
			return err
		}
		if err := tx.PutCredential(made); err != nil {
			return err
		}
		return tx.Enqueue(notice)
	})
	if err != nil {
		return record{}, err
	}
	s.Trust.Raise(made.ID, made.Version)
	return n, nil
}

// newCredential binds key, certificate, person and phone together under seal.
func (s *Service) newCredential(ctx context.Context, r record, leaf *x509.Certificate, now time.Time) (credential.Record, error) {
	e := r.sealed
	sealed, err := s.Trust.SealBinding(ctx, credential.Binding{
		ID: e.Credential, Signatory: e.Signatory, Algorithm: e.Algorithm, SPKI: e.SPKI, Certificate: digest(leaf.Raw),
		WrappedKey: e.Wrapped, KEK: e.KEK, Phone: e.Phone, Factors: []string{credential.FactorSMSCode},
		SCAL: credential.SCAL1, Status: credential.Active, Version: 1,
	})
	return credential.Record{
		ID: e.Credential, Sealed: sealed, Version: 1, WrappedKey: r.row.Wrapped,
		Chain: append([][]byte{leaf.Raw}, s.Seal.above()...), Phone: r.row.Phone, PhoneSalt: r.row.PhoneSalt,
		Language: r.row.Language, Serial: e.Serial, Enrolment: e.ID,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, CreatedAt: now,
	}, err
}

// Resume completes what a crash or a failing device left in state issuing, and returns how many were completed. It is
// called at start and from time to time. Errors of single enrolments are joined, and do not keep it from the others.
func (s *Service) Resume(ctx context.Context) (int, error) {
	var rows []Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.Unfinished(maxPage)
		return err
	})
	if err != nil {
		return 0, err
	}
	completed := 0
	var failed error
	for _, row := range rows {
		if ctx.Err() != nil {
			return completed, errors.Join(failed, ctx.Err())
		}
		if _, err := s.finish(ctx, row.ID); err != nil {
			s.Alarm(ctx, "issuing", row.ID, err)
			failed = errors.Join(failed, fmt.Errorf("enrolment %s: %w", row.ID, err))
			continue
		}
		completed++
	}
	return completed, failed
}
