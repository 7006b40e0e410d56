package tsp_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

var _ cades.Stamper = (*tsp.Client)(nil)

// Whatever an authority does, nothing of it stays when a test is over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an authority behind HTTP.
type server struct {
	*tsptest.TSA
	url string
}

func serve(t *testing.T, o tsptest.Options) *server {
	t.Helper()
	tsa := must(tsptest.New(o))
	s := httptest.NewServer(tsa.Handler())
	t.Cleanup(s.Close)
	return &server{tsa, s.URL}
}

func (s *server) authority(name string) tsp.Authority {
	return tsp.Authority{Name: name, URL: s.url, Roots: s.Roots()}
}

// newClient fills what a test does not care about.
func newClient(t *testing.T, c tsp.Config) *tsp.Client {
	t.Helper()
	if c.HTTP == nil {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		c.HTTP = &http.Client{Transport: transport}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	client, err := tsp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func stampOnce(c *tsp.Client) ([]byte, error) {
	return c.Stamp(context.Background(), crypto.SHA256, digest[:])
}

func TestStamp(t *testing.T) {
	for name, key := range map[string]tsptest.Key{"P-256": tsptest.P256, "RSA": tsptest.RSA3072} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tsptest.Options{Key: key})
			a := s.authority("test")
			a.Policy = s.Policy()
			client := newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})
			sum := sha512.Sum384([]byte("content"))
			raw, err := client.Stamp(context.Background(), crypto.SHA384, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			token, err := tsp.Parse(raw)
			if err != nil || token.Nonce.BitLen() != 63 || len(token.Certificates) != 3 || time.Since(token.Time) > time.Minute {
				t.Errorf("%v, %v", token, err)
			}
			if err := token.Covers(crypto.SHA384, sum[:]); err != nil {
				t.Error(err)
			}
			if said := openssl(t, s.TSA, raw, []byte("content"), "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-untrusted", "ca.pem"); !strings.Contains(said, "Verification: OK") {
				t.Error(said)
			}
		})
	}
}

// refusal is what an authority does wrong, the error that says so, and words of it.
type refusal struct {
	faults tsptest.Faults
	want   error
	says   string
}

