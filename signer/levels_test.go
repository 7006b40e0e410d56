package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// augmenting is the store as the use case of raising sees it.
type augmenting struct{ *fakeStore }

func (a augmenting) Update(ctx context.Context, f func(augment.Tx) error) (audit.Commit, error) {
	return a.fakeStore.Update(ctx, func(tx signer.Tx) error { return f(tx.(augment.Tx)) })
}

func (a augmenting) View(ctx context.Context, f func(augment.Tx) error) error {
	return a.fakeStore.View(ctx, func(tx signer.Tx) error { return f(tx.(augment.Tx)) })
}

// source leads to the service of the world, which comes later.
type source struct{ w *raising }

func (s source) Signature(ctx context.Context, op string, item int) (augment.Signature, error) {
	return s.w.s.Signature(ctx, op, item)
}

func (s source) Document(ctx context.Context, caller, id string) (augment.SpoolReader, []byte, error) {
	return s.w.s.Document(ctx, caller, id)
}

// raising is a world with a time-stamping authority and revocation data behind HTTP.
type raising struct {
	*world
	tsa *tsptest.TSA
	pki *revtest.PKI
	aug *augment.Service

	mu      sync.Mutex
	reasons []string
}

func newRaising(t *testing.T) *raising {
	t.Helper()
	w := &raising{world: newWorld(t)}
	listener := httptest.NewUnstartedServer(nil)
	address := "http://" + listener.Listener.Addr().String()
	var err error
	w.tsa, err = tsptest.New(tsptest.Options{URL: address, Now: w.clock})
	w.must(err)
	listener.Config.Handler = w.tsa.Handler()
	listener.Start()
	t.Cleanup(func() { listener.CloseClientConnections(); listener.Close() })
	lists := httptest.NewUnstartedServer(nil)
	w.pki, err = revtest.New(revtest.Options{URL: "http://" + lists.Listener.Addr().String(), Now: w.clock})
	w.must(err)
	lists.Config.Handler = w.pki
	lists.Start()
	t.Cleanup(lists.Close)
	w.reissue()
	w.wire()
	return w
}

// reissue gives the credential a certificate of the authority whose lists can be had.
func (w *raising) reissue() {
	w.t.Helper()
	r := w.store.state.credentials[cred]
	leaf, err := w.pki.Issuing().Issue(revtest.Template{Name: "Olena Kovalchuk", Key: w.device.keys[string(r.WrappedKey)]})
	w.must(err)
	r.Chain = [][]byte{leaf.Raw, w.pki.Issuing().Raw, w.pki.CA(0).Raw}
	b, err := w.trust.OpenBinding(ctx, r.Sealed)
	w.must(err)
	h := sha256.Sum256(leaf.Raw)
	b.Certificate = h[:]
	r.Sealed, err = w.trust.SealBinding(ctx, b)
	w.must(err)
	w.store.state.credentials[cred] = r
}

// wire makes both services anew, as a new process does.
func (w *raising) wire() {
	w.t.Helper()
	var ports []uint16
	for _, u := range []string{w.tsa.URL(), w.pki.Issuing().CRLURL()} {
		p, err := url.Parse(u)
		w.must(err)
		n, err := strconv.ParseUint(p.Port(), 10, 16)
		w.must(err)
		ports = append(ports, uint16(n))
	}
	stamper, err := tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: "test", URL: w.tsa.URL(), Roots: w.tsa.Roots()}}, HTTP: http.DefaultClient,
		Timeout: 300 * time.Millisecond, Rest: time.Nanosecond, Now: w.clock, Random: rand.Reader,
	})
	w.must(err)
	anchors := append([]*x509.Certificate{w.pki.CA(0).Certificate.Certificate}, w.tsa.CACertificates()[1])
	prover, err := revinfo.New(revinfo.Config{
		Anchors: anchors, Now: w.clock, Keep: time.Nanosecond,
		Network: revinfo.Network{AnyHost: true, Ports: ports, Inside: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	w.must(err)
	w.t.Cleanup(prover.Close)
	w.aug, err = augment.New(augment.Config{
		Store: augmenting{w.store}, Source: source{w}, Spool: w.spool, Stamper: stamper, Prover: prover, Now: w.clock,
		Rand: rand.Reader, Life: 24 * time.Hour, Failed: func(_ string, _ int, reason augment.Reason, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reasons = append(w.reasons, fmt.Sprintf("%s: %v", reason, err))
		},
	})
	w.must(err)
	w.levels = w.aug
	w.restart(1)
}

// settle runs the worker until nothing is due any more, letting time pass for what waits.
func (w *raising) settle(passes int) {
	w.t.Helper()
	for range passes {
		w.work()
		w.pass(10 * time.Minute)
	}
	w.work()
}

// work runs the worker until nothing is due at the present time.
func (w *raising) work() {
	w.t.Helper()
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.aug.Run(run) }()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var due []augment.Job
		w.must(augmenting{w.store}.View(ctx, func(tx augment.Tx) (err error) {
			due, err = tx.DueJobs(w.clock(), 99)
			return err
		}))
		if len(due) == 0 {
			break
		}
		if time.Now().After(end) {
			w.t.Fatalf("still due: %+v", due)
		}
	}
	stop()
	<-done
}

