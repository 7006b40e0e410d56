package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// Authorize takes the code of an operation and, when it is right, releases the signatures: steps 3 to 7.
//
// Once the operation is activated no code is looked at any more: a call by the same caller resumes an operation that
// a crash interrupted, waits for one that is being signed, and fetches one that is signed.
// However often and however concurrently it is called, each digest is released with one signature.
func (s *Service) Authorize(ctx context.Context, caller Caller, id OperationID, code string) (View, error) {
	read := func() (o Operation, err error) {
		err = s.Store.View(ctx, func(tx Tx) (err error) {
			o, err = own(tx, caller, id)
			return err
		})
		return o, err
	}
	for {
		o, err := read()
		if err != nil {
			return View{}, err
		}
		if wait, busy := s.inFlight(id); busy && o.State != StateSigned {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return View{}, ErrInProgress
			}
		}
		switch o.State {
		case StateSigned:
			return s.view(ctx, o)
		case StateClosed:
			return View{}, fmt.Errorf("%w: it is closed (%s)", ErrState, o.Outcome)
		}
		if !s.takeOff(id) {
			continue
		}
		if o.State == StateSigning { // by a crash, or by a caller who has come and gone since it was read
			now, err := read()
			if err == nil && now.Version != o.Version {
				s.land(id)
				continue
			}
			if err != nil {
				s.land(id)
				return View{}, err
			}
		}
		// A caller who hangs up does not stop a signature half way: what is activated is finished and can be fetched.
		again, err := s.release(context.WithoutCancel(ctx), caller, o, code)
		s.land(id)
		if err != nil {
			return View{}, err
		}
		if !again {
			return s.Get(ctx, caller, id)
		}
	}
}

// inFlight returns what to wait for when this process is signing the operation.
func (s *Service) inFlight(id OperationID) (<-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.flight[id]
	return c, ok
}

// takeOff reports whether the caller may now work on the operation alone in this process.
func (s *Service) takeOff(id OperationID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.flight[id]; busy {
		return false
	}
	s.flight[id] = make(chan struct{})
	return true
}

func (s *Service) land(id OperationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flight[id])
	delete(s.flight, id)
}

// release is the one critical sequence of this package: from the code to a recorded signature. It returns again = true
// when the operation moved on meanwhile and must be looked at anew. One page on purpose: the order of the steps is the
// safety argument.
func (s *Service) release(ctx context.Context, caller Caller, o Operation, code string) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	var a asked
	u, err := s.usable(ctx, caller, o.Credential, func(tx Tx) { a.challenge, a.err = tx.Challenge(o.Challenge) })
	if errors.Is(err, errMoved) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	sealed, err := s.Trust.OpenOperation(ctx, o.Sealed)
	if err == nil {
		err = matches(o, sealed)
	}
	if err != nil {
		return false, s.integrity(ctx, "operation", string(o.ID), err)
	}
	items, err := UnmarshalItems(o.Items)
	if err != nil {
		return false, s.integrity(ctx, "operation", string(o.ID), err)
	}

	// step 3: authorise. After the commit the code is spent; after a crash the same caller may resume until the activation ends.
	var ch credential.Sealed
	if o.State == StateRequested {
		ch, err = s.authorise(ctx, caller, &o, u, a, items, code)
	} else {
		ch, err = s.resume(ctx, &o, u, a, items)
	}
	if errors.Is(err, errMoved) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	failpoint(3)

	// step 4: sign. The signatures exist in memory only; a crash here loses what nobody has seen.
	signatures, err := s.Trust.Sign(ctx, evidenceOf(o, u, ch, items))
	if err = s.unlessReplaced(ctx, u.record, err); errors.Is(err, errMoved) {
		return false, s.overtaken(ctx, o)
	}
	if err != nil {
		return false, s.integrity(ctx, "activation", string(o.ID), err)
	}
	failpoint(4)

	// step 5: check. A module that signs wrongly is found before anything is recorded.
	results, err := assemble(u, algorithmOf(sealed.Algorithm), items, signatures)
	if err != nil {
		return false, err
	}
	failpoint(5)

	// step 6: record. Signature, evidence and signed tree head become durable together, or nothing does.
	withheld, err := s.record(ctx, o, u, items, signatures, results)
	if err != nil {
		return false, err
	}
	if withheld != "" {
		return false, fmt.Errorf("%w: %s", ErrWithheld, withheld)
	}
	s.Trust.Finish(string(o.ID), s.Now().Add(ActivationLife))
	if s.Levels != nil {
		s.Levels.Wake()
	}
	failpoint(6)

	// step 7: release. What leaves is read back from the store; asked again, the same bytes leave again.
	if err := s.recheck(ctx, caller, items, results); err != nil {
		return false, err
	}
	failpoint(7)
	return false, nil
}

