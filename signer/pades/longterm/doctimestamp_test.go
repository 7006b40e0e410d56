package longterm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestTimeStampEveryShape stamps each shape twice; OpenSSL verifies both tokens over the bytes that they cover.
func TestTimeStampEveryShape(t *testing.T) {
	s, _ := world().services()
	roots := append([][]byte{}, world().tsa.Root().Certificate.Raw)
	for _, shape := range pdftest.Signable() {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			once := timeStamp(t, shape.Data, s)
			padestest.JudgeStructure(t, shape.Data, once)
			twice := timeStamp(t, once, s)
			padestest.JudgeStructure(t, once, twice)
			infos := verifyAll(t, twice)
			if got := summary(infos); got != "TimeStamp1=time-stamp TimeStamp2=time-stamp " {
				t.Fatal(got)
			}
			if a, b := infos[0], infos[1]; a.CoversFile || !a.Covered || a.LaterRevisions != 1 || !a.Proven.Equal(b.TimeStamp.Time) || !b.CoversFile || b.Covered || b.LaterRevisions != 0 || !b.Proven.IsZero() {
				t.Errorf("%+v", infos)
			}
			for range 2 {
				token, covered := padestest.Newest(t, twice)
				said, _ := padestest.Run(t, "openssl", "ts", "-verify", "-token_in", "-in", padestest.WriteFile(t, "token", token), "-data", padestest.WriteFile(t, "data", covered),
					"-CAfile", padestest.WriteFile(t, "roots", pemOf(roots...)), "-untrusted", padestest.WriteFile(t, "chain", pemOf(world().tsa.CA().Certificate.Raw)))
				if !strings.Contains(said, "Verification: OK") {
					t.Errorf("openssl: %s", said)
				}
				twice = once
			}
		})
	}
}

// TestTimeStampDictionary checks what the profile wants, in the bytes themselves.
func TestTimeStampDictionary(t *testing.T) {
	s, _ := world().services()
	in := padestest.Shape(t, "lf")
	tail := string(timeStamp(t, in, s)[len(in):])
	for _, want := range []string{"/Type /DocTimeStamp", "/SubFilter /ETSI.RFC3161", "/FT /Sig", "/SigFlags 3"} {
		if strings.Count(tail, want) != 1 {
			t.Errorf("%q is not there exactly once", want)
		}
	}
	for _, not := range []string{"/M ", "/Cert", "/Reference", "/Changes", "/Name", "/Reason", "/Location", "/P "} { // EN 319 142-1 clause 5.4.3
		if strings.Contains(tail, not) {
			t.Errorf("%q is there", not)
		}
	}
}

// stamper answers what a test wants.
type stamper func(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error)

func (f stamper) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	return f(ctx, h, imprint)
}

// sized says how large its tokens can be.
type sized struct {
	stamper
	size int
	err  error
}

func (s sized) MaxSize(context.Context, crypto.Hash) (int, error) { return s.size, s.err }

