package revinfo_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestTrustAddresses tries to have every kind of address dialled that is not a host on the public network, behind a name and as
// it stands in a URL.
func TestTrustAddresses(t *testing.T) {
	inside := []string{
		"127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1", "2002:7f00:1::1",
		"2002:c0a8:101::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
	}
	outside := []string{"93.184.216.34", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "::ffff:93.184.216.34", "2606:2800:220:1::1", "2a00:1450::1"}
	try := func(t *testing.T, address string, literal bool, prefixes ...netip.Prefix) (dialled bool, err error) {
		t.Helper()
		w := newWorld(t, revtest.Options{Depth: 1})
		cfg := w.config()
		u := w.CA(0).CRLURL()
		if literal {
			host := address
			if strings.Contains(address, ":") {
				host = "[" + strings.ReplaceAll(address, "%", "%25") + "]"
			}
			u = strings.Replace(u, "pki.test", host, 1)
			cfg.Network.AnyHost = true
		}
		leaf := issue(t, w.CA(0), revtest.Template{Change: at(u)})
		cfg.Network.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(address)}, nil
		}
		cfg.Network.Inside = prefixes
		dial := cfg.Network.Dial
		cfg.Network.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			dialled = true
			if a.Addr() != netip.MustParseAddr(address).Unmap() || a.Port() != 80 {
				t.Errorf("%s: %s is dialled", address, a)
			}
			return dial(ctx, a)
		}
		_, err = collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
		return dialled, err
	}
	for _, literal := range []bool{false, true} {
		for _, a := range inside {
			if dialled, err := try(t, a, literal); dialled || !errors.Is(err, revinfo.ErrForbidden) {
				t.Errorf("%s, in the URL %v: dialled %v, %v", a, literal, dialled, err)
			}
		}
		for _, a := range outside {
			if dialled, err := try(t, a, literal); !dialled || err != nil {
				t.Errorf("%s, in the URL %v: dialled %v, %v", a, literal, dialled, err)
			}
		}
	}
	if dialled, err := try(t, "10.1.2.3", false, netip.MustParsePrefix("10.1.0.0/16")); !dialled || err != nil {
		t.Errorf("an address that was allowed: dialled %v, %v", dialled, err)
	}
	if dialled, err := try(t, "10.2.2.3", false, netip.MustParsePrefix("10.1.0.0/16")); dialled || err == nil {
		t.Errorf("an address beside those that were allowed: dialled %v, %v", dialled, err)
	}
}

// TestTrustURLs tries addresses that the policy does not allow, whatever is behind them.
func TestTrustURLs(t *testing.T) {
	for _, c := range []struct{ name, url, text string }{
		{"file", "file:///etc/passwd", "is not offered"},
		{"ldap", "ldap://pki.test/cn=CA?certificateRevocationList", "is not offered"},
		{"gopher", "gopher://pki.test/_GET", "is not offered"},
		{"user name", "http://user:secret@pki.test/0/ca.crl", "it has a user name"},
		{"no host", "http:///0/ca.crl", "it has no host"},
		{"other host", "http://other.test/0/ca.crl", "the host is not on the list"},
		{"host that ends alike", "http://evilpki.test/0/ca.crl", "the host is not on the list"},
		{"host below", "http://a.pki.test/0/ca.crl", "the host is not on the list"},
		{"port of another service", "http://pki.test:6379/", "port 6379 is not"},
		{"port out of range", "http://pki.test:99999/", "its port is no number"},
		{"no URL", "http://pki.test/%zz", "it is no URL"},
		{"line feed", "http://pki.test/a\nHost: b", "it is no URL"},
		{"long", "http://pki.test/" + strings.Repeat("a", 2100), "it is no URL of at most 2048 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, revtest.Options{Depth: 1})
			leaf := issue(t, w.CA(0), revtest.Template{Change: at(c.url)})
			cfg := w.config()
			cfg.Network.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
				t.Error("something was dialled")
				return nil, errors.New("no")
			}
			_, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
			if !errors.Is(err, revinfo.ErrNoEvidence) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v; want %q", err, c.text)
			}
		})
	}
	for _, c := range []struct {
		host  string
		hosts []string
	}{{"PKI.test", []string{"pki.TEST"}}, {"pki.test.", []string{"pki.test"}}, {"a.b.pki.test", []string{".pki.test"}}} {
		w := newWorld(t, revtest.Options{Depth: 1})
		leaf := issue(t, w.CA(0), revtest.Template{Change: at(strings.Replace(w.CA(0).CRLURL(), "pki.test", c.host, 1))})
		cfg := w.config()
		cfg.Network.Hosts = c.hosts
		cfg.Network.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
		}
		if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); err != nil {
			t.Errorf("host %s, allowed %s: %v", c.host, c.hosts, err)
		}
	}
}

