package ca

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRevokeIsFinal(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	c := h.issue(t, tx, h.issuing, personRequest(t, "r1"))
	at := start().Add(time.Hour)
	cases := []struct {
		name   string
		ca     *Authority
		serial string
		reason Reason
		at     time.Time
		want   error
	}{
		{"unknown serial", h.issuing, "00", KeyCompromise, at, ErrNotFound},
		{"another CA", h.root, c.Serial, KeyCompromise, at, ErrNotFound},
		{"suspension", h.issuing, c.Serial, 6, at, ErrReason},
		{"removal", h.issuing, c.Serial, 8, at, ErrReason},
		{"CA reason for a person", h.issuing, c.Serial, CACompromise, at, ErrReason},
		{"before it began", h.issuing, c.Serial, KeyCompromise, start().Add(-time.Hour), ErrValidity},
		{"good", h.issuing, c.Serial, KeyCompromise, at, nil},
		{"again", h.issuing, c.Serial, KeyCompromise, at.Add(time.Hour), nil},
		{"for another reason", h.issuing, c.Serial, Superseded, at, ErrAlreadyRevoked},
	}
	for _, one := range cases {
		if err := one.ca.Revoke(tx, one.serial, one.reason, one.at); !errors.Is(err, one.want) {
			t.Errorf("%s: got %v, want %v", one.name, err, one.want)
		}
	}
	got, err := tx.Certificate(c.Serial)
	must(t, err)
	if got.State != Revoked || got.Reason != KeyCompromise || !got.RevokedAt.Equal(second(at)) || !bytes.Equal(got.DER, c.DER) {
		t.Errorf("record: %s, reason %d, at %s", got.State, got.Reason, got.RevokedAt)
	}
	if err := h.issuing.Record(tx, c.Serial, c.DER); !errors.Is(err, ErrAlreadyRevoked) {
		t.Errorf("a revoked certificate was recorded as issued: %v", err)
	}
	if _, err := h.issuing.Sign(t.Context(), got); !errors.Is(err, ErrNotIntended) {
		t.Errorf("a revoked certificate was signed: %v", err)
	}
}

func TestRevokedIntentIsOnTheList(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	intent, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	must(t, h.issuing.Intend(tx, intent))
	serial := intent.Certificate().Serial
	must(t, h.issuing.Revoke(tx, serial, CessationOfOperation, start()))
	list := h.list(t, tx, nil, start().Add(time.Minute))
	if n := len(list.RevokedCertificateEntries); n != 1 {
		t.Fatalf("%d entries", n)
	}
	e := list.RevokedCertificateEntries[0]
	if hex.EncodeToString(e.SerialNumber.Bytes()) != serial || e.ReasonCode != 5 {
		t.Errorf("entry %x, reason %d", e.SerialNumber, e.ReasonCode)
	}
	// Whatever a signing that was under way brings back is not taken any more.
	der, err := h.issuing.Sign(t.Context(), intent.Certificate())
	must(t, err)
	if err := h.issuing.Record(tx, serial, der); !errors.Is(err, ErrAlreadyRevoked) {
		t.Errorf("got %v", err)
	}
}

// list makes the issuing CA's list from what the store holds.
func (h *house) list(t testing.TB, tx Tx, previous []byte, now time.Time) *x509.RevocationList {
	t.Helper()
	revoked, err := tx.RevokedCertificates()
	must(t, err)
	der, err := h.issuing.CRL(t.Context(), previous, revoked, now)
	must(t, err)
	list, err := x509.ParseRevocationList(der)
	must(t, err)
	return list
}