// sign uploads a PDF and signs it and a hash to a level; every call of the device is counted.
func (w *raising) sign(level cades.Level, formats ...signer.Format) signer.View {
	w.t.Helper()
	request := signer.CreateRequest{Credential: cred, Title: "Договір", Language: "uk"}
	for _, f := range formats {
		it := signer.ItemRequest{Format: f, Level: level}
		switch f {
		case signer.PAdESBB, signer.CAdESAttached:
			d, err := w.s.Upload(ctx, docs, fmt.Sprint("upload-", len(w.store.state.requests)), "a.pdf", bytes.NewReader(pdftest.Signable()[0].Data))
			w.must(err)
			it.Document = d.ID
		default:
			sum := sha256.Sum256([]byte("content"))
			it.Hash = sum[:]
		}
		request.Items = append(request.Items, it)
	}
	v, err := w.s.Create(ctx, docs, fmt.Sprint("create-", len(w.store.state.requests)), request)
	w.must(err)
	v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	if n := w.device.count(); n != len(formats) {
		w.t.Fatalf("%d signatures of the device for %d items", n, len(formats))
	}
	return v
}

// artefact reads one in full.
func (w *raising) artefact(v signer.View, item int, full bool, level cades.Level) []byte {
	w.t.Helper()
	a, err := w.s.Artifact(ctx, docs, v.ID, item, full, level)
	w.must(err)
	b, err := io.ReadAll(io.NewSectionReader(a, 0, a.Size))
	w.must(err)
	w.must(a.Close())
	return b
}

// Every level of every format becomes an artefact of its own, the first one keeps its bytes, and the key signs once.
func TestLevels(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBLTA, signer.PAdESBB, signer.CAdESBB, signer.CAdESAttached)
	if v.State != signer.StateSigned || v.Settled() {
		t.Fatalf("signed at once, with levels to come: %+v", v)
	}
	first := [][]byte{w.artefact(v, 0, true, cades.LevelBB), w.artefact(v, 1, true, cades.LevelBB)}
	w.settle(0)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if !got.Settled() || got.Version <= v.Version {
		t.Errorf("levels are not ready: %+v, %v", got, w.reasons)
	}
	for i, it := range got.Items {
		if len(it.Levels) != 3 {
			t.Fatalf("item %d has levels %+v", i, it.Levels)
		}
		for _, p := range it.Levels {
			data := w.artefact(got, i, false, p.Level)
			if sum := sha256.Sum256(data); !p.Ready || p.Size != int64(len(data)) || !bytes.Equal(p.SHA256, sum[:]) {
				t.Errorf("item %d: %+v for %d bytes", i, p, len(data))
			}
		}
	}
	for i, was := range first {
		if !bytes.Equal(w.artefact(got, i, true, cades.LevelBB), was) {
			t.Errorf("item %d: B-B changed", i)
		}
	}
	sum := sha256.Sum256([]byte("content"))
	for l := cades.LevelBB; l <= cades.LevelBLTA; l++ {
		reports, err := levels.Inspect(w.artefact(got, 1, true, l), augment.Digest(crypto.SHA256, sum[:]))
		if err != nil || len(reports) != 1 || reports[0].Level != l || reports[0].Invalid != nil {
			t.Errorf("CAdES %v: %+v, %v", l, reports, err)
		}
		reports, err = levels.Inspect(w.artefact(got, 2, true, l), nil)
		if err != nil || len(reports) != 1 || reports[0].Level != l || reports[0].Invalid != nil {
			t.Errorf("attached CAdES %v: %+v, %v", l, reports, err)
		}
	}
	stamped := w.artefact(got, 0, true, cades.LevelBT)
	infos, err := longterm.Verify(ctx, bytes.NewReader(stamped), int64(len(stamped)), pdf.Limits{})
	if err != nil || len(infos) != 1 || infos[0].Level != "B-T" {
		t.Errorf("PAdES B-T: %+v, %v", infos, err)
	}
	if !bytes.Equal(w.artefact(got, 0, true, 0), w.artefact(got, 0, true, cades.LevelBLTA)) {
		t.Error("no level asked for is not the highest")
	}
	if n := w.device.count(); n != 3 {
		t.Errorf("the device signed %d times", n)
	}
	if kinds := count(w.store.log(), "artefact.recorded"); kinds != 9 {
		t.Errorf("%d entries of artefacts", kinds)
	}
}