// TestTrustRedirects has the allowed server send the client to where it must not go.
func TestTrustRedirects(t *testing.T) {
	for _, c := range []struct{ name, to, text string }{
		{"loopback", "http://127.0.0.1/0/ca.crl", "the host is not on the list"},
		{"cloud metadata", "http://169.254.169.254/latest/meta-data/", "the host is not on the list"},
		{"file", "file:///etc/passwd", "only http and https are"},
		{"data", "data:text/plain,abc", "only http and https are"},
		{"other host", "https://other.test/", "the host is not on the list"},
		{"user name", "http://a:b@pki.test/0/ca.crl", "it has a user name"},
		{"port", "http://pki.test:22/", "port 22 is not"},
		{"loop", "http://pki.test/0/ca.crl", "more than 3 redirects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, revtest.Options{Depth: 1})
			leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
			w.Handle(w.CA(0).CRLURL(), revtest.Redirect(c.to))
			_, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start)
			if !errors.Is(err, revinfo.ErrForbidden) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v; want %q", err, c.text)
			}
			if n := len(w.Requests()); c.name == "loop" && n != 4 || c.name != "loop" && n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("name of an inner address", func(t *testing.T) {
		w := newWorld(t, revtest.Options{Depth: 1})
		leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
		w.Handle(w.CA(0).CRLURL(), revtest.Redirect("http://inside.test/0/ca.crl"))
		cfg := w.config()
		cfg.Network.AnyHost = true
		resolve := cfg.Network.Resolve
		cfg.Network.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			if host == "inside.test" {
				return []netip.Addr{netip.MustParseAddr("10.0.0.7")}, nil
			}
			return resolve(ctx, host)
		}
		if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrForbidden) || !strings.Contains(err.Error(), "not public") {
			t.Error(err)
		}
	})
	t.Run("three that are allowed", func(t *testing.T) {
		w := newWorld(t, revtest.Options{Depth: 1})
		leaf := issue(t, w.CA(0), revtest.Template{Change: at("http://pki.test/a")})
		w.Handle("/a", revtest.Redirect("/b"))
		w.Handle("/b", revtest.Redirect("http://pki.test/c"))
		w.Handle("/c", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Referer() != "" {
				t.Errorf("the address before is told: %s", r.Referer())
			}
			revtest.Redirect(w.CA(0).CRLURL()).ServeHTTP(rw, r)
		}))
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); err != nil {
			t.Error(err)
		}
	})
}

// TestTrustRebinding has a name change its address between two questions, and have an inner and a public one at once.
func TestTrustRebinding(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
	public, inner := netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("127.0.0.1")
	var asked atomic.Int32
	var answers [][]netip.Addr
	cfg := w.config()
	cfg.Keep = time.Nanosecond
	cfg.Network.Resolve = func(context.Context, string) ([]netip.Addr, error) { return answers[asked.Add(1)-1], nil }
	dial := cfg.Network.Dial
	cfg.Network.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
		if a.Addr() != public {
			t.Errorf("%s is dialled", a)
		}
		return dial(ctx, a)
	}
	cfg.Network.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Close = true // so that every request connects anew
			return next.RoundTrip(r)
		})
	}
	c := collector(t, cfg)
	answers = [][]netip.Addr{{public}, {inner}, {inner, public}, {}}
	for i, want := range []string{"", "not public", "", "no address"} {
		w.clock.step(time.Second) // what is kept has ended
		_, err := c.Collect(t.Context(), leaf.Raw, nil, start)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("connection %d: %v; want %q", i, err, want)
		}
		if n := asked.Load(); n != int32(i+1) {
			t.Errorf("connection %d: the name was looked up %d times", i, n)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRequests looks at what is sent, and that no proxy can come from the environment.
func TestRequests(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	seen := 0
	check := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen++
		for name := range r.Header {
			if name != "User-Agent" && name != "Accept" && name != "Content-Type" && name != "Content-Length" {
				t.Errorf("header %s: %s", name, r.Header[name])
			}
		}
		if r.Header.Get("User-Agent") != "ecsigner-revinfo" || r.Host != "pki.test" {
			t.Errorf("%v, host %s", r.Header, r.Host)
		}
		http.SetCookie(rw, &http.Cookie{Name: "a", Value: "b"})
		http.Error(rw, "no", http.StatusForbidden)
	})
	leaf := issue(t, w.CA(0), revtest.Template{})
	w.Handle(w.CA(0).CRLURL(), check)
	w.Handle(w.CA(0).OCSPURL(), check)
	cfg := w.config()
	cfg.Network.Wrap = func(next http.RoundTripper) http.RoundTripper {
		if next.(*http.Transport).Proxy != nil {
			t.Error("there may be a proxy")
		}
		return next
	}
	c := collector(t, cfg)
	for range 2 {
		if _, err := c.Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrNoEvidence) {
			t.Error(err)
		}
	}
	if seen != 6 {
		t.Errorf("%d requests; want GET and POST to the responder and one for the list, twice", seen)
	}
}

// TestNothingIsFetched with the zero value of the policy.
func TestNothingIsFetched(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	cfg := w.config()
	cfg.Network = revinfo.Network{}
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, [][]byte{w.Issuing().Raw}, start); !errors.Is(err, revinfo.ErrForbidden) || len(w.Requests()) > 0 {
		t.Error(err)
	}
}

// TestHole: a connection that never comes about ends with the time-out, and leaves nothing behind.
func TestHole(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	cfg := w.config()
	cfg.Network.Timeout = 100 * time.Millisecond
	var dials atomic.Int32
	cfg.Network.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
	if !errors.Is(err, revinfo.ErrNoPath) || !errors.Is(err, revinfo.ErrUnreachable) || dials.Load() != 1 {
		t.Errorf("%d connections tried, %v", dials.Load(), err)
	}
}
