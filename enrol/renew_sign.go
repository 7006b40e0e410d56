package enrol

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// The agreement of a renewal is accepted and signed by one act. The code that the person gets answers a challenge of
// purpose sign over an operation of the trust core, whose one DTBS/R is that of a PAdES signature in the agreement; so the
// current key is used through the one door, and for nothing else.

// renewalLife is how long the current key may sign after the acceptance; it covers a crash and a restart.
const renewalLife = 2 * time.Minute

// signing is what a renewal's code will authorise; nil for other codes.
type signing struct {
	renewal  Renewal
	event    audit.SigningRequested
	replaced string // operation that waited for the code before, empty for none
}

// request stores it with the code that is sent.
func (g *signing) request(tx Tx) error {
	if g == nil {
		return nil
	}
	if g.replaced != "" {
		tx.Append(audit.SigningClosed{Operation: g.replaced, Outcome: audit.OutcomeCancelled})
	}
	tx.Append(g.event)
	return tx.PutRenewal(g.renewal)
}

// toSign prepares the signature that the code of a step is to authorise, and says what the code's challenge is about. Only
// the agreement of a renewal is signed.
func (s *Service) toSign(ctx context.Context, r record, st step, now time.Time) (step, *signing, error) {
	if r.sealed.Renews == "" || st.purpose != sam.PurposeAgreement {
		return st.of(r), nil, nil
	}
	h, original, err := s.renewed(ctx, r)
	if err != nil {
		return step{}, nil, err
	}
	if err := s.renewable(h, original.sealed, now); err != nil {
		return step{}, nil, err
	}
	scheme := h.Binding.Algorithm.Schemes()[0] // a binding has a known algorithm, or it cannot be decoded
	leaf, err := x509.ParseCertificate(h.Row.Chain[0])
	if err != nil {
		return step{}, nil, fmt.Errorf("reading the certificate of %s: %w", h.Row.ID, err)
	}
	prepared, err := pades.Prepare(ctx, bytes.NewReader(r.row.Agreement), int64(len(r.row.Agreement)), pades.Options{
		SigningTime: now, Name: leaf.Subject.CommonName, Chain: h.Row.Chain, Algorithm: algorithmOf(scheme),
	})
	if err != nil {
		return step{}, nil, fmt.Errorf("preparing the signature of the agreement: %w", err)
	}
	g := &signing{renewal: Renewal{Enrolment: r.row.ID}}
	if g.renewal.Prepared, err = prepared.MarshalBinary(); err != nil {
		return step{}, nil, fmt.Errorf("preparing the signature of the agreement: %w", err)
	}
	id, err := s.room.NewID("op-")
	if err != nil {
		return step{}, nil, err
	}
	g.renewal.Operation, err = s.Trust.SealOperation(ctx, sam.Operation{
		ID: id, Caller: r.row.Caller, Credential: h.Row.ID, BindingVersion: h.Binding.Version, Algorithm: scheme,
		Digests: [][]byte{prepared.DTBSR()}, Title: r.row.ID, CallerName: s.Provider.Name, Language: r.row.Language,
		Documents: [][]byte{r.sealed.Agreement}, Details: renewalDetails(g.renewal),
		Expires: now.Add(s.Limits.Life + renewalLife),
	})
	g.event = audit.SigningRequested{
		Operation: id, Credential: string(h.Row.ID), Caller: r.row.Caller, BindingVersion: h.Binding.Version,
		Algorithm: string(scheme), DTBSR: [][]byte{prepared.DTBSR()}, Documents: [][]byte{r.sealed.Agreement}, Enrolment: r.row.ID,
	}
	if err != nil {
		return step{}, nil, err
	}
	g.replaced, err = s.unanswered(ctx, r)
	return st.signs(g.renewal, h.Row.ID), g, err
}

// unanswered names the operation of the code before, if nobody has answered it: one that was activated is closed already.
func (s *Service) unanswered(ctx context.Context, r record) (string, error) {
	var n Renewal
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.Renewal(r.row.ID)
		return err
	})
	if custody.IsNotFound(err) || err == nil && len(n.Activation.Seal) > 0 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the signature of the renewal: %w", err)
	}
	_, o, err := s.operationOf(ctx, r)
	return o.ID, err
}