// A document bears a signature of somebody whose certificate nobody here can prove: ours comes to its level all the same.
func TestLevelsBesideSomebodyElse(t *testing.T) {
	w := newRaising(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	file := pdftest.Signable()[0].Data
	p, err := pades.Prepare(ctx, bytes.NewReader(file), int64(len(file)), pades.Options{
		SigningTime: w.clock(), Chain: [][]byte{w.certificate(key.Public())}, Algorithm: cades.ECDSAWithSHA256,
	})
	w.must(err)
	value, err := key.Sign(rand.Reader, p.DTBSR(), crypto.SHA256)
	w.must(err)
	tail, err := p.Embed(value)
	w.must(err)
	signed := append(bytes.Clone(file), tail...)

	d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(signed))
	w.must(err)
	v, err := w.s.Create(ctx, docs, "create", signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{
		{Document: d.ID, Format: signer.PAdESBB, Level: cades.LevelBLTA, Options: signer.Options{
			Reason: "because", Location: "Київ", Contact: "+380",
		}},
	}})
	w.must(err)
	v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	w.settle(0)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if !got.Items[0].Levels[2].Ready {
		t.Fatalf("%+v, %v", got.Items[0].Levels, w.reasons)
	}
	whole := w.artefact(got, 0, true, cades.LevelBLTA)
	infos, err := longterm.Verify(ctx, bytes.NewReader(whole), int64(len(whole)), pdf.Limits{})
	if err != nil || len(infos) < 2 || infos[0].Err != nil || infos[1].Err != nil || infos[1].Reason != "because" || !bytes.HasPrefix(whole, signed) {
		t.Errorf("%+v, %v", infos, err)
	}
	// Alone it cannot be raised, and that is said.
	a, err := w.aug.Augment(ctx, docs.Name, "augment", augment.Request{Document: d.ID, Level: cades.LevelBLT})
	w.must(err)
	w.settle(0)
	view, err := w.aug.Get(ctx, docs.Name, a.ID)
	if err != nil || view.Ready || view.Reason != augment.ReasonNoPath {
		t.Errorf("%+v, %v", view, err)
	}
}

func count(log []audit.Event, kind string) int {
	n := 0
	for _, e := range log {
		if audit.Kind(e) == kind {
			n++
		}
	}
	return n
}