// TestTimeStampFaults: whatever an authority does, nothing is written, and it is asked once.
func TestTimeStampFaults(t *testing.T) {
	id := world().signatory(revtest.P256)
	tsa := padestest.Must(tsptest.New(tsptest.Options{}))
	signed := named(t, padestest.Shape(t, "lf"), id, "S")
	lt := augment(t, stamped(t, padestest.Shape(t, "lf"), id, "S", world().tsa), cades.LevelBLT, must2(world().services()))
	unavailable := errors.New("down")
	for name, tc := range map[string]struct {
		faults tsptest.Faults
		use    func(cades.Stamper) cades.Stamper
		want   error
	}{
		"other imprint":       {tsptest.Faults{OtherImprint: true}, nil, tsp.ErrImprint},
		"other hash":          {tsptest.Faults{OtherHash: true}, nil, tsp.ErrToken},
		"bad signature":       {tsptest.Faults{BadSignature: true}, nil, tsp.ErrSignature},
		"no certificates":     {tsptest.Faults{NoCertificates: true}, nil, tsp.ErrSigner},
		"other usage":         {tsptest.Faults{Certificate: tsptest.OtherUsage}, nil, tsp.ErrSigner},
		"huge":                {tsptest.Faults{Size: 20_000}, nil, pades.ErrReserve},
		"larger than it said": {tsptest.Faults{}, func(s cades.Stamper) cades.Stamper { return sized{s.Stamp, 100, nil} }, pades.ErrReserve},
		"no size":             {tsptest.Faults{}, func(s cades.Stamper) cades.Stamper { return sized{s.Stamp, 0, unavailable} }, unavailable},
		"absurd size":         {tsptest.Faults{}, func(s cades.Stamper) cades.Stamper { return sized{s.Stamp, 2 << 20, nil} }, pades.ErrOptions},
		"garbage": {tsptest.Faults{}, func(cades.Stamper) cades.Stamper {
			return stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return []byte("<html>"), nil })
		}, tsp.ErrToken},
		"nothing": {tsptest.Faults{}, func(cades.Stamper) cades.Stamper {
			return stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return nil, nil })
		}, tsp.ErrToken},
		"refuses": {tsptest.Faults{}, func(cades.Stamper) cades.Stamper {
			return stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return nil, unavailable })
		}, unavailable},
		"stalls": {tsptest.Faults{Stall: true}, nil, context.DeadlineExceeded},
	} {
		tsa.Misbehave(tc.faults)
		s, _ := world().services()
		s.Stamper = tsa
		if tc.use != nil {
			s.Stamper = tc.use(tsa)
		}
		limited := func() context.Context {
			if !tc.faults.Stall {
				return t.Context()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		requests := tsa.Requests()
		if tail, err := longterm.TimeStamp(limited(), bytes.NewReader(signed), int64(len(signed)), s, pdf.Limits{}); !errors.Is(err, tc.want) || tail != nil {
			t.Errorf("%s: %d bytes, %v", name, len(tail), err)
		}
		if tsa.Requests() > requests+1 {
			t.Errorf("%s: %d requests", name, tsa.Requests()-requests)
		}
		for to, data := range map[cades.Level][]byte{cades.LevelBT: signed, cades.LevelBLTA: lt} {
			if tail, err := longterm.Augment(limited(), bytes.NewReader(data), int64(len(data)), to, s, pdf.Limits{}); !errors.Is(err, tc.want) || tail != nil {
				t.Errorf("%s: to %v: %d bytes, %v", name, to, len(tail), err)
			}
		}
	}
	// A larger token fits into more room.
	tsa.Misbehave(tsptest.Faults{Size: 20_000})
	s, _ := world().services()
	s.Stamper = tsa
	tail, err := longterm.TimeStampWith(t.Context(), bytes.NewReader(signed), int64(len(signed)), s, longterm.AugmentOptions{Room: 30_000})
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(verifyAll(t, append(bytes.Clone(signed), tail...))); got != "S=B-T TimeStamp1=time-stamp " {
		t.Error(got)
	}
	// In BER it is made DER, as /Contents must be.
	tsa.Misbehave(tsptest.Faults{BER: true})
	out := timeStamp(t, signed, s)
	if got := summary(verifyAll(t, out)); got != "S=B-T TimeStamp1=time-stamp " || strings.Contains(string(out[len(signed):]), "<3080") {
		t.Error(got)
	}
}

func must2[A, B any](a A, _ B) A { return a }

// remembered gives the same token for the same digest, as one service at one moment would.
type remembered struct {
	cades.Stamper
	mu     sync.Mutex
	tokens map[string][]byte
}

func (r *remembered) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens[string(imprint)] == nil {
		token, err := r.Stamper.Stamp(ctx, h, imprint)
		if err != nil {
			return nil, err
		}
		r.tokens[string(imprint)] = token
	}
	return r.tokens[string(imprint)], nil
}

