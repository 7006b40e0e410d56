// Package web fetches what certificates point to. The addresses were chosen by others, so each is checked: the name and the port
// against a policy, and every address that the name resolves to before it is dialled, so that neither a redirect nor a name
// that changes its address leads into the house. Sizes and times are bounded, nothing is decompressed, and no proxy is used.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrForbidden: the policy does not allow to connect there.
	ErrForbidden = errors.New("address is not allowed")
	// ErrTooLarge: more bytes than the limit.
	ErrTooLarge = errors.New("too large")
	// ErrUnreachable: no connection, or it broke, or took too long.
	ErrUnreachable = errors.New("not reachable")
)

// Policy says what may be fetched. The zero value allows nothing.
type Policy struct {
	// Hosts may be asked. An entry that begins with a dot stands for all names below it.
	Hosts []string
	// AnyHost allows every name; addresses are checked all the same.
	AnyHost bool
	// Ports that may be used. nil: 80 and 443.
	Ports []uint16
	// Inside are addresses that may be connected to although they are not public, such as those of a CA in the same house.
	Inside []netip.Prefix
	// Timeout ends one request with all its redirects. 0: 15 seconds.
	Timeout time.Duration

	// Resolve returns the addresses of a name. nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address that was checked. nil: TCP.
	Dial func(ctx context.Context, address netip.AddrPort) (net.Conn, error)
	// TLS is for https. nil: the roots of the system.
	TLS *tls.Config
	// Wrap may put something around the transport, for instance to count or trace. nil: nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

const (
	maxURL       = 2048 // bytes
	maxAddresses = 4    // of a name that are tried
)

// notPublic are ranges of global unicast addresses, or what looks so, that are not hosts on the public network, by the
// special-purpose registries of RFC 6890. Among them are those that carry an IPv4 address: NAT64, 6to4, Teredo.
func notPublic() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

// public reports whether an address is that of a host on the public network.
func (f *Client) public(a netip.Addr) bool {
	if a.Is6() && !f.global6.Contains(a) {
		return false // with it ::1, ::/96, 64:ff9b::/96, fc00::/7, fe80::/10, fec0::/10, ff00::/8
	}
	return !slices.ContainsFunc(f.special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// allowed checks an address before it is dialled.
func (f *Client) allowed(a netip.Addr) error {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" {
		return fmt.Errorf("%w: an address with a zone", ErrForbidden)
	}
	if f.public(a) || slices.ContainsFunc(f.policy.Inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	return fmt.Errorf("%w: it is not public", ErrForbidden)
}

// check judges a URL by everything but the addresses behind its name. Every redirect comes here, too.
func (f *Client) check(u *url.URL) error {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: only http and https are", ErrForbidden)
	case u.User != nil:
		return fmt.Errorf("%w: it has a user name", ErrForbidden)
	case u.Opaque != "" || host == "":
		return fmt.Errorf("%w: it has no host", ErrForbidden)
	case len(u.String()) > maxURL:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrForbidden, maxURL)
	}
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if p := u.Port(); p != "" {
		var err error
		if port, err = strconv.ParseUint(p, 10, 16); err != nil {
			return fmt.Errorf("%w: its port is no number", ErrForbidden)
		}
	}
	if !slices.Contains(f.ports, uint16(port)) {
		return fmt.Errorf("%w: port %d is not", ErrForbidden, port)
	}
	if f.policy.AnyHost || slices.ContainsFunc(f.policy.Hosts, func(h string) bool { return matches(host, strings.ToLower(h)) }) {
		return nil
	}
	return fmt.Errorf("%w: the host is not on the list", ErrForbidden)
}

func matches(host, rule string) bool {
	return host == rule || strings.HasPrefix(rule, ".") && strings.HasSuffix(host, rule)
}

// dial resolves a name once, checks what it stands for, and connects to exactly that: there is no second look-up that could
// answer otherwise.
func (f *Client) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	// A connection may be made for whoever waits longest, so the request that it is for does not end it.
	ctx, cancel := context.WithTimeout(ctx, f.policy.Timeout)
	defer cancel()
	host, p, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return nil, err
	}
	addresses, err := f.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		if err := f.allowed(a); err != nil {
			failed = append(failed, err)
			continue
		}
		conn, err := f.policy.Dial(ctx, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, errors.New("the name has no address")
	}
	return nil, errors.Join(failed...)
}

func (f *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return f.policy.Resolve(ctx, host)
}
