package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/sam"
)

// rehearsal is a whole authorisation over a key that is made for it and thrown away: real device, real seals, nobody's key.
type rehearsal struct {
	sam.Release
	binding   credential.Binding
	operation sam.Operation
	public    *ecdsa.PublicKey
}

func sum(b []byte) []byte {
	d := sha256.Sum256(b)
	return d[:]
}

// rehearse builds the rehearsal called name.
func (s *system) rehearse(ctx context.Context, name string, notAfter time.Time) (rehearsal, error) {
	wrapped, kek, public, err := s.device.GenerateKey(ctx, string(credential.ECDSAP256))
	if err != nil {
		return rehearsal{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return rehearsal{}, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return rehearsal{}, fmt.Errorf("the device made a %T", public)
	}
	r := rehearsal{public: key}
	s.rehearsals++
	id := credential.ID(fmt.Sprintf("doctor-%s-%d", name, s.rehearsals))
	r.binding = credential.Binding{
		ID: id, Signatory: "doctor", Algorithm: credential.ECDSAP256, SPKI: sum(der), Certificate: sum([]byte(name)),
		WrappedKey: sum(wrapped), KEK: kek, Phone: sum([]byte("phone")), Factors: []string{credential.FactorSMSCode},
		SCAL: credential.SCAL1, Status: credential.Active, Version: 1,
	}
	r.operation = sam.Operation{
		ID: string(id), Caller: "doctor", Credential: id, BindingVersion: 1, Algorithm: credential.ECDSASHA256,
		Digests: [][]byte{sum([]byte("one")), sum([]byte("two"))}, Title: "examination", CallerName: "doctor", Language: "en",
		Documents: [][]byte{sum([]byte("one")), sum([]byte("two"))}, Details: sum(nil), Expires: s.now.Add(time.Minute),
	}
	r.WrappedKey, r.Digests = wrapped, r.operation.Digests
	if r.Binding, err = s.trust.SealBinding(ctx, r.binding); err != nil {
		return rehearsal{}, err
	}
	return r, s.authorise(ctx, &r, notAfter)
}

// authorise seals operation and challenge, answers the challenge with its code, and seals the activation.
func (s *system) authorise(ctx context.Context, r *rehearsal, notAfter time.Time) (err error) {
	if r.Operation, err = s.trust.SealOperation(ctx, r.operation); err != nil {
		return err
	}
	if r.Challenge, err = s.challenge(ctx, r.Operation.Seal, "nonce"); err != nil {
		return err
	}
	code, err := s.trust.Code(ctx, r.Challenge)
	if err != nil {
		return err
	}
	if right, err := s.trust.Match(ctx, r.Challenge, code); err != nil || !right {
		return errors.Join(err, errors.New("the code of a challenge does not match it"))
	}
	r.Activation, err = s.trust.Activate(ctx, r.Operation, r.Challenge, []string{credential.FactorSMSCode}, notAfter)
	return err
}

func (s *system) challenge(ctx context.Context, subject []byte, nonce string) (credential.Sealed, error) {
	return s.trust.SealChallenge(ctx, sam.Challenge{
		ID: "doctor", Purpose: sam.PurposeSign, Subject: subject, Nonce: []byte(nonce), Phone: sum([]byte("phone")), Expires: s.now.Add(time.Minute),
	})
}

// flipped returns a copy with one bit changed.
func flipped(b []byte) []byte {
	c := append([]byte(nil), b...)
	if len(c) > 0 {
		c[len(c)/2] ^= 1
	}
	return c
}

// changed are releases that differ in one element each from one that is authorised.
func (s *system) changed(ctx context.Context) (good rehearsal, bad map[string]sam.Release, err error) {
	if good, err = s.rehearse(ctx, "good", s.now.Add(time.Minute)); err != nil {
		return good, nil, err
	}
	other, err := s.rehearse(ctx, "other", s.now.Add(time.Minute))
	if err != nil {
		return good, nil, err
	}
	next := good.binding
	next.Version, next.Status = 2, credential.Revoked
	revoked, err := s.trust.SealBinding(ctx, next)
	if err != nil {
		return good, nil, err
	}
	retitled := good
	retitled.operation.Title = "something else"
	if err := s.authorise(ctx, &retitled, s.now.Add(time.Minute)); err != nil {
		return good, nil, err
	}
	bad = map[string]sam.Release{}
	for name, change := range map[string]func(r *sam.Release){
		"one digest of two":                func(r *sam.Release) { r.Digests = r.Digests[:1] },
		"another digest":                   func(r *sam.Release) { r.Digests = [][]byte{r.Digests[0], sum([]byte("three"))} },
		"the digests in another order":     func(r *sam.Release) { r.Digests = [][]byte{r.Digests[1], r.Digests[0]} },
		"another signatory's key":          func(r *sam.Release) { r.WrappedKey = other.WrappedKey },
		"another signatory's binding":      func(r *sam.Release) { r.Binding = other.Binding },
		"a revoked binding":                func(r *sam.Release) { r.Binding = revoked },
		"another operation":                func(r *sam.Release) { r.Operation = other.Operation },
		"another title":                    func(r *sam.Release) { r.Operation = retitled.Operation },
		"the code of another operation":    func(r *sam.Release) { r.Challenge = other.Challenge },
		"the activation of another":        func(r *sam.Release) { r.Activation = other.Activation },
		"no activation":                    func(r *sam.Release) { r.Activation = credential.Sealed{} },
		"a changed bit in the activation":  func(r *sam.Release) { r.Activation.Record = flipped(r.Activation.Record) },
		"a changed bit in the operation":   func(r *sam.Release) { r.Operation.Record = flipped(r.Operation.Record) },
		"a changed bit in the binding":     func(r *sam.Release) { r.Binding.Record = flipped(r.Binding.Record) },
		"a changed bit in the challenge":   func(r *sam.Release) { r.Challenge.Record = flipped(r.Challenge.Record) },
		"a changed bit in a seal":          func(r *sam.Release) { r.Activation.Seal = flipped(r.Activation.Seal) },
		"a changed bit in the wrapped key": func(r *sam.Release) { r.WrappedKey = flipped(r.WrappedKey) },
	} {
		r := good.Release
		change(&r)
		bad[name] = r
	}
	return good, bad, nil
}

// bound is row 12: an activation fits one signatory, one key and exactly these data.
func bound(ctx context.Context, s *system) finding {
	good, bad, err := s.changed(ctx)
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	if err := s.trust.Verify(ctx, good.Release); err != nil {
		return fail("a right authorisation is refused: %v", err)
	}
	for _, name := range sorted(bad) {
		if err := s.trust.Verify(ctx, bad[name]); err == nil {
			return fail("an authorisation with %s is accepted", name)
		}
	}
	return pass("rehearsed with a key made for it: accepted as authorised, refused with each of %d changes", len(bad))
}

// checkedFirst is row 13: without an activation no key is touched.
func checkedFirst(ctx context.Context, s *system) finding {
	_, bad, err := s.changed(ctx)
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	before := s.calls.signs
	for _, name := range sorted(bad) {
		if _, err := s.trust.Sign(ctx, bad[name]); err == nil {
			return fail("the trust core signs with %s", name)
		}
	}
	if n := s.calls.signs - before; n != 0 {
		return fail("the device was asked %d times before the activation was checked", n)
	}
	return pass("%d wrong activations were given to the trust core itself: all refused, the device was not asked once", len(bad))
}

// onlyThese is row 14: n digests, n signatures, once.
func onlyThese(ctx context.Context, s *system) finding {
	r, err := s.rehearse(ctx, "once", s.now.Add(time.Minute))
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	before := s.calls.signs
	signatures, err := s.trust.Sign(ctx, r.Release)
	if err != nil || len(signatures) != len(r.Digests) || s.calls.signs != before+1 {
		return fail("%d signatures for %d digests: %v", len(signatures), len(r.Digests), err)
	}
	for i, sig := range signatures {
		if !ecdsa.VerifyASN1(r.public, r.Digests[i], sig) {
			return fail("signature %d is not over its digest", i)
		}
	}
	if s.published.err != nil {
		return fail("the published log does not show it: %v", s.published.err)
	}
	return pass("rehearsed: 2 digests, 2 signatures; in the log, of %d entries, no operation has more signatures than authorised digests or two results. Under concurrency: TestOneSignatureForManyCallers", s.published.report.Entries)
}

// onceOnly is row 15: nothing is replayed.
func onceOnly(ctx context.Context, s *system) finding {
	r, err := s.rehearse(ctx, "replay", s.now.Add(time.Minute))
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	s.trust.Finish(r.operation.ID, s.now.Add(time.Minute))
	before := s.calls.signs
	if _, err := s.trust.Sign(ctx, r.Release); err == nil || s.calls.signs != before {
		return fail("an operation whose signatures are recorded is signed again")
	}
	if s.published.err != nil {
		return fail("the published log does not show that no code was used twice: %v", s.published.err)
	}
	return pass("rehearsed: what is recorded as signed is refused; in the log no code was answered after it was spent. After kills and restarts: TestTrustPastPutBack; there is one node")
}

// shortLived is row 17.
func shortLived(ctx context.Context, s *system) finding {
	r, err := s.rehearse(ctx, "late", s.now.Add(-time.Second))
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	if err := s.trust.Verify(ctx, r.Release); !errors.Is(err, sam.ErrExpired) {
		return fail("an activation that has ended is accepted or refused for another reason: %v", err)
	}
	if s.cfg.Codes.Life > 10*time.Minute {
		return fail("codes live %v", s.cfg.Codes.Life)
	}
	return pass("rehearsed: refused a second after its end; activations last %v, codes %v, by the server's clock", activationLife, s.cfg.Codes.Life)
}

// codes is row 19.
func codes(ctx context.Context, s *system) finding {
	operation := sum([]byte("operation"))
	seen := map[string]bool{}
	const drawn = 200
	for i := range drawn {
		ch, err := s.challenge(ctx, operation, fmt.Sprint(i))
		if err != nil {
			return fail("a challenge could not be made: %v", err)
		}
		code, err := s.trust.Code(ctx, ch)
		if err != nil || len(code) != s.cfg.Codes.Digits {
			return fail("a code of %d digits, %d are configured: %v", len(code), s.cfg.Codes.Digits, err)
		}
		seen[code] = true
	}
	if len(seen) < drawn*9/10 {
		return fail("%d challenges have only %d different codes", drawn, len(seen))
	}
	r, err := s.rehearse(ctx, "code", s.now.Add(time.Minute))
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	foreign, err := s.challenge(ctx, operation, "foreign")
	if err != nil {
		return fail("a challenge could not be made: %v", err)
	}
	if _, err := s.trust.Activate(ctx, r.Operation, foreign, []string{credential.FactorSMSCode}, s.now.Add(time.Minute)); err == nil {
		return fail("the code of one operation activates another")
	}
	last := ""
	for _, c := range s.challenges {
		if c.Subject == last {
			return fail("two codes for %s can be used", c.Subject)
		}
		last = c.Subject
		if len(c.Seal) == 0 {
			return fail("challenge %s has no seal", c.ID)
		}
	}
	return pass("derived from a 256-bit key that the device derives, never stored; %d challenges gave %d different codes; a code fits one operation; %d codes can be used now, at most one for each subject", drawn, len(seen), len(s.challenges))
}

// wrapping is row 2.
func wrapping(ctx context.Context, s *system) finding {
	if f := keysOf(ctx, s, true); f.outcome == Fail {
		return f
	}
	wrapped, kek, _, err := s.device.GenerateKey(ctx, string(credential.ECDSAP256))
	if err != nil {
		return fail("the device makes no wrapped key: %v", err)
	}
	digests := [][]byte{sum([]byte("wrapping"))}
	if _, err := s.device.SignWrapped(ctx, kek, wrapped, string(credential.ECDSASHA256), digests); err != nil {
		return fail("the device does not use the key that it wrapped: %v", err)
	}
	for i := 0; i < len(wrapped); i += 8 {
		bad := append([]byte(nil), wrapped...)
		bad[i] ^= 1
		if _, err := s.device.SignWrapped(ctx, kek, bad, string(credential.ECDSASHA256), digests); !errors.Is(err, hsm.ErrWrappedKey) {
			return fail("a wrapped key with a changed bit is not refused as such: %v", err)
		}
	}
	return pass("wrapped under %s, which cannot be extracted; a key made for it was refused with any of %d changed bits", kek, len(wrapped)/8)
}

// algorithms is row 3.
func algorithms(ctx context.Context, s *system) finding {
	refused := []string{"", "rsa-1024", "rsa-2048", "ecdsa-p192", "ecdsa-secp256k1", "dsa-2048", "ed448"}
	for _, name := range refused {
		if _, _, _, err := s.device.GenerateKey(ctx, name); !errors.Is(err, hsm.ErrAlgorithm) {
			return fail("a key of algorithm %q is not refused as such: %v", name, err)
		}
	}
	wrapped, kek, _, err := s.device.GenerateKey(ctx, string(credential.ECDSAP256))
	if err != nil {
		return fail("the device makes no key: %v", err)
	}
	if _, err := s.device.SignWrapped(ctx, kek, wrapped, string(credential.ECDSASHA256), [][]byte{make([]byte, 20)}); !errors.Is(err, hsm.ErrDigest) {
		return fail("a digest of 20 bytes, as SHA-1 makes, is not refused as such: %v", err)
	}
	for _, c := range s.credentials {
		b, err := s.trust.OpenBinding(ctx, c.Sealed)
		if err == nil && len(b.Algorithm.Schemes()) == 0 {
			return fail("credential %s has a key of algorithm %q", c.ID, b.Algorithm)
		}
	}
	return pass("%d other algorithms and a SHA-1 digest were asked of the device and refused; all %d credentials have allowed keys", len(refused), len(s.credentials))
}