// Whatever the authority does, the code yields the B-B signature at once, with one signature a digest of the device; the
// level comes when the authority is well again, or never.
func TestLevelsWithABrokenAuthority(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults tsptest.Faults
		reason augment.Reason
	}{
		{"stalls", tsptest.Faults{Stall: true}, augment.ReasonStampUnavailable},
		{"is down", tsptest.Faults{Status: 503}, augment.ReasonStampUnavailable},
		{"answers garbage", tsptest.Faults{Body: []byte("<html>hello</html>")}, augment.ReasonStampRefused},
		{"stamps another imprint", tsptest.Faults{OtherImprint: true}, augment.ReasonStampRefused},
		{"answers another request", tsptest.Faults{OtherNonce: true}, augment.ReasonStampRefused},
		{"signs wrongly", tsptest.Faults{BadSignature: true}, augment.ReasonStampRefused},
		{"rejects", tsptest.Faults{Reject: &tsptest.Rejection{Status: 2, FailBit: 25}}, augment.ReasonStampRefused},
		{"goes on for ever", tsptest.Faults{Endless: true}, augment.ReasonStampRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRaising(t)
			w.tsa.Misbehave(c.faults)
			began := time.Now()
			v := w.sign(cades.LevelBT, signer.PAdESBB, signer.CAdESBB)
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("signing waited %v for the authority", took)
			}
			bb := w.artefact(v, 0, true, 0)
			w.settle(1)
			got, err := w.s.Get(ctx, docs, v.ID)
			w.must(err)
			for i, it := range got.Items {
				if p := it.Levels[0]; p.Ready || p.Ended || p.Reason != c.reason || !p.Next.After(v.Created) {
					t.Errorf("item %d: %+v, want %s; %v", i, p, c.reason, w.reasons)
				}
			}
			_, err = w.s.Artifact(ctx, docs, v.ID, 0, true, cades.LevelBT)
			var pending *augment.PendingError
			if !errors.As(err, &pending) || !errors.Is(err, augment.ErrNotReady) || pending.Reason != c.reason || pending.RetryAfter() <= 0 {
				t.Errorf("asked for what is not ready: %v", err)
			}
			w.tsa.Misbehave(tsptest.Faults{})
			w.settle(1)
			if got, err = w.s.Get(ctx, docs, v.ID); err != nil || !got.Settled() || !got.Items[0].Levels[0].Ready {
				t.Errorf("well again: %+v, %v, %v", got.Items, err, w.reasons)
			}
			if !bytes.Equal(w.artefact(got, 0, true, cades.LevelBB), bb) || w.device.count() != 2 {
				t.Errorf("B-B changed, or the device signed %d times", w.device.count())
			}
		})
	}
}

// A token that is larger than what was known when space was kept goes behind the file of a PDF; where there is no file, the
// level is given up. Nothing is signed again.
func TestLevelsWithAHugeTimeStamp(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBT, signer.PAdESBB, signer.PAdESHash, signer.CAdESBB)
	w.tsa.Misbehave(tsptest.Faults{Size: 60_000})
	w.settle(0)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if p := got.Items[0].Levels[0]; !p.Ready {
		t.Errorf("PDF: %+v", p)
	} else if tail := w.artefact(got, 0, false, cades.LevelBT); !bytes.Contains(tail, []byte("/ETSI.RFC3161")) {
		t.Error("the time-stamp does not stand behind the file")
	}
	if p := got.Items[1].Levels[0]; !p.Ended || p.Reason != augment.ReasonStampTooLarge {
		t.Errorf("hash: %+v", p)
	}
	if p := got.Items[2].Levels[0]; !p.Ready {
		t.Errorf("CAdES has room for everything: %+v", p)
	}
	if _, err := w.s.Artifact(ctx, docs, v.ID, 1, true, cades.LevelBT); !errors.Is(err, augment.ErrGivenUp) {
		t.Errorf("asked for what was given up: %v", err)
	}
	if n := w.device.count(); n != 3 {
		t.Errorf("the device signed %d times", n)
	}
}

// The queue is in the store: another process goes on where the first one stopped.
func TestLevelsAfterARestart(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBLT, signer.CAdESBB)
	w.wire()
	w.settle(0)
	if got, err := w.s.Get(ctx, docs, v.ID); err != nil || !got.Settled() || !got.Items[0].Levels[1].Ready {
		t.Errorf("%+v, %v, %v", got.Items, err, w.reasons)
	}
}