// signs makes a step one whose code authorises a signature. Failures lock the credential, as those of signing do.
func (st step) signs(n Renewal, id credential.ID) step {
	st.purpose, st.subject, st.account = sam.PurposeSign, n.Operation.Seal, string(id)
	return st
}

// renewalDetails binds an operation to its enrolment and to how the signature is embedded.
func renewalDetails(n Renewal) []byte {
	var e credential.Encoder
	e.String("ecsigner renewal signature v1")
	e.String(n.Enrolment)
	e.Bytes(n.Prepared)
	return digest(e.Data())
}

// algorithmOf is a scheme as CMS names it; none for one that is unknown.
func algorithmOf(scheme credential.Scheme) cades.Algorithm {
	switch scheme {
	case credential.ECDSASHA256:
		return cades.ECDSAWithSHA256
	case credential.ECDSASHA384:
		return cades.ECDSAWithSHA384
	case credential.PSSSHA256:
		return cades.PSSWithSHA256
	case credential.PKCS1SHA256:
		return cades.RSAWithSHA256
	}
	return 0
}

// asked completes a step whose code was sent with what its challenge is about.
func (s *Service) asked(ctx context.Context, r record, st step) (step, error) {
	if r.sealed.Renews == "" || st.purpose != sam.PurposeAgreement {
		return st.of(r), nil
	}
	n, _, err := s.operationOf(ctx, r)
	return st.signs(n, r.sealed.Renews), err
}

// operationOf reads what is signed for a renewal and holds it against the enrolment.
func (s *Service) operationOf(ctx context.Context, r record) (Renewal, sam.Operation, error) {
	var n Renewal
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.Renewal(r.row.ID)
		return err
	})
	if err != nil {
		return Renewal{}, sam.Operation{}, fmt.Errorf("reading the signature of the renewal: %w", err)
	}
	o, err := s.Trust.OpenOperation(ctx, n.Operation)
	if err == nil && (n.Enrolment != r.row.ID || o.Caller != r.sealed.Caller || o.Credential != r.sealed.Renews ||
		len(o.Documents) != 1 || len(o.Digests) != 1 || !hmac.Equal(o.Documents[0], r.sealed.Agreement) ||
		!hmac.Equal(o.Details, renewalDetails(n))) {
		err = fmt.Errorf("%w: operation does not belong to this renewal", sam.ErrSeal)
	}
	if err != nil {
		return Renewal{}, sam.Operation{}, s.room.Integrity(ctx, "operation", r.row.ID, err)
	}
	return n, o, nil
}

// accepting adds to the acceptance of a renewal that the current key may sign: with the right code the activation, sealed
// before the transaction in which the code is spent.
func (s *Service) accepting(ctx context.Context, c change, from record, ch otp.Challenge, code string, now time.Time) (change, error) {
	if from.sealed.Renews == "" {
		return c, nil
	}
	n, o, err := s.operationOf(ctx, from)
	if err != nil {
		return change{}, err
	}
	h, original, err := s.renewed(ctx, from)
	if err != nil {
		return change{}, err
	}
	if err := s.renewable(h, original.sealed, now); err != nil {
		return change{}, err
	}
	challenge := credential.Sealed{Record: ch.Record, Seal: ch.Seal}
	match, err := s.Trust.Match(ctx, challenge, code)
	if err != nil {
		return change{}, err
	}
	if match { // otherwise the transaction refuses and stores nothing of this
		n.Activation, err = s.Trust.Activate(ctx, n.Operation, challenge, []string{credential.FactorSMSCode}, now.Add(renewalLife))
		if err != nil {
			return change{}, err
		}
	}
	n.Fence = 1
	seal := sha256.Sum256(n.Activation.Seal)
	c.events = append(c.events, audit.SigningActivated{
		Operation: o.ID, Credential: string(o.Credential), Caller: o.Caller, BindingVersion: o.BindingVersion, DTBSR: o.Digests,
		Means: credential.FactorSMSCode, Challenge: string(ch.ID), Activation: seal[:],
	})
	also := c.also
	c.also = func(tx Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if err := h.Unchanged(tx); err != nil {
			return err
		}
		stored, err := tx.Renewal(n.Enrolment)
		if err != nil {
			return err
		}
		if !bytes.Equal(stored.Operation.Seal, n.Operation.Seal) {
			return ErrConflict
		}
		return tx.PutRenewal(n)
	}
	return c, nil
}

