package tsp_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/mutations"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// fuzzFaults give what parsers are fed with, mutated.
var fuzzFaults = []tsptest.Faults{
	{},
	{BER: true},
	{SigningCertificateV1: true},
	{NoCertificates: true},
	{OtherHash: true},
	{TwoSigners: true},
	{Size: 3000},
	{Certificate: tsptest.NoUsage},
	{GrantedWithMods: true},
	{Reject: &tsptest.Rejection{Status: 2, FailBit: 15, Text: "no"}},
}

// transport answers every request with the same body.
type transport func(*http.Request) []byte

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/timestamp-reply"}}, Body: io.NopCloser(bytes.NewReader(f(r))), Request: r,
	}, nil
}

// zeros is randomness that never surprises, so that an answer fits every request.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// ask runs a client over a transport.
func ask(tsa *tsptest.TSA, answer transport) ([]byte, error) {
	client, err := tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: "a", URL: "http://tsa.example/", Roots: tsa.Roots()}},
		HTTP:        &http.Client{Transport: answer}, Now: time.Now, Random: zeros{}, Tolerance: 24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	return client.Stamp(context.Background(), crypto.SHA256, digest[:])
}

// answered gives a client this answer.
func answered(body []byte) ([]byte, error) {
	return ask(must(tsptest.New(tsptest.Options{})), func(*http.Request) []byte { return body })
}

// answers returns what the authority answers to the one request of ask, with each fault.
func answers(tsa *tsptest.TSA) (list [][]byte) {
	for _, f := range fuzzFaults {
		tsa.Misbehave(f)
		_, _ = ask(tsa, func(r *http.Request) []byte { // the result is another test's
			w := httptest.NewRecorder()
			tsa.Handler().ServeHTTP(w, r)
			list = append(list, w.Body.Bytes())
			return nil
		})
	}
	return list
}

// read parses a token and holds a good one to what must be true of it.
func read(t *testing.T, data []byte) *tsp.Token {
	t.Helper()
	token, err := tsp.Parse(data)
	if err != nil {
		if !errors.Is(err, tsp.ErrToken) || token != nil {
			t.Fatalf("%v, %v", token, err)
		}
		return nil
	}
	der, err := token.DER()
	if errors.Is(err, tsp.ErrMalformed) { // a certificate that nobody needs is damaged inside
		return token
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := tsp.ParseWith(der, [][]byte{token.Signer.Raw})
	if err != nil || !again.Time.Equal(token.Time) || again.Covers(token.Hash, token.Imprint) != nil || again.Serial.Cmp(token.Serial) != 0 {
		t.Fatalf("in DER it is another one: %v", err)
	}
	return token
}

func FuzzParse(f *testing.F) {
	tsa := must(tsptest.New(tsptest.Options{}))
	for _, faults := range fuzzFaults {
		faults.Reject = nil
		tsa.Misbehave(faults)
		f.Add(must(tsa.Stamp(context.Background(), crypto.SHA256, digest[:])))
	}
	f.Fuzz(func(t *testing.T, data []byte) { read(t, data) })
}

func FuzzAnswer(f *testing.F) {
	tsa := must(tsptest.New(tsptest.Options{}))
	for _, answer := range answers(tsa) {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, data []byte) { accepted(t, tsa, data) })
}

// accepted reports whether a client takes the answer, and holds the token to what was asked.
func accepted(t *testing.T, tsa *tsptest.TSA, data []byte) bool {
	t.Helper()
	raw, err := ask(tsa, func(*http.Request) []byte { return data })
	if err != nil {
		if !errors.Is(err, tsp.ErrToken) && !errors.Is(err, tsp.ErrAnswer) && !errors.Is(err, tsp.ErrRejected) {
			t.Fatal(err)
		}
		return false
	}
	if token := read(t, raw); token == nil || token.Covers(crypto.SHA256, digest[:]) != nil || token.Nonce == nil {
		t.Fatal("a token was accepted that was not asked for")
	}
	return true
}