// What cannot be had in time is given up with the last reason, and the levels below it stay.
func TestLevelsGivenUp(t *testing.T) {
	w := newRaising(t)
	for i := range 2 {
		w.pki.Handle(w.pki.CA(i).CRLURL(), revtest.Fail(http.StatusNotFound))
		w.pki.Handle(w.pki.CA(i).OCSPURL(), revtest.Fail(http.StatusNotFound))
	}
	v := w.sign(cades.LevelBLTA, signer.CAdESBB)
	w.settle(3)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if p := got.Items[0].Levels; !p[0].Ready || p[1].Ready || p[1].Ended || p[1].Reason != augment.ReasonNoRevocation {
		t.Errorf("while it is tried: %+v, %v", p, w.reasons)
	}
	w.pass(24 * time.Hour)
	w.settle(0)
	if got, err = w.s.Get(ctx, docs, v.ID); err != nil || !got.Settled() {
		t.Fatalf("%+v, %v", got.Items, err)
	}
	if p := got.Items[0].Levels; !p[0].Ready || !p[1].Ended || !p[2].Ended || p[1].Reason != augment.ReasonNoRevocation {
		t.Errorf("afterwards: %+v", p)
	}
	if _, err := w.s.Artifact(ctx, docs, v.ID, 0, true, cades.LevelBT); err != nil {
		t.Errorf("the level below: %v", err)
	}
}

func TestLevelsOfARevokedCertificate(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBLT, signer.CAdESBB)
	leaf, err := x509.ParseCertificate(w.store.state.credentials[cred].Chain[0])
	w.must(err)
	w.pki.Issuing().Revoke(leaf.SerialNumber, now0.Add(-time.Minute), 1)
	w.settle(0)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if p := got.Items[0].Levels; !p[0].Ready || !p[1].Ended || p[1].Reason != augment.ReasonRevoked {
		t.Errorf("%+v, %v", p, w.reasons)
	}
}

// A document that is acknowledged stays as long as a level needs it, and no longer.
func TestLevelsKeepTheDocument(t *testing.T) {
	w := newRaising(t)
	w.tsa.Misbehave(tsptest.Faults{Status: 503})
	v := w.sign(cades.LevelBT, signer.PAdESBB)
	_, err := w.s.Complete(ctx, docs, "complete", v.ID)
	w.must(err)
	w.settle(1)
	if len(w.spool.files) != 1 {
		t.Fatalf("the spool holds %d documents", len(w.spool.files))
	}
	w.tsa.Misbehave(tsptest.Faults{})
	w.settle(1)
	if got, err := w.s.Get(ctx, docs, v.ID); err != nil || !got.Settled() || !got.Items[0].Levels[0].Ready {
		t.Errorf("%+v, %v, %v", got.Items, err, w.reasons)
	}
	if len(w.spool.files) != 0 {
		t.Errorf("the spool still holds %d documents", len(w.spool.files))
	}
}

func TestLevelsWithoutTheDocument(t *testing.T) {
	w := newRaising(t)
	w.tsa.Misbehave(tsptest.Faults{Status: 503})
	v := w.sign(cades.LevelBT, signer.PAdESBB)
	w.must(w.spool.Remove(v.Items[0].Document))
	w.settle(0)
	if got, err := w.s.Get(ctx, docs, v.ID); err != nil || got.Items[0].Levels[0].Reason != augment.ReasonGone || !got.Settled() {
		t.Errorf("%+v, %v, %v", got.Items, err, w.reasons)
	}
}

// An artefact is under no seal; the log holds its digest.
func TestLevelsTamperedWith(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBT, signer.CAdESBB)
	w.settle(0)
	at := level{place{string(v.ID), 0}, cades.LevelBT}
	a := w.store.state.artefacts[at]
	a.Data = bytes.Clone(a.Data)
	a.Data[len(a.Data)-1] ^= 1
	w.store.state.artefacts[at] = a
	if _, err := w.s.Artifact(ctx, docs, v.ID, 0, true, cades.LevelBT); !errors.Is(err, signer.ErrIntegrity) || len(w.alarms) != 1 {
		t.Errorf("%v, alarms %v", err, w.alarms)
	}
}

// A commit that fails leaves the job; one whose outcome is unknown is looked at again and not made twice.
func TestLevelsWhenCommitsFail(t *testing.T) {
	for _, wanted := range []fate{fails, failsAfterward} {
		w := newRaising(t)
		v := w.sign(cades.LevelBT, signer.CAdESBB)
		next := w.store.n + 1
		w.store.fault = func(n int) fate {
			if n == next {
				return wanted
			}
			return commits
		}
		w.settle(0)
		got, err := w.s.Get(ctx, docs, v.ID)
		w.must(err)
		if !got.Items[0].Levels[0].Ready || count(w.store.log(), "artefact.recorded") != 1 {
			t.Errorf("%+v, %d entries", got.Items[0].Levels, count(w.store.log(), "artefact.recorded"))
		}
	}
}

