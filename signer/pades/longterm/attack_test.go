package longterm_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestTrustTimeByNobody: somebody signs with a key that was revoked, and adds a document time-stamp of an authority of his own
// with a time before that. Evidence for that time must not be taken on his word, and a good time-stamp over it changes nothing.
func TestTrustTimeByNobody(t *testing.T) {
	w := world()
	own := padestest.Must(tsptest.New(tsptest.Options{Name: "Nobody", Now: func() time.Time { return time.Now().Add(-time.Hour) }}))
	own.Misbehave(tsptest.Faults{OnlySigner: true}) // a time-stamp unit may be an anchor of its own, so no issuer is missed
	s, p := w.services()
	signed := named(t, padestest.Shape(t, "lf"), w.signatory(revtest.P256), "S")
	backdated := timeStamp(t, signed, cades.Services{Stamper: own, Now: time.Now})
	covered := timeStamp(t, backdated, s)
	for name, in := range map[string][]byte{"alone": backdated, "below a good one": covered} {
		for _, to := range []cades.Level{cades.LevelBLT, cades.LevelBLTA} {
			for _, partial := range []bool{false, true} {
				p.asked = nil
				a, err := augmentWith(in, to, s, longterm.AugmentOptions{Partial: partial})
				if !errors.Is(err, cades.ErrEvidence) || len(a.Tail) > 0 {
					t.Errorf("%s, %v, partial %v: %v with %d bytes", name, to, partial, err, len(a.Tail))
				}
				for _, who := range p.asked {
					if strings.HasPrefix(who, "Шевченко") && !strings.Contains(strings.Join(p.asked, " "), "Nobody") {
						t.Errorf("%s, %v: only the signer was asked about: %q", name, to, p.asked)
					}
				}
			}
		}
	}
}