// evidenceOf is what the trust core is shown before it uses the key.
func evidenceOf(o Operation, u usable, challenge credential.Sealed, items []Item) sam.Release {
	return sam.Release{
		Binding: u.record.Sealed, Operation: o.Sealed, Challenge: challenge, Activation: o.Activation,
		WrappedKey: u.record.WrappedKey, Digests: digests(items),
	}
}

// asked is the challenge of an operation as it was read, or what reading it met.
type asked struct {
	challenge otp.Challenge
	err       error
}

// challengeOf returns the challenge of an operation. Challenges are never deleted: an absent one is an alarm.
func (s *Service) challengeOf(ctx context.Context, o Operation, a asked) (otp.Challenge, error) {
	switch {
	case errors.Is(a.err, otp.ErrNotFound), errors.Is(a.err, ErrNotFound):
		return a.challenge, s.integrity(ctx, "challenge", string(o.Challenge), fmt.Errorf("%w: the challenge of operation %s is missing", sam.ErrSeal, o.ID))
	case a.err != nil:
		return a.challenge, fmt.Errorf("reading the challenge: %w", a.err)
	}
	return a.challenge, nil
}

// errMoved: the operation is no longer in the state that was read.
var errMoved = errors.New("signer: operation moved on")

// authorise derives the expected code, compares, and on a match seals the activation; all that before ONE transaction
// that counts the try and either records the refusal or spends the challenge and activates the operation.
func (s *Service) authorise(ctx context.Context, caller Caller, o *Operation, u usable, a asked, items []Item, code string) (credential.Sealed, error) {
	ch, err := s.challengeOf(ctx, *o, a)
	if err != nil {
		return credential.Sealed{}, err
	}
	sealed := credential.Sealed{Record: ch.Record, Seal: ch.Seal}
	opened, err := s.Trust.OpenChallenge(ctx, sealed)
	if err == nil && (opened.ID != string(ch.ID) || !bytes.Equal(opened.Subject, o.Sealed.Seal) || opened.Purpose != sam.PurposeSign ||
		!opened.Expires.Equal(ch.Expires) || !bytes.Equal(opened.Phone, u.binding.Phone)) {
		err = fmt.Errorf("%w: challenge differs from its operation", sam.ErrSeal)
	}
	if err != nil {
		return credential.Sealed{}, s.integrity(ctx, "challenge", string(o.Challenge), err)
	}
	match, err := s.Trust.Match(ctx, sealed, code)
	if err != nil {
		return credential.Sealed{}, err
	}
	now := s.Now().Truncate(time.Microsecond)
	var activation credential.Sealed
	if match {
		activation, err = s.Trust.Activate(ctx, o.Sealed, sealed, []string{credential.FactorSMSCode}, now.Add(ActivationLife))
		if err != nil {
			return credential.Sealed{}, s.integrity(ctx, "challenge", string(o.Challenge), err)
		}
	}
	var out otp.Outcome
	var stored Operation
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		out = otp.Outcome{}
		if stored, err = own(tx, caller, o.ID); err != nil {
			return err
		}
		if stored.State != StateRequested || stored.Challenge != ch.ID {
			return errMoved
		}
		if code == "" { // asks for what was authorised before; a caller that lost an answer must not use up the tries
			return &FieldError{"code", "the operation still waits for its code", ErrInput}
		}
		if err := unchanged(tx, caller, u, ch); err != nil {
			return err
		}
		if !now.Before(stored.Expires) {
			out = otp.Outcome{Result: otp.Expired}
		} else if out, err = s.Codes.Try(tx, s.Memory, ch.ID, match, now); err != nil {
			return err
		}
		if out.Result != otp.Accepted {
			refused(tx, ch, out)
			return nil
		}
		tx.Append(audit.CodeAccepted{
			Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller, Attempt: uint64(out.Attempt),
			Account: ch.Account,
		})
		tx.Append(activated(stored, u, items, activation))
		stored.State, stored.Activation = StateSigning, activation
		stored.Fence, stored.Lease = 1, now.Add(leaseTTL)
		return tx.PutOperation(stored)
	})
	if err != nil {
		return credential.Sealed{}, s.integrity(ctx, "challenge", string(ch.ID), err)
	}
	s.Memory.Note(ch.ID, out, ch.Expires, now)
	if out.Result != otp.Accepted {
		return credential.Sealed{}, &CodeError{Result: out.Result, TriesLeft: out.TriesLeft}
	}
	stored.Version++
	*o = stored
	return sealed, nil
}

