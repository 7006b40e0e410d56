package cades_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// proves is a Prover that gives nothing.
type proves struct{}

func (proves) Collect(context.Context, []byte, [][]byte, time.Time) (revinfo.Evidence, error) {
	return revinfo.Evidence{}, nil
}

// TestTrustArchiveOfNothing: an archive time-stamp that was made before the evidence does not keep that, so it is not B-LTA.
func TestTrustArchiveOfNothing(t *testing.T) {
	id, content := p256(), []byte("content")
	p := &prover{ids: []identity{id}, tsas: []*tsptest.TSA{authority()}}
	data := assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	early, err := cades.Augment(t.Context(), data, detached(content), cades.LevelBLTA, cades.Services{Stamper: authority(), Prover: proves{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	late, err := cades.Augment(t.Context(), early, detached(content), cades.LevelBLT, services(authority(), p))
	if err != nil {
		t.Fatal(err)
	}
	r := must(cades.Inspect(late, detached(content)))[0]
	if r.Level != cades.LevelBLT || !errors.Is(r.Missing, cades.ErrEvidence) || len(r.ArchiveTimeStamps) != 1 || r.ArchiveTimeStamps[0].Invalid != nil {
		t.Errorf("level %v, missing: %v", r.Level, r.Missing)
	}
	whole, err := cades.Augment(t.Context(), late, detached(content), cades.LevelBLTA, services(authority(), p))
	if err != nil {
		t.Fatal(err)
	}
	if r := must(cades.Inspect(whole, detached(content)))[0]; r.Level != cades.LevelBLTA {
		t.Errorf("renewed: level %v, missing: %v", r.Level, r.Missing)
	}
}