func TestLevelsThatAreNotOffered(t *testing.T) {
	w := newWorld(t) // without any authority
	sum := sha256.Sum256(nil)
	for _, c := range []struct {
		item signer.ItemRequest
		want error
	}{
		{signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB, Level: cades.LevelBT}, augment.ErrNotOffered},
		{signer.ItemRequest{Hash: sum[:], Format: signer.Raw, Level: cades.LevelBT}, signer.ErrInput},
		{signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB, Level: 9}, signer.ErrInput},
		{signer.ItemRequest{Hash: sum[:], Format: signer.PAdESBB}, signer.ErrInput},
		{signer.ItemRequest{Document: "doc", Format: signer.Raw}, signer.ErrInput},
		{signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB, Room: 7}, signer.ErrInput},
		{signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB, Options: signer.Options{Reason: "because"}}, signer.ErrInput},
		{signer.ItemRequest{Document: "doc", Format: signer.PAdESBB, Options: signer.Options{Reason: "because", Commit: cades.ProofOfOrigin}}, signer.ErrInput},
		{signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB, Options: signer.Options{Policy: &cades.Policy{}}}, signer.ErrInput},
	} {
		r := signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{c.item}}
		if _, err := w.s.Create(ctx, docs, fmt.Sprintf("%v", c.item), r); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.item, err, c.want)
		}
	}
	if len(w.store.log()) != 0 {
		t.Error("something was recorded")
	}
}

// A request with a level is another request than one without.
func TestLevelsInTheFingerprint(t *testing.T) {
	w := newRaising(t)
	sum := sha256.Sum256(nil)
	item := signer.ItemRequest{Hash: sum[:], Format: signer.CAdESBB}
	r := signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{item}}
	_, err := w.s.Create(ctx, docs, "once", r)
	w.must(err)
	for _, change := range []func(*signer.ItemRequest){
		func(i *signer.ItemRequest) { i.Level = cades.LevelBT },
		func(i *signer.ItemRequest) { i.Options.Roles = []string{"director"} },
		func(i *signer.ItemRequest) { i.Options.Commit = cades.ProofOfOrigin },
		func(i *signer.ItemRequest) { i.Options.MIMEType = "text/plain" },
	} {
		other := item
		change(&other)
		r.Items = []signer.ItemRequest{other}
		if _, err := w.s.Create(ctx, docs, "once", r); !errors.Is(err, signer.ErrRequestReused) {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

// A request with another look is another request, whatever it is that differs.
func TestLooksInTheFingerprint(t *testing.T) {
	w := newRaising(t)
	file := pdftest.Signable()[0].Data
	d, err := w.s.Upload(ctx, docs, "upload", "contract.pdf", bytes.NewReader(file))
	w.must(err)
	request := func(look appearance.Appearance, face string) signer.CreateRequest {
		return signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{{
			Document: d.ID, Format: signer.PAdESBB, Options: signer.Options{Visible: &look, Typeface: face},
		}}}
	}
	_, err = w.s.Create(ctx, docs, "once", request(appearance.Appearance{Width: 120, Margin: 10}, ""))
	w.must(err)
	fields := reflect.TypeFor[appearance.Appearance]()
	for i := range fields.NumField() {
		look := appearance.Appearance{Width: 120, Margin: 10}
		switch v := reflect.ValueOf(&look).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Int:
			v.SetInt(1)
		case reflect.Uint8:
			v.SetUint(1)
		case reflect.Float64:
			v.SetFloat(1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Array:
			v.Index(0).SetFloat(1)
		default:
			t.Fatalf("what is %s?", fields.Field(i).Name)
		}
		if _, err := w.s.Create(ctx, docs, "once", request(look, "")); !errors.Is(err, signer.ErrRequestReused) {
			t.Errorf("%s: %v", fields.Field(i).Name, err)
		}
	}
	if _, err := w.s.Create(ctx, docs, "once", request(appearance.Appearance{Width: 120, Margin: 10}, "house")); !errors.Is(err, signer.ErrRequestReused) {
		t.Errorf("typeface: %v", err)
	}
	if _, err := w.s.Create(ctx, docs, "unknown", request(appearance.Appearance{}, "house")); !errors.Is(err, signer.ErrInput) || !strings.Contains(err.Error(), `typeface "house" is unknown`) {
		t.Errorf("a typeface that there is not: %v", err)
	}
}

// A PDF that stays with the client: the engine sees a digest alone, and what it answers fits into the prepared file.
func TestHashOnlyPAdES(t *testing.T) {
	w := newRaising(t)
	file := pdftest.Signable()[0].Data
	chain := w.store.state.credentials[cred].Chain
	prepare := func(reserve int) *pades.Prepared {
		p, err := pades.Prepare(ctx, bytes.NewReader(file), int64(len(file)), pades.Options{
			SigningTime: w.clock(), Chain: chain, Algorithm: cades.ECDSAWithSHA256, Reserve: reserve,
		})
		w.must(err)
		return p
	}
	p := prepare(0)
	r := signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{{
		Hash: p.DocumentDigest(), Format: signer.PAdESHash, Level: cades.LevelBT, Room: p.Reserved(),
	}}}
	_, err := w.s.Create(ctx, docs, "small", r)
	var space *signer.SpaceError
	if !errors.As(err, &space) || space.Needed <= p.Reserved() || len(w.store.log()) != 0 {
		t.Fatalf("too little space: %v", err)
	}
	p = prepare(space.Needed - p.Reserved())
	r.Items[0].Hash, r.Items[0].Room = p.DocumentDigest(), p.Reserved()
	v, err := w.s.Create(ctx, docs, "enough", r)
	w.must(err)
	if v.Items[0].Room != p.Reserved() || !bytes.Equal(v.Items[0].DTBSR, p.DTBSR()) {
		t.Errorf("max_cms_bytes %d for %d reserved; DTBS/R %x, want %x", v.Items[0].Room, p.Reserved(), v.Items[0].DTBSR, p.DTBSR())
	}
	v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	w.settle(0)
	for _, l := range []cades.Level{cades.LevelBB, cades.LevelBT} {
		tail, err := p.EmbedCMS(w.artefact(v, 0, true, l))
		if err != nil {
			t.Fatalf("%v: %v", l, err)
		}
		whole := append(bytes.Clone(file), tail...)
		w.must(p.Check(ctx, bytes.NewReader(whole), int64(len(whole))))
	}
	if w.device.count() != 1 {
		t.Errorf("the device signed %d times", w.device.count())
	}
}