// mutate changes some bytes, or cuts, doubles or swaps a piece.
func mutate(r *mathrand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(out))
		end := min(len(out), at+1+r.IntN(40))
		switch r.IntN(8) {
		case 0:
			out = out[:max(1, at)]
		case 1:
			out = slices.Insert(out, at, out[at:end]...)
		case 2:
			out = slices.Delete(out, at, end)
			out = append(out, 0)
		case 3:
			out[at] = []byte{0, 0x7f, 0x80, 0x81, 0x84, 0x88, 0xff, 0x24, 0xa0, 0x30}[r.IntN(10)]
		default:
			out[at] ^= 1 << r.IntN(8)
		}
	}
	return out
}

// Ten thousand damaged tokens and answers: none panics or is slow, and what is still read says what the whole one said.
func TestMutations(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3161, 5816))
	ec, rsa := must(tsptest.New(tsptest.Options{})), rsaTSA()
	var tokens [][]byte
	for _, f := range []tsptest.Faults{{}, {BER: true}, {SigningCertificateV1: true}} {
		tokens = append(tokens, stamp(t, ec, f), stamp(t, rsa, f))
	}
	rsa.Misbehave(tsptest.Faults{})
	whole := answers(ec)
	count := mutations.Count(t, 5000)
	refused, kept, taken := 0, 0, 0
	for i := range count {
		original := tokens[i%len(tokens)]
		start := cpu(t)
		if token := read(t, mutate(r, original)); token != nil {
			kept++
			if want := must(tsp.Parse(original)); !token.Time.Equal(want.Time) || token.Serial.Cmp(want.Serial) != 0 || token.Covers(want.Hash, want.Imprint) != nil || !token.Signer.Equal(want.Signer) {
				t.Fatalf("mutation %d changed what the token says", i)
			}
		} else {
			refused++
		}
		if accepted(t, ec, mutate(r, whole[i%len(whole)])) {
			taken++
		}
		if took := cpu(t) - start; took > time.Second {
			t.Errorf("mutation %d took %v", i, took)
		}
	}
	t.Logf("%d tokens refused, %d still read; %d of %d answers still accepted", refused, kept, taken, count)
	if refused < count*4/5 || taken > count/5 {
		t.Error("the mutations are too mild")
	}
}

// cpu is what this process has used so far.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What is made to be expensive costs little more than its size.
func TestBombs(t *testing.T) {
	tsa := must(tsptest.New(tsptest.Options{}))
	whole := stamp(t, tsa, tsptest.Faults{BER: true})
	pieces := func(n int) []byte { // the content of a token in pieces of one octet
		at := bytes.Index(whole, []byte{0x24, 0x80}) + 2
		return slices.Concat(whole[:at], bytes.Repeat([]byte{4, 1, 0x30}, n), whole[at:])
	}
	for name, data := range map[string][]byte{
		"nested, indefinite":      bytes.Repeat([]byte{0x30, 0x80}, 1<<20),
		"nested sets, indefinite": bytes.Repeat([]byte{0x31, 0x80}, 1<<20),
		"nested, of long lengths": bytes.Repeat([]byte{0x30, 0x84, 0, 0xff, 0xff, 0xff}, 1<<20),
		"lengths that lie":        bytes.Repeat([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, 1000),
		"many pieces":             pieces(1 << 18),
		"nested pieces":           bytes.Replace(whole, []byte{0x24, 0x80}, bytes.Repeat([]byte{0x24, 0x80}, 1<<18), 1),
		"many ends":               make([]byte, 1<<20),
		"many elements":           append([]byte{0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02, 0xa0, 0x80, 0x30, 0x80, 2, 1, 3, 0x31, 0x80}, bytes.Repeat([]byte{0x30, 0}, 1<<20)...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := cpu(t)
		if _, err := tsp.Parse(data); !errors.Is(err, tsp.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
		if accepted(t, tsa, data) {
			t.Errorf("%s: accepted", name)
		}
		took := cpu(t) - start
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; took > time.Second || allocated > uint64(32*len(data)+1<<20) {
			t.Errorf("%s: %d bytes of input cost %v and %d bytes", name, len(data), took, allocated)
		}
	}
}