// signAgreement signs the accepted agreement of a renewal with the current key. Its steps are numbered like those of
// issuing, which goes on where they end. When the activation is over, the code is spent for nothing: the enrolment goes back
// to the acceptance, and the person is asked again.
func (s *Service) signAgreement(ctx context.Context, r record, h custody.Held) (record, error) {
	_, first := s.first.LoadAndDelete(r.row.ID)
	n, o, err := s.operationOf(ctx, r)
	if err != nil {
		return record{}, err
	}
	ch, err := s.room.Challenge(ctx, otp.ID(r.sealed.AcceptedBy))
	if err != nil {
		return record{}, fmt.Errorf("reading the challenge: %w", err)
	}
	release := sam.Release{
		Binding: h.Row.Sealed, Operation: n.Operation, Challenge: credential.Sealed{Record: ch.Record, Seal: ch.Seal},
		Activation: n.Activation, WrappedKey: h.Row.WrappedKey, Digests: o.Digests,
	}
	if err := s.Trust.Verify(ctx, release); err != nil {
		return s.unsigned(ctx, r, o, err)
	}
	if !first {
		if n, err = s.resumeSigning(ctx, r, n, o); err != nil {
			return record{}, err
		}
	}
	// step 1: the current key signs, once in this attempt. The signature existed only in memory; as long as the activation
	// lasts another attempt is made, which the log numbers. After that the person is asked again.
	signatures, err := s.Trust.Sign(ctx, release)
	if err != nil {
		return s.unsigned(ctx, r, o, err)
	}
	failpoint("renew", 1)
	// step 2: the signature is checked, embedded, and the result checked again. As after step 1.
	tail, err := s.embed(ctx, r, h, n, o, signatures[0])
	if err != nil {
		return record{}, err
	}
	failpoint("renew", 2)
	// step 3: one commit stores the signed agreement, its digest under seal, and the evidence. It is not signed again.
	done, err := s.recordSignature(ctx, r, h, n, o, signatures[0], tail)
	if err != nil {
		return record{}, err
	}
	failpoint("renew", 3)
	return done, nil
}

// unsigned says what becomes of a renewal whose agreement cannot be signed now.
func (s *Service) unsigned(ctx context.Context, r record, o sam.Operation, err error) (record, error) {
	switch {
	case errors.Is(err, sam.ErrExpired):
		return s.lapse(ctx, r, o)
	case errors.Is(err, sam.ErrNotAuthorised):
		err = fmt.Errorf("%w: %w", sam.ErrSeal, err) // what was activated was exchanged
	}
	return record{}, s.room.Integrity(ctx, "activation", r.row.ID, err)
}

// lapse brings an accepted renewal back to its acceptance.
func (s *Service) lapse(ctx context.Context, r record, o sam.Operation) (record, error) {
	back, err := s.next(ctx, r, s.now(), StateProven, func(e *sam.Enrolment, _ *Enrolment) {
		e.AcceptedBy, e.AcceptedAt, e.Consents, e.Evidence, e.Credential = "", time.Time{}, nil, nil, ""
	})
	if err != nil {
		return record{}, err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := back.put(tx, r, ""); err != nil {
			return err
		}
		tx.Append(audit.SigningClosed{Operation: o.ID, Outcome: audit.OutcomeAbandoned})
		return nil
	})
	return back, err
}

// resumeSigning records that another attempt to sign begins.
func (s *Service) resumeSigning(ctx context.Context, r record, n Renewal, o sam.Operation) (Renewal, error) {
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		if err := n.unchanged(tx, r); err != nil {
			return err
		}
		next := n
		next.Fence++
		tx.Append(audit.SigningResumed{Operation: o.ID, Fence: next.Fence})
		return tx.PutRenewal(next)
	})
	n.Fence++
	return n, err
}