// What a client of its own needs for higher levels is for clients with a grant.
func TestRemoteServices(t *testing.T) {
	w := newRaising(t)
	sum := sha256.Sum256([]byte("a"))
	token, err := w.aug.StampDigest(ctx, docs.Name, cred, crypto.SHA256, sum[:])
	w.must(err)
	parsed, err := tsp.Parse(token)
	w.must(err)
	w.must(parsed.Covers(crypto.SHA256, sum[:]))
	chain := w.store.state.credentials[cred].Chain
	e, err := w.aug.CollectEvidence(ctx, docs.Name, cred, chain[0], chain[1:], w.clock())
	if err != nil || len(e.CRLs)+len(e.OCSPs) < 2 {
		t.Errorf("%d lists and %d answers, %v", len(e.CRLs), len(e.OCSPs), err)
	}
	if _, err := w.aug.StampDigest(ctx, "stranger", cred, crypto.SHA256, sum[:]); !errors.Is(err, augment.ErrCredential) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := w.aug.CollectEvidence(ctx, "stranger", cred, chain[0], nil, w.clock()); !errors.Is(err, augment.ErrCredential) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := w.aug.StampDigest(ctx, docs.Name, cred, crypto.SHA512, sum[:]); !errors.Is(err, call.ErrField) {
		t.Errorf("a digest of another length: %v", err)
	}
	if _, err := w.aug.CollectEvidence(ctx, docs.Name, cred, chain[0], nil, w.clock().Add(time.Hour)); !errors.Is(err, call.ErrField) {
		t.Errorf("the future: %v", err)
	}
	w.tsa.Misbehave(tsptest.Faults{OtherImprint: true})
	var service *augment.ServiceError
	if _, err = w.aug.StampDigest(ctx, docs.Name, cred, crypto.SHA256, sum[:]); !errors.As(err, &service) || service.Reason != augment.ReasonStampRefused {
		t.Errorf("another imprint: %v", err)
	}
}