func TestCRL(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	now := start().Add(time.Hour)
	first := h.list(t, tx, nil, now)
	if len(first.RevokedCertificateEntries) != 0 {
		t.Errorf("%d entries in the first list", len(first.RevokedCertificateEntries))
	}
	if first.Number.Cmp(big.NewInt(now.UnixNano())) != 0 || !first.ThisUpdate.Equal(second(now)) ||
		first.NextUpdate.Sub(first.ThisUpdate) != h.cfg.CRLLifetime {
		t.Errorf("number %s, from %s to %s", first.Number, first.ThisUpdate, first.NextUpdate)
	}
	must(t, first.CheckSignatureFrom(h.issuing.Certificate()))
	if !bytes.Equal(first.AuthorityKeyId, h.issuing.Certificate().SubjectKeyId) {
		t.Error("authority key identifier is not the CA's")
	}
	expired := ""
	for _, e := range first.Extensions {
		if e.Id.String() == "2.5.29.60" && !e.Critical {
			expired = hex.EncodeToString(e.Value)
		}
	}
	if want := "180f" + hex.EncodeToString([]byte("20261101083015Z")); expired != want {
		t.Errorf("expiredCertsOnCRL %s, want %s", expired, want)
	}

	a := h.issue(t, tx, h.issuing, personRequest(t, "r1"))
	b := h.issue(t, tx, h.issuing, personRequest(t, "r2"))
	must(t, h.issuing.Revoke(tx, a.Serial, Unspecified, now.Add(time.Second)))
	now = now.Add(time.Minute)
	second := h.list(t, tx, first.Raw, now)
	must(t, h.issuing.Revoke(tx, b.Serial, KeyCompromise, now.Add(time.Millisecond)))
	// In the same second: thisUpdate is equal, the number still rises.
	third := h.list(t, tx, second.Raw, now.Add(2*time.Millisecond))
	if third.Number.Cmp(second.Number) <= 0 || !third.ThisUpdate.Equal(second.ThisUpdate) || len(third.RevokedCertificateEntries) != 2 {
		t.Errorf("third list: number %s after %s, %d entries", third.Number, second.Number, len(third.RevokedCertificateEntries))
	}
	if e := third.RevokedCertificateEntries[0]; len(e.Extensions) != 0 || hex.EncodeToString(e.SerialNumber.Bytes()) != a.Serial {
		t.Errorf("reason unspecified is written out, or the order is not that of revocation")
	}
	// Of the same moment, as after a small step of the clock back: it is numbered on.
	if again := h.list(t, tx, third.Raw, now.Add(2*time.Millisecond)); again.Number.Cmp(third.Number) <= 0 {
		t.Errorf("list %s after %s", again.Number, third.Number)
	}
	// Expired certificates stay, long after their end.
	late := h.list(t, tx, third.Raw, start().AddDate(5, 0, 0))
	if len(late.RevokedCertificateEntries) != 2 {
		t.Error("an expired certificate left the list")
	}
	// Other CAs' certificates do not enter.
	foreign, err := h.root.CRL(t.Context(), nil, []Certificate{a, b}, now)
	must(t, err)
	list, err := x509.ParseRevocationList(foreign)
	must(t, err)
	if len(list.RevokedCertificateEntries) != 0 || list.NextUpdate.Sub(list.ThisUpdate) != h.cfg.CARLLifetime {
		t.Errorf("the root's list: %d entries, %s", len(list.RevokedCertificateEntries), list.NextUpdate)
	}
}