// unchanged fails with ErrConflict when enrolment or renewal are no longer those that were read.
func (n Renewal) unchanged(tx Tx, r record) error {
	if _, err := r.unchanged(tx); err != nil {
		return err
	}
	stored, err := tx.Renewal(n.Enrolment)
	if err != nil {
		return err
	}
	if stored.Fence != n.Fence || !bytes.Equal(stored.Operation.Seal, n.Operation.Seal) {
		return ErrConflict
	}
	return nil
}

// embed checks a signature with the current certificate's key and returns the bytes that it appends to the agreement.
func (s *Service) embed(ctx context.Context, r record, h custody.Held, n Renewal, o sam.Operation, signature []byte) ([]byte, error) {
	leaf, err := x509.ParseCertificate(h.Row.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of %s: %w", h.Row.ID, err)
	}
	if err := algorithmOf(o.Algorithm).Verify(leaf.PublicKey, o.Digests[0], signature); err != nil {
		return nil, fmt.Errorf("the HSM's signature of the agreement of %s does not verify: %w", r.row.ID, err)
	}
	var prepared pades.Prepared
	if err := prepared.UnmarshalBinary(n.Prepared); err != nil {
		return nil, fmt.Errorf("reading the prepared signature: %w", err)
	}
	tail, err := prepared.Embed(signature)
	if err != nil {
		return nil, fmt.Errorf("signing the agreement: %w", err)
	}
	finished := append(bytes.Clone(r.row.Agreement), tail...)
	if err := prepared.Check(ctx, bytes.NewReader(finished), int64(len(finished))); err != nil {
		return nil, fmt.Errorf("checking the signed agreement: %w", err)
	}
	return tail, nil
}

// recordSignature stores the signed agreement, if credential and renewal are still those that were signed for; otherwise
// it records that a signature was thrown away.
func (s *Service) recordSignature(ctx context.Context, r record, h custody.Held, n Renewal, o sam.Operation, signature, tail []byte) (record, error) {
	now := s.now()
	signed, err := s.next(ctx, r, now, StateIssuing, func(e *sam.Enrolment, _ *Enrolment) {
		e.Signed, e.SignedAs = digest(append(bytes.Clone(r.row.Agreement), tail...)), o.ID
	})
	if err != nil {
		return record{}, err
	}
	withheld := false
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		withheld = false
		err := h.Unchanged(tx)
		if err == nil {
			err = n.unchanged(tx, r)
		}
		if errors.Is(err, ErrConflict) {
			withheld = true
			tx.Append(audit.SigningWithheld{Operation: o.ID, Fence: n.Fence, Reason: "credential or renewal changed"})
			return nil
		}
		if err != nil {
			return err
		}
		tx.Append(audit.SigningSigned{
			Operation: o.ID, Credential: string(h.Row.ID), BindingVersion: h.Binding.Version, DTBSR: o.Digests,
			Signatures: [][]byte{digest(signature)},
		})
		stored := n
		stored.Tail = tail
		if err := tx.PutRenewal(stored); err != nil {
			return err
		}
		return signed.put(tx, r, "")
	})
	if err != nil {
		return record{}, err
	}
	if withheld {
		return record{}, ErrConflict
	}
	s.Trust.Finish(o.ID, now.Add(renewalLife))
	return signed, nil
}

// signedAgreement returns the agreement as the service seals it: with the signature of the current credential, if it
// renews one, and the bytes that this signature appended.
func (s *Service) signedAgreement(ctx context.Context, r record) (document, tail []byte, err error) {
	if r.sealed.Renews == "" {
		return r.row.Agreement, nil, nil
	}
	var n Renewal
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.Renewal(r.row.ID)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the signature of the renewal: %w", err)
	}
	document = append(bytes.Clone(r.row.Agreement), n.Tail...)
	if !hmac.Equal(digest(document), r.sealed.Signed) {
		err := fmt.Errorf("%w: the signed agreement differs from the sealed record", sam.ErrSeal)
		return nil, nil, s.room.Integrity(ctx, "enrolment", r.row.ID, err)
	}
	return document, n.Tail, nil
}
