package lint_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// nodes lists a tree's elements, each with its parent.
func nodes(n, parent *node, out [][2]*node) [][2]*node {
	out = append(out, [2]*node{n, parent})
	for _, k := range n.kids {
		out = nodes(k, n, out)
	}
	return out
}

// mutate changes one element of a well-formed structure: drop, double, swap, retag, empty, or change an octet. The
// result mostly stays well-formed, so that it reaches the rules behind the parser.
func mutate(r *rand.Rand, root *node) {
	list := nodes(root, nil, nil)
	pick := list[1+r.IntN(len(list)-1)]
	n, parent := pick[0], pick[1]
	at := slices.Index(parent.kids, n)
	switch r.IntN(7) {
	case 0:
		parent.drop(at)
	case 1:
		parent.insert(at, n)
	case 2:
		other := r.IntN(len(parent.kids))
		parent.kids[at], parent.kids[other] = parent.kids[other], n
	case 3:
		n.tag ^= 1 << r.IntN(5)
	case 4:
		n.body, n.kids = nil, nil
	case 5:
		foreign := list[r.IntN(len(list))][0]
		if !slices.ContainsFunc(nodes(foreign, nil, nil), func(p [2]*node) bool { return p[0] == parent }) {
			parent.insert(at, foreign)
		}
	default:
		if len(n.body) > 0 {
			n.body[r.IntN(len(n.body))] ^= 1 << r.IntN(8)
		}
	}
}

// fixed is what no certificate of a kind and a request may differ in: all but the serial number's random octets, the
// choice of years and the order of extensions.
func fixed(c *x509.Certificate) string {
	var parts []string
	for _, e := range c.Extensions {
		parts = append(parts, fmt.Sprintf("%s %t %x", e.Id, e.Critical, e.Value))
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d %s %x %x %x %v", c.Version, c.SignatureAlgorithm, c.RawIssuer, c.RawSubject, c.RawSubjectPublicKeyInfo, parts)
}

// Thousands of damaged but mostly well-formed structures: no panic, and even without looking at the signature the
// rules let none pass that differs in more than they leave open.
func TestMutatedStructures(t *testing.T) {
	b := newBases(t)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	reached := 0
	for _, one := range b.all() {
		original := must[*x509.Certificate](t)(x509.ParseCertificate(one.der))
		for range 300 {
			root := read(t, one.der)
			for range 1 + r.IntN(2) {
				mutate(r, root)
			}
			changed, err := x509.ParseCertificate(root.der())
			if err == nil {
				reached++
			}
			if lint.Certificate(root.der(), one.want) == nil && fixed(changed) != fixed(original) {
				t.Errorf("kind %d passes: %x", one.want.Kind, root.der())
			}
		}
	}
	for range 300 {
		root := read(t, b.crl)
		mutate(r, root)
		der, want := root.der(), b.wantCRL
		found := lint.CRL(der, want)
		want.Signed = true
		if found == nil && lint.CRL(der, want) == nil && !bytes.Contains(der, read(t, b.crl).kids[0].der()) {
			t.Errorf("list passes: %x", der)
		}
	}
	if reached < 300 {
		t.Errorf("only %d structures came past the parser", reached)
	}
	t.Logf("%d structures came past the parser", reached)
}