func refusals() map[string]refusal {
	return map[string]refusal{
		"stall":                     {tsptest.Faults{Stall: true}, tsp.ErrUnavailable, "no answer within 150ms"},
		"slow body":                 {tsptest.Faults{Slow: 20 * time.Millisecond}, tsp.ErrUnavailable, "no answer within 150ms"},
		"status 503":                {tsptest.Faults{Status: 503}, tsp.ErrUnavailable, "HTTP status 503"},
		"status 404":                {tsptest.Faults{Status: 404}, tsp.ErrUnavailable, "HTTP status 404"},
		"status 299":                {tsptest.Faults{Status: 299}, tsp.ErrUnavailable, "HTTP status 299"},
		"other content type":        {tsptest.Faults{ContentType: "text/html"}, tsp.ErrAnswer, "content type"},
		"no content type":           {tsptest.Faults{ContentType: ";"}, tsp.ErrAnswer, "content type"},
		"garbage":                   {tsptest.Faults{Body: []byte("<html>busy</html>")}, tsp.ErrAnswer, "no time-stamp response: "},
		"empty":                     {tsptest.Faults{Body: []byte{}}, tsp.ErrAnswer, "is missing"},
		"truncated":                 {tsptest.Faults{Truncate: 100}, tsp.ErrAnswer, "is longer than what it is in"},
		"bytes behind":              {tsptest.Faults{Body: []byte{0x30, 0, 0x30, 0}}, tsp.ErrAnswer, "at byte 2: element: goes on behind its end"},
		"granted without token":     {tsptest.Faults{Body: []byte{0x30, 5, 0x30, 3, 2, 1, 0}}, tsp.ErrAnswer, "status 0 without a token"},
		"huge":                      {tsptest.Faults{Size: 1 << 20}, tsp.ErrAnswer, "more than 65536 bytes"},
		"endless":                   {tsptest.Faults{Endless: true}, tsp.ErrAnswer, "more than 65536 bytes"},
		"rejection":                 {tsptest.Faults{Reject: &tsptest.Rejection{Status: 2, FailBit: 15, Text: "not\nyours"}}, tsp.ErrRejected, "status 2 (rejection), unacceptedPolicy: not?yours"},
		"waiting":                   {tsptest.Faults{Reject: &tsptest.Rejection{Status: 3, FailBit: -1}}, tsp.ErrRejected, "status 3 (waiting)"},
		"unknown status":            {tsptest.Faults{Reject: &tsptest.Rejection{Status: 77, FailBit: 25}}, tsp.ErrRejected, "status 77 (unknown), systemFailure"},
		"other imprint":             {tsptest.Faults{OtherImprint: true}, tsp.ErrImprint, ""},
		"other hash":                {tsptest.Faults{OtherHash: true}, tsp.ErrImprint, "SHA3-256"},
		"other nonce":               {tsptest.Faults{OtherNonce: true}, tsp.ErrNonce, ""},
		"no nonce":                  {tsptest.Faults{NoNonce: true}, tsp.ErrNonce, ""},
		"other policy":              {tsptest.Faults{OtherPolicy: true}, tsp.ErrPolicy, "2.999.3161.1.999, not 2.999.3161.1"},
		"policy by grantedWithMods": {tsptest.Faults{OtherPolicy: true, GrantedWithMods: true}, tsp.ErrPolicy, ""},
		"early":                     {tsptest.Faults{Skew: -10 * time.Minute}, tsp.ErrTime, "-10m0s from now, at most 5m0s"},
		"late":                      {tsptest.Faults{Skew: 10 * time.Minute}, tsp.ErrTime, "10m0s from now"},
		"bad signature":             {tsptest.Faults{BadSignature: true}, tsp.ErrSignature, ""},
		"bad digest":                {tsptest.Faults{BadDigest: true}, tsp.ErrSignature, ""},
		"expired":                   {tsptest.Faults{Certificate: tsptest.Expired}, tsp.ErrChain, "expired or is not yet valid"},
		"not yet valid":             {tsptest.Faults{Certificate: tsptest.NotYetValid}, tsp.ErrChain, "expired or is not yet valid"},
		"untrusted":                 {tsptest.Faults{Certificate: tsptest.Untrusted}, tsp.ErrChain, "signed by unknown authority"},
		"other usage":               {tsptest.Faults{Certificate: tsptest.OtherUsage}, tsp.ErrSigner, "not for time-stamping alone"},
		"more usages":               {tsptest.Faults{Certificate: tsptest.MoreUsages}, tsp.ErrSigner, "not for time-stamping alone"},
		"usage not critical":        {tsptest.Faults{Certificate: tsptest.UncriticalUsage}, tsp.ErrSigner, "not critical"},
		"no usage":                  {tsptest.Faults{Certificate: tsptest.NoUsage}, tsp.ErrSigner, "no extended key usage"},
		"no certificates":           {tsptest.Faults{NoCertificates: true}, tsp.ErrSigner, "its certificate is not there"},
		"no signing-certificate":    {tsptest.Faults{NoSigningCertificate: true}, tsp.ErrSigner, "neither signing-certificate"},
		"other signing-certificate": {tsptest.Faults{OtherSigningCertificate: true}, tsp.ErrSigner, "names another"},
		"two signers":               {tsptest.Faults{TwoSigners: true}, tsp.ErrMalformed, "2 signatures"},
	}
}

// Everything that an authority may do wrong. Each is refused for its own reason, and the next authority is asked.
func TestStampRefuses(t *testing.T) {
	const patience = 150 * time.Millisecond // of the client with an authority that is slow on purpose
	s, good := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			s.Misbehave(c.faults)
			bad := s.authority("bad")
			bad.Policy = s.Policy()
			if c.faults.Stall || c.faults.Slow > 0 {
				bad.Timeout = patience
			}
			_, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{bad}}))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "no time-stamp: bad: ") {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("%v looks as if the caller's time were over", err)
			}
			if token, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{bad, good.authority("good")}})); err != nil || !must(tsp.Parse(token)).Signer.Equal(good.Certificate()) {
				t.Errorf("no token of the second authority: %v", err)
			}
		})
	}
}