// Documents of a client are raised, once for each request, and belong to it alone.
func TestAugmentDocuments(t *testing.T) {
	w := newRaising(t)
	v := w.sign(cades.LevelBB, signer.CAdESBB, signer.CAdESAttached, signer.PAdESBB)
	n := 0
	upload := func(data []byte) string {
		n++
		d, err := w.s.Upload(ctx, docs, fmt.Sprint("up-", n), "a.bin", bytes.NewReader(data))
		w.must(err)
		return d.ID
	}
	detached, attached, file := w.artefact(v, 0, true, 0), w.artefact(v, 1, true, 0), w.artefact(v, 2, true, 0)
	sum := sha256.Sum256([]byte("content"))
	content := upload([]byte("content"))
	for i, c := range []struct {
		name string
		r    augment.Request
		want func([]byte) bool
	}{
		{"detached by digest", augment.Request{Document: upload(detached), ContentDigest: sum[:], Level: cades.LevelBLTA}, level4(detached, augment.Digest(crypto.SHA256, sum[:]))},
		{"detached by document", augment.Request{Document: upload(detached), ContentDocument: content, Level: cades.LevelBLTA}, level4(detached, augment.Digest(crypto.SHA256, sum[:]))},
		{"attached", augment.Request{Document: upload(attached), Level: cades.LevelBLTA}, level4(attached, nil)},
		{"PDF", augment.Request{Document: upload(file), Level: cades.LevelBLTA}, func(b []byte) bool {
			return bytes.HasPrefix(b, file) && bytes.Contains(b[len(file):], []byte("/DSS")) && bytes.Contains(b[len(file):], []byte("/ETSI.RFC3161"))
		}},
		{"PDF, a time-stamp alone", augment.Request{Document: upload(file), StampOnly: true}, func(b []byte) bool { return bytes.HasPrefix(b, file) && len(b) > len(file) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := fmt.Sprint("augment-", i)
			a, err := w.aug.Augment(ctx, docs.Name, id, c.r)
			w.must(err)
			again, err := w.aug.Augment(ctx, docs.Name, id, c.r)
			if err != nil || again.ID != a.ID {
				t.Errorf("asked for again: %q, %v", again.ID, err)
			}
			if _, err := w.aug.Get(ctx, "stranger", a.ID); !errors.Is(err, call.ErrNotFound) {
				t.Errorf("a stranger: %v", err)
			}
			w.settle(0)
			f, err := w.aug.Open(ctx, docs.Name, a.ID, true)
			if err != nil {
				t.Fatal(err, w.reasons)
			}
			b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
			w.must(err)
			if !c.want(b) {
				t.Errorf("%d bytes are not what was wanted", len(b))
			}
			w.must(f.Close())
			if _, err := w.aug.Complete(ctx, docs.Name, a.ID); err != nil {
				t.Error(err)
			}
		})
	}
	for name, c := range map[string]struct {
		r    augment.Request
		want error
	}{
		"text":                  {augment.Request{Document: upload([]byte("hello")), Level: cades.LevelBT}, augment.ErrNoSignature},
		"detached alone":        {augment.Request{Document: upload(detached), Level: cades.LevelBT}, augment.ErrContent},
		"attached with content": {augment.Request{Document: upload(attached), Level: cades.LevelBT, ContentDigest: sum[:]}, augment.ErrContent},
		"unknown":               {augment.Request{Document: "doc-none", Level: cades.LevelBT}, call.ErrNotFound},
		"CMS with a stamp":      {augment.Request{Document: upload(attached), StampOnly: true}, augment.ErrNoSignature},
	} {
		if _, err := w.aug.Augment(ctx, docs.Name, strings.ReplaceAll(name, " ", "-"), c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if w.device.count() != 3 {
		t.Errorf("the device signed %d times", w.device.count())
	}
}

// level4 wants a B-LTA signature.
func level4(_ []byte, content levels.Content) func([]byte) bool {
	return func(b []byte) bool {
		reports, err := levels.Inspect(b, content)
		return err == nil && len(reports) == 1 && reports[0].Level == cades.LevelBLTA && reports[0].Invalid == nil
	}
}
