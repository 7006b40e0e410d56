package revinfo_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestTrustAnswersDatedBack: with the key of a responder that has ended, or that was revoked, somebody makes an answer that
// claims to be from before, and that speaks of now.
func TestTrustAnswersDatedBack(t *testing.T) {
	for _, c := range []struct {
		name     string
		template revtest.Template
		revoked  bool
		answer   revtest.OCSP
		text     string
	}{
		{
			"ended, about now",
			revtest.Template{Delegate: true, Change: func(c *x509.Certificate) { c.NotAfter = start.Add(-30 * day) }},
			false,
			revtest.OCSP{ProducedAt: -31 * day},
			"its certificate has ended",
		},
		{
			"ended, about then",
			revtest.Template{Delegate: true, Change: func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Hour) }},
			false,
			revtest.OCSP{ProducedAt: -2 * time.Hour, ThisUpdate: -2 * time.Hour},
			"its certificate has ended",
		},
		{"revoked", revtest.Template{Delegate: true, Check: true}, true, revtest.OCSP{ProducedAt: -2 * time.Hour, ThisUpdate: -2 * time.Hour}, "has no proof of its own"},
		{"made before what it says", revtest.Template{Delegate: true}, false, revtest.OCSP{ProducedAt: -time.Hour}, "before what it says begins"},
		{"made in the future", revtest.Template{Delegate: true}, false, revtest.OCSP{ProducedAt: time.Hour}, "the OCSP answer was made at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, revtest.Options{})
			leaf := issue(t, w.Issuing(), revtest.Template{Change: onlyOCSP})
			c.template.Name = "Responder"
			c.answer.Delegate = issue(t, w.Issuing(), c.template)
			if c.revoked {
				w.Issuing().Revoke(c.answer.Delegate.SerialNumber, start.Add(-time.Hour), 1)
			}
			w.Issuing().SetOCSP(c.answer)
			e, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start)
			if !errors.Is(err, revinfo.ErrNoEvidence) && !errors.Is(err, revinfo.ErrStale) || !strings.Contains(err.Error(), c.text) || !e.Empty() {
				t.Errorf("%v; want it refused with %q", err, c.text)
			}
		})
	}
}

// TestTrustRevokedElsewhere: the first address says that the certificate is revoked, the second one has an older word, still
// valid, that says nothing of it. Once seen, a revocation stands.
func TestTrustRevokedElsewhere(t *testing.T) {
	for _, lists := range []bool{true, false} {
		w := newWorld(t, revtest.Options{})
		ca := w.Issuing()
		mirror := strings.TrimSuffix(ca.OCSPURL(), "/ocsp") + "/old/ocsp"
		leaf := issue(t, ca, revtest.Template{Change: func(c *x509.Certificate) {
			c.OCSPServer, c.CRLDistributionPoints = nil, nil
			if lists {
				c.CRLDistributionPoints = []string{ca.CRLURL(), mirror}
			} else {
				c.OCSPServer = []string{ca.OCSPURL(), mirror}
			}
		}})
		old, err := ca.OCSP(request(t, leaf, ca))
		if lists {
			old, err = ca.CRL()
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Handle(mirror, revtest.Bytes(old))
		ca.Revoke(leaf.SerialNumber, start.Add(-time.Minute), 1)
		if e, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrRevoked) || !e.Empty() {
			t.Errorf("lists %v: %v", lists, err)
		}
	}
}