// unchanged checks inside the transaction that what was verified before it is still what is stored: the challenge with
// its seal, the binding, and the grant.
func unchanged(tx Tx, caller Caller, u usable, ch otp.Challenge) error {
	c, err := tx.Challenge(ch.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(c.Seal, ch.Seal) || !bytes.Equal(c.Record, ch.Record) {
		return errMoved
	}
	return stillGranted(tx, caller, u)
}

// stillGranted checks the same of binding and grant.
func stillGranted(tx Tx, caller Caller, u usable) error {
	r, err := tx.Credential(u.binding.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Sealed.Seal, u.record.Sealed.Seal) {
		return errMoved
	}
	_, err = tx.Grant(u.binding.ID, caller.Name)
	if errors.Is(err, ErrNotFound) {
		return &FieldError{"credential", "the grant was withdrawn", ErrCredential}
	}
	return err
}

// refused turns a refusal into events.
func refused(tx Tx, ch otp.Challenge, out otp.Outcome) {
	tx.Append(audit.CodeRefused{
		Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller,
		Result: string(out.Result), Attempt: uint64(out.Attempt), Account: ch.Account,
		Failures: uint64(out.Failures), //nolint:gosec // a small count
	})
	if out.NowLocked {
		tx.Append(audit.CodeLocked{Credential: ch.Account, Caller: ch.Caller, Scope: out.Scope})
	}
}

func activated(o Operation, u usable, items []Item, activation credential.Sealed) audit.SigningActivated {
	a := sha256.Sum256(activation.Seal)
	return audit.SigningActivated{
		Operation: string(o.ID), Credential: string(o.Credential), Caller: o.Caller, BindingVersion: u.binding.Version,
		DTBSR: digests(items), Means: credential.FactorSMSCode, Challenge: string(o.Challenge), Activation: a[:],
	}
}

// resume takes over an operation that was activated and then interrupted: once the lease of the one before is over and
// while the activation lasts. The activation is checked before anything is recorded.
func (s *Service) resume(ctx context.Context, o *Operation, u usable, a asked, items []Item) (credential.Sealed, error) {
	ch, err := s.challengeOf(ctx, *o, a)
	if err != nil {
		return credential.Sealed{}, err
	}
	sealed := credential.Sealed{Record: ch.Record, Seal: ch.Seal}
	err = s.unlessReplaced(ctx, u.record, s.Trust.Verify(ctx, evidenceOf(*o, u, sealed, items)))
	if errors.Is(err, errMoved) {
		return credential.Sealed{}, err
	}
	if err != nil {
		return credential.Sealed{}, s.integrity(ctx, "activation", string(o.ID), err)
	}
	now := s.Now().Truncate(time.Microsecond)
	if now.Before(o.Lease) {
		return credential.Sealed{}, ErrInProgress
	}
	var stored Operation
	_, err = s.Store.Update(ctx, func(tx Tx) (err error) {
		if stored, err = tx.Operation(o.ID); err != nil {
			return err
		}
		if stored.State != StateSigning || stored.Fence != o.Fence || stored.Challenge != o.Challenge ||
			!bytes.Equal(stored.Activation.Seal, o.Activation.Seal) {
			return errMoved
		}
		r, err := tx.Credential(u.binding.ID)
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Sealed.Seal, u.record.Sealed.Seal) {
			return errMoved
		}
		stored.Fence++
		stored.Lease = now.Add(leaseTTL)
		tx.Append(audit.SigningResumed{Operation: string(o.ID), Fence: stored.Fence})
		return tx.PutOperation(stored)
	})
	if err != nil {
		return credential.Sealed{}, err
	}
	stored.Version++
	*o = stored
	return sealed, nil
}