// TestAugmentDeterministic: the same input and services give the same bytes.
func TestAugmentDeterministic(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	for _, name := range []string{"lf", "form-in-objstm", "xref-stream"} {
		in := named(t, stamped(t, padestest.Shape(t, name), id, "S", w.tsa), id, "T")
		s, p := w.services()
		r := &remembered{Stamper: w.tsa, tokens: map[string][]byte{}}
		s.Stamper, s.Prover = r, &sameProver{Prover: p, got: map[string]revinfo.Evidence{}}
		var outs [][]byte
		for range 3 {
			outs = append(outs, augment(t, in, cades.LevelBLTA, s))
		}
		if !bytes.Equal(outs[0], outs[1]) || !bytes.Equal(outs[0], outs[2]) || len(r.tokens) != 2 {
			t.Errorf("%s: other bytes, %d time-stamps", name, len(r.tokens))
		}
	}
}

type sameProver struct {
	cades.Prover
	got map[string]revinfo.Evidence
}

func (p *sameProver) Collect(ctx context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	if _, there := p.got[string(leaf)]; !there {
		e, err := p.Prover.Collect(ctx, leaf, known, at)
		if err != nil {
			return e, err
		}
		p.got[string(leaf)] = e
	}
	return p.got[string(leaf)], nil
}

// TestRealServices raises a signature with the clients of the product, over HTTP: the size of a token is known before, and
// evidence comes from the addresses in the certificates.
func TestRealServices(t *testing.T) {
	pki := padestest.Must(revtest.New(revtest.Options{URL: "http://pki.test"}))
	tsa := padestest.Must(tsptest.New(tsptest.Options{URL: "http://tsa.test"}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "tsa.test" {
			tsa.Handler().ServeHTTP(w, r)
			return
		}
		pki.ServeHTTP(w, r)
	}))
	defer server.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	collector := padestest.Must(revinfo.New(revinfo.Config{
		Anchors: append(tsa.CACertificates()[1:], pki.CA(0).Certificate.Certificate), Now: time.Now,
		Network: revinfo.Network{
			AnyHost: true, Inside: []netip.Prefix{netip.PrefixFrom(loopback, 8)},
			Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{loopback}, nil },
			Dial:    func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) { return dial(ctx) },
		},
	}))
	defer collector.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	defer transport.CloseIdleConnections()
	client := padestest.Must(tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: "test", URL: tsa.URL(), Roots: tsa.Roots()}}, HTTP: &http.Client{Transport: transport}, Now: time.Now, Random: rand.Reader,
	}))
	leaf := padestest.Must(pki.Issuing().Issue(revtest.Template{Name: "Шевченко Тарас"}))
	id := padestest.Identity{Key: leaf.Key, Chain: [][]byte{leaf.Raw, pki.Issuing().Raw}} // without the root, which is fetched
	s := cades.Services{Stamper: client, Prover: collector, Now: time.Now}
	out := named(t, padestest.Shape(t, "form-in-objstm"), id, "S")
	size := padestest.Must(client.MaxSize(t.Context(), crypto.SHA256))
	for i, to := range []cades.Level{cades.LevelBT, cades.LevelBLT, cades.LevelBLTA, cades.LevelBLTA} {
		requests := tsa.Requests()
		out = augment(t, out, to, s)
		if infos := verifyAll(t, out); infos[0].Level != to.String() || infos[0].Err != nil {
			t.Errorf("%v: %s", to, summary(infos))
		}
		if got, want := tsa.Requests()-requests, []int{1, 0, 1, 1}[i]; got != want {
			t.Errorf("%v: %d requests", to, got)
		}
	}
	last := verifyAll(t, out)[3]
	if room := int(last.ByteRange[2]-last.ByteRange[1]-2) / 2; room < size || room > size+tsp.Margin {
		t.Errorf("room for %d bytes, where tokens have at most %d", room, size)
	}
}