// What looks odd and is right.
func TestStampAccepts(t *testing.T) {
	s := serve(t, tsptest.Options{})
	for name, f := range map[string]tsptest.Faults{
		"granted with modifications": {GrantedWithMods: true},
		"signing-certificate v1":     {SigningCertificateV1: true},
		"key identifier":             {KeyIdentifier: true},
		"parameter of content type":  {ContentType: "Application/Timestamp-Reply; charset=binary"},
		"large":                      {Size: 60 << 10},
		"clock a little off":         {Skew: -4 * time.Minute},
		"other policy":               {OtherPolicy: true}, // none was demanded
		"BER":                        {BER: true, Size: 10 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			s.Misbehave(f)
			token, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{s.authority("odd")}}))
			if err != nil {
				t.Fatal(err)
			}
			if shown := openssl(t, nil, token, nil, "asn1parse", "-inform", "DER", "-in", "token"); !strings.Contains(shown, "id-smime-ct-TSTInfo") || strings.Contains(shown, "l=inf") {
				t.Error("not DER:", shown)
			}
			judge, want := []string{"ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-untrusted", "ca.pem"}, "Verification: OK"
			if f.KeyIdentifier { // PKCS #7, on which `openssl ts` is built, has no such thing
				judge, want = []string{"cms", "-verify", "-cades", "-inform", "DER", "-in", "token", "-purpose", "timestampsign", "-certfile", "ca.pem", "-out", "info"}, "CAdES Verification successful"
			}
			if said := openssl(t, s.TSA, token, []byte("content"), judge...); !strings.Contains(said, want) {
				t.Error(said)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	a := tsp.Authority{Name: "gone", URL: s.URL, Roots: x509.NewCertPool()}
	if _, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})); !errors.Is(err, tsp.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	// TLS to a server whose certificate nobody knows.
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of what is wanted here
	secure.StartTLS()
	defer secure.Close()
	a.URL = secure.URL
	if _, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})); !errors.Is(err, tsp.ErrUnavailable) || !strings.Contains(err.Error(), "not trusted") {
		t.Error(err)
	}
}

// The reasons of all authorities are in the error, in one line.
func TestAllReasons(t *testing.T) {
	one, two := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	one.Misbehave(tsptest.Faults{Status: 500})
	two.Misbehave(tsptest.Faults{OtherImprint: true})
	_, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{one.authority("one"), two.authority("two")}}))
	if !errors.Is(err, tsp.ErrUnavailable) || !errors.Is(err, tsp.ErrImprint) ||
		err.Error() != "no time-stamp: one: authority not available: HTTP status 500; two: time-stamp token refused: it covers another digest" {
		t.Error(err)
	}
}

// clock is one that tests turn.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) turn(by time.Duration) { c.offset.Add(int64(by)) }

// An authority that failed is asked after the others for a while, and still asked when the others fail.
func TestCircuit(t *testing.T) {
	one, two := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	var c clock
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{one.authority("one"), two.authority("two")}, Now: c.now, Rest: 30 * time.Second})
	step := func(what string, want1, want2 int) {
		t.Helper()
		before1, before2 := one.Requests(), two.Requests()
		if _, err := stampOnce(client); err != nil {
			t.Fatal(what, err)
		}
		if got1, got2 := one.Requests()-before1, two.Requests()-before2; got1 != want1 || got2 != want2 {
			t.Errorf("%s: asked %d and %d times, want %d and %d", what, got1, got2, want1, want2)
		}
	}
	step("both good", 1, 0)
	one.Misbehave(tsptest.Faults{Status: 503})
	step("the first fails", 1, 1)
	step("the first rests", 0, 1)
	one.Misbehave(tsptest.Faults{})
	step("the first is well again and rests", 0, 1)
	two.Misbehave(tsptest.Faults{Status: 503})
	step("the second fails", 1, 1)
	step("the first has proven itself", 1, 0)
	two.Misbehave(tsptest.Faults{})
	one.Misbehave(tsptest.Faults{Status: 503})
	c.turn(20 * time.Second)
	step("both rest, the second longer", 1, 1)
	one.Misbehave(tsptest.Faults{})
	c.turn(31 * time.Second)
	step("the rest is over", 1, 0)
}

// The caller's end is the caller's: it is told so, and the authority is not blamed for a call that was given up.
func TestCallerEnds(t *testing.T) {
	s, good := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	giveUp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel() // the caller, while we work; later it has no effect
		s.Handler().ServeHTTP(w, r)
	}))
	defer giveUp.Close()
	s.url = giveUp.URL
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{s.authority("one"), good.authority("two")}})
	s.Misbehave(tsptest.Faults{Stall: true})
	if _, err := client.Stamp(ctx, crypto.SHA256, digest[:]); !errors.Is(err, context.Canceled) || good.Requests() != 0 {
		t.Errorf("%v; the second was asked %d times", err, good.Requests())
	}
	s.Misbehave(tsptest.Faults{})
	if _, err := stampOnce(client); err != nil || s.Requests() != 2 {
		t.Errorf("%v; the first was asked %d times", err, s.Requests())
	}
	// With a deadline, the first authority does not eat the time of the second.
	s.Misbehave(tsptest.Faults{Stall: true})
	short, end := context.WithTimeout(context.Background(), 2*time.Second)
	defer end()
	if _, err := client.Stamp(short, crypto.SHA256, digest[:]); err != nil || good.Requests() != 1 {
		t.Errorf("%v; the second was asked %d times", err, good.Requests())
	}
}