// assemble makes the finished result of every item. Each signature is verified with the certificate's public key, by the
// algorithm that was authorised and over the digest of what leaves: of the signed attributes by cades.Assemble, which
// serves PAdES too, and of a hash here.
func assemble(u usable, algorithm cades.Algorithm, items []Item, signatures [][]byte) ([][]byte, error) {
	results := make([][]byte, len(items))
	for i, it := range items {
		var err error
		switch it.Format {
		case PAdESBB:
			var p pades.Prepared
			switch err = p.UnmarshalBinary(it.Prepared); {
			case err != nil:
			case p.Algorithm() != algorithm || !bytes.Equal(p.DTBSR(), it.DTBSR):
				err = fmt.Errorf("%w: prepared for another signature", ErrItems)
			default:
				results[i], err = p.Embed(signatures[i])
			}
		case CAdESBB, CAdESAttached, PAdESHash:
			results[i], err = cades.Assemble(cades.Parts{
				Algorithm: algorithm, SignedAttributes: it.Prepared, Signature: signatures[i], Chain: u.record.Chain, Parsed: u.chain,
			})
		case Raw:
			results[i], err = signatures[i], algorithm.Verify(u.leaf.PublicKey, it.DTBSR, signatures[i])
		default:
			err = fmt.Errorf("%w: unknown format", ErrItems)
		}
		if err != nil {
			return nil, fmt.Errorf("signer: the HSM's signature %d of credential %s is not right; nothing was released: %w", i, u.binding.ID, err)
		}
	}
	return results, nil
}

// credentialChanged is why no signatures are released of a credential that was replaced after the activation.
const credentialChanged = "credential changed"

// overtaken records that an activated operation came to no signatures, because its credential was replaced meanwhile.
func (s *Service) overtaken(ctx context.Context, o Operation) error {
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		tx.Append(audit.SigningWithheld{Operation: string(o.ID), Fence: o.Fence, Reason: credentialChanged})
		return nil
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrWithheld, credentialChanged)
}

// record stores the signatures with their evidence if this process still holds the fence and the credential is still
// the same; else it records that they were withheld, and why.
func (s *Service) record(ctx context.Context, o Operation, u usable, items []Item, signatures, results [][]byte) (withheld string, err error) {
	now := s.Now().Truncate(time.Microsecond)
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		withheld = ""
		stored, err := tx.Operation(o.ID)
		if err != nil {
			return err
		}
		r, err := tx.Credential(o.Credential)
		if err != nil {
			return err
		}
		switch {
		case stored.State != StateSigning || stored.Fence != o.Fence:
			withheld = "another process took over"
		case !bytes.Equal(r.Sealed.Seal, u.record.Sealed.Seal):
			withheld = credentialChanged
		}
		if withheld != "" {
			tx.Append(audit.SigningWithheld{Operation: string(o.ID), Fence: o.Fence, Reason: withheld})
			return nil
		}
		stored.State, stored.Signatures, stored.Results = StateSigned, signatures, results
		stored.LogIndex = tx.NextIndex()
		tx.Append(audit.SigningSigned{
			Operation: string(o.ID), Credential: string(o.Credential), BindingVersion: u.binding.Version,
			DTBSR: digests(items), Signatures: hashesOf(signatures),
		})
		if err := s.raise(tx, o.ID, items); err != nil {
			return err
		}
		if err := tx.PutOperation(stored); err != nil || !s.Notice {
			return err
		}
		tx.Append(audit.NoticeSent{Subject: string(o.ID), Kind: string(sms.KindSigned)})
		return tx.Enqueue(sms.Message{
			ID: "msg-" + string(o.ID), Kind: sms.KindSigned, Subject: string(o.ID), CreatedAt: now, NotBefore: now,
		})
	})
	if errors.Is(err, ErrOutcomeUnknown) {
		return "", fmt.Errorf("%w; fetch the operation to see", err)
	}
	return withheld, err
}

// raise queues the work on the levels that were asked for, in the same commit as the signatures.
func (s *Service) raise(tx Tx, id OperationID, items []Item) error {
	for i, it := range items {
		if it.Level <= cades.LevelBB {
			continue
		}
		needed := it.Document
		if it.Format != PAdESBB {
			needed = "" // the digest is enough
		}
		if err := tx.PutJob(s.Levels.NewJob(string(id), i, it.Format.kind(), needed, it.Level)); err != nil {
			return err
		}
	}
	return nil
}