func TestCRLRefuses(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	c := h.issue(t, tx, h.issuing, personRequest(t, "r1"))
	now := start().Add(time.Hour)
	must(t, h.issuing.Revoke(tx, c.Serial, KeyCompromise, now))
	last := h.list(t, tx, nil, now).Raw
	foreign, err := h.root.CRL(t.Context(), nil, nil, now)
	must(t, err)
	revoked, err := tx.RevokedCertificates()
	must(t, err)
	changed := func(change func(*Certificate)) []Certificate {
		one := revoked[0]
		change(&one)
		return []Certificate{one}
	}
	later := now.Add(time.Minute)
	cases := map[string]struct {
		previous []byte
		revoked  []Certificate
		now      time.Time
		want     error
	}{
		"clock went back":   {last, revoked, now.Add(-time.Minute), ErrListOrder},
		"entry vanished":    {last, nil, later, ErrListOrder},
		"entry set back":    {last, changed(func(c *Certificate) { c.State = Issued }), later, ErrListOrder},
		"reason changed":    {last, changed(func(c *Certificate) { c.Reason = Superseded }), later, ErrListOrder},
		"time changed":      {last, changed(func(c *Certificate) { c.RevokedAt = later }), later, ErrListOrder},
		"reason not ours":   {nil, changed(func(c *Certificate) { c.Reason = 6 }), later, ErrLint},
		"twice":             {nil, append(changed(func(*Certificate) {}), revoked...), later, ErrLint},
		"in the future":     {nil, changed(func(c *Certificate) { c.RevokedAt = later.Add(time.Hour) }), later, ErrLint},
		"serial damaged":    {nil, changed(func(c *Certificate) { c.Serial = "zz" }), later, ErrNotFound},
		"previous is alien": {foreign, revoked, later, ErrListOrder},
		"previous damaged":  {last[:50], revoked, later, ErrListOrder},
		"CA has ended":      {nil, revoked, start().AddDate(11, 0, 0), ErrValidity},
		"CA not begun":      {nil, revoked, start().Add(-time.Hour), ErrValidity},
	}
	h.issuingKey.calls = 0
	for name, one := range cases {
		if _, err := h.issuing.CRL(t.Context(), one.previous, one.revoked, one.now); !errors.Is(err, one.want) {
			t.Errorf("%s: got %v, want %v", name, err, one.want)
		}
	}
	if h.issuingKey.calls != 0 {
		t.Errorf("%d refused lists were signed", h.issuingKey.calls)
	}
	h.issuingKey.spoil = true
	if _, err := h.issuing.CRL(t.Context(), last, revoked, later); !errors.Is(err, ErrLint) {
		t.Errorf("wrong signature: %v", err)
	}
	h.issuingKey.fail = errors.New("device lost")
	if _, err := h.issuing.CRL(context.Background(), last, revoked, later); !errors.Is(err, ErrSigning) {
		t.Errorf("failing device: %v", err)
	}
}

// Whatever happens to certificates, in whatever order: lists follow each other, and what is revoked stays so.
func TestLifeCycleProperty(t *testing.T) {
	h := build(t, testConfig())
	key := newKey(t, elliptic.P256()).Public()
	var intents []*Intent
	for i := range 4 {
		intent, err := h.issuing.Prepare(Request{
			ID: string(rune('a' + i)), Person: "p", Profile: ServiceSeal, PublicKey: key, NotBefore: start(), Years: 1,
		})
		must(t, err)
		intents = append(intents, intent)
	}
	rapid.Check(t, func(r *rapid.T) {
		tx, now, published := newTx(), start(), []byte(nil)
		revoked := map[string]Reason{}
		var serials []string
		steps := rapid.IntRange(1, 8).Draw(r, "steps")
		for range steps {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(r, "pause")))
			switch rapid.IntRange(0, 2).Draw(r, "step") {
			case 0:
				if len(serials) == len(intents) {
					continue
				}
				next := intents[len(serials)]
				must(t, h.issuing.Intend(tx, next))
				serials = append(serials, next.Certificate().Serial)
			case 1:
				if len(serials) == 0 {
					continue
				}
				serial := rapid.SampledFrom(serials).Draw(r, "serial")
				reason := rapid.SampledFrom([]Reason{Unspecified, KeyCompromise, Superseded}).Draw(r, "reason")
				err := h.issuing.Revoke(tx, serial, reason, now)
				before, was := revoked[serial]
				if want := was && before != reason; want != errors.Is(err, ErrAlreadyRevoked) || !want && err != nil {
					r.Fatalf("revoke %s for %d after %d: %v", serial, reason, before, err)
				}
				if !was {
					revoked[serial] = reason
				}
			default:
				list := h.list(t, tx, published, now)
				published = list.Raw
				if len(list.RevokedCertificateEntries) != len(revoked) {
					r.Fatalf("%d entries, %d revoked", len(list.RevokedCertificateEntries), len(revoked))
				}
				for _, e := range list.RevokedCertificateEntries {
					if reason, ok := revoked[hex.EncodeToString(e.SerialNumber.Bytes())]; !ok || int(reason) != e.ReasonCode {
						r.Fatalf("entry %x with reason %d", e.SerialNumber, e.ReasonCode)
					}
				}
			}
		}
	})
}