// A caller whose time is over, or who has next to none, finds no authority at fault.
func TestCallerInAHurry(t *testing.T) {
	s, other := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{s.authority("one"), other.authority("two")}})
	over, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := client.Stamp(over, crypto.SHA256, digest[:]); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "no time-stamp: context deadline exceeded" {
		t.Error(err)
	}
	if _, err := client.MaxSize(over, crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	s.Misbehave(tsptest.Faults{Stall: true})
	other.Misbehave(tsptest.Faults{Stall: true})
	soon, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Stamp(soon, crypto.SHA256, digest[:]); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, tsp.ErrUnavailable) {
		t.Error(err)
	}
	s.Misbehave(tsptest.Faults{})
	other.Misbehave(tsptest.Faults{})
	before := other.Requests()
	if _, err := stampOnce(client); err != nil || other.Requests() != before {
		t.Errorf("%v, the second was asked", err)
	}
}

// A server closes an idle connection at the moment of the next request: that is nobody's failure.
func TestStaleConnection(t *testing.T) {
	s := serve(t, tsptest.Options{})
	var n atomic.Int64
	stale := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["Idempotency-Key"]; sent {
			t.Error("a mark for net/http was sent")
		}
		if n.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		s.Handler().ServeHTTP(w, r)
	}))
	defer stale.Close()
	s.url = stale.URL
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{s.authority("stale")}})
	for range 2 {
		if _, err := stampOnce(client); err != nil {
			t.Error(err)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d requests", n.Load())
	}
}

func TestConcurrency(t *testing.T) {
	one, two := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	one.Misbehave(tsptest.Faults{Stall: true})
	first := one.authority("one")
	first.Timeout = 100 * time.Millisecond
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{first, two.authority("two")}})
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 100 {
		wg.Go(func() {
			if size, err := client.MaxSize(context.Background(), crypto.SHA256); err != nil || size < 1000 {
				t.Errorf("%d, %v", size, err)
			}
			token, err := stampOnce(client)
			if err != nil {
				t.Error(err)
				return
			}
			if must(tsp.Parse(token)).Covers(crypto.SHA256, digest[:]) == nil {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 100 || two.Requests() != 101 {
		t.Errorf("%d good ones, %d requests to the second", good.Load(), two.Requests())
	}
	if n := one.Requests(); n < 1 || n > 2 {
		t.Errorf("the authority that stalls was asked %d times", n)
	}
}

func TestConfig(t *testing.T) {
	good := func() tsp.Config {
		return tsp.Config{
			Authorities: []tsp.Authority{{Name: "a", URL: "https://tsa.example", Roots: x509.NewCertPool()}},
			HTTP:        http.DefaultClient, Now: time.Now, Random: rand.Reader,
		}
	}
	for name, change := range map[string]func(*tsp.Config){
		"no authorities": func(c *tsp.Config) { c.Authorities = nil },
		"no client":      func(c *tsp.Config) { c.HTTP = nil },
		"no clock":       func(c *tsp.Config) { c.Now = nil },
		"no randomness":  func(c *tsp.Config) { c.Random = nil },
		"negative":       func(c *tsp.Config) { c.Rest = -1 },
		"no limit":       func(c *tsp.Config) { c.MaxAnswer = 1 << 30 },
		"ftp":            func(c *tsp.Config) { c.Authorities[0].URL = "ftp://tsa.example" },
		"no host":        func(c *tsp.Config) { c.Authorities[0].URL = "http://" },
		"no name":        func(c *tsp.Config) { c.Authorities[0].Name = "" },
		"no roots":       func(c *tsp.Config) { c.Authorities[0].Roots = nil },
		"no policy":      func(c *tsp.Config) { c.Authorities[0].Policy = asn1.ObjectIdentifier{9} },
		"secret over http": func(c *tsp.Config) {
			c.Authorities[0].URL, c.Authorities[0].Authorize = "http://tsa.example", tsp.BasicAuth("u", "p")
		},
		"secret in the address": func(c *tsp.Config) { c.Authorities[0].URL = "http://u:p@tsa.example" },
	} {
		c := good()
		change(&c)
		if _, err := tsp.New(c); !errors.Is(err, tsp.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, err := tsp.New(good())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []crypto.Hash{0, crypto.SHA1, crypto.MD5, crypto.SHA512} {
		if _, err := client.Stamp(context.Background(), h, digest[:20]); !errors.Is(err, tsp.ErrInput) {
			t.Error(h, err)
		}
	}
	broken := good()
	broken.Random = strings.NewReader("")
	if _, err := stampOnce(must(tsp.New(broken))); !errors.Is(err, tsp.ErrRandom) || !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
