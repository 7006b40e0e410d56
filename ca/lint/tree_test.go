package lint_test

import (
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
)

// node is one DER element that a test can change.
type node struct {
	tag  byte
	body []byte  // primitive
	kids []*node // constructed
}

func read(t testing.TB, der []byte) *node {
	t.Helper()
	list := readAll(t, der)
	if len(list) != 1 {
		t.Fatalf("%d elements, want one", len(list))
	}
	return list[0]
}

func readAll(t testing.TB, der []byte) []*node {
	t.Helper()
	var out []*node
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		n := &node{tag: v.FullBytes[0], body: slices.Clone(v.Bytes)}
		if v.IsCompound {
			n.kids = readAll(t, v.Bytes)
		}
		out = append(out, n)
		der = rest
	}
	return out
}

func (n *node) der() []byte {
	body := n.body
	if n.tag&0x20 != 0 {
		body = nil
		for _, k := range n.kids {
			body = append(body, k.der()...)
		}
	}
	head := []byte{n.tag, byte(len(body))}
	switch {
	case len(body) > 0xffff:
		head = []byte{n.tag, 0x83, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}
	case len(body) > 0xff:
		head = []byte{n.tag, 0x82, byte(len(body) >> 8), byte(len(body))}
	case len(body) > 0x7f:
		head = []byte{n.tag, 0x81, byte(len(body))}
	}
	return append(head, body...)
}

func prim(tag byte, body string) *node          { return &node{tag: tag, body: []byte(body)} }
func seq(kids ...*node) *node                   { return &node{tag: 0x30, kids: kids} }
func cons(tag byte, kids ...*node) *node        { return &node{tag: tag, kids: kids} }
func (n *node) drop(i int)                      { n.kids = slices.Delete(n.kids, i, i+1) }
func (n *node) add(kids ...*node)               { n.kids = append(n.kids, kids...) }
func (n *node) insert(i int, kids ...*node)     { n.kids = slices.Insert(n.kids, i, kids...) }
func (n *node) find(f func(*node) bool) (i int) { return slices.IndexFunc(n.kids, f) }

func oid(dotted string) *node {
	var id asn1.ObjectIdentifier
	for _, part := range strings.Split(dotted, ".") {
		n := 0
		for _, c := range part {
			n = n*10 + int(c-'0')
		}
		id = append(id, n)
	}
	der, err := asn1.Marshal(id)
	if err != nil {
		panic(err) // a test names an impossible identifier
	}
	return &node{tag: der[0], body: der[2:]}
}

// named tells whether a node starts with an identifier: an extension, an attribute, a statement, a policy.
func named(dotted string) func(*node) bool {
	want := string(oid(dotted).body)
	return func(n *node) bool {
		return len(n.kids) > 0 && n.kids[0].tag == 6 && string(n.kids[0].body) == want
	}
}

// doc is a certificate or a list whose parts tests reach by name.
type doc struct {
	t   testing.TB
	all *node
}

func (d doc) tbs() *node { return d.all.kids[0] }

// Fields of a TBSCertificate with a version.
const (
	fVersion = iota
	fSerial
	fAlgorithm
	fIssuer
	fValidity
	fSubject
	fKey
)

func (d doc) field(i int) *node { return d.tbs().kids[i] }

// extensions returns the SEQUENCE of extensions, the last field of certificate and list alike.
func (d doc) extensions() *node {
	last := d.tbs().kids[len(d.tbs().kids)-1]
	return last.kids[0]
}

func (d doc) extension(id string) *node {
	i := d.extensions().find(named(id))
	if i < 0 {
		d.t.Fatalf("the base has no extension %s", id)
	}
	return d.extensions().kids[i]
}

func (d doc) dropExtension(id string) {
	d.extension(id)
	d.extensions().drop(d.extensions().find(named(id)))
}

func (d doc) addExtension(id string, value *node) {
	d.extensions().add(seq(oid(id), prim(4, string(value.der()))))
}

func (d doc) setExtension(id string, value *node) {
	e := d.extension(id)
	e.kids[len(e.kids)-1].body = value.der()
}

// critical inserts an explicit BOOLEAN.
func (d doc) critical(id string, octet string) { d.extension(id).insert(1, prim(1, octet)) }

// attribute returns the SET of a subject attribute.
func (d doc) attribute(id string) (set *node, at int) {
	at = d.field(fSubject).find(func(n *node) bool { return named(id)(n.kids[0]) })
	if at < 0 {
		d.t.Fatalf("the base has no attribute %s", id)
	}
	return d.field(fSubject).kids[at], at
}

func (d doc) setText(id, text string) {
	set, _ := d.attribute(id)
	set.kids[0].kids[1].body = []byte(text)
}

func (d doc) dropAttribute(id string) {
	_, at := d.attribute(id)
	d.field(fSubject).drop(at)
}

func (d doc) addAttribute(id string, tag byte, text string) {
	d.field(fSubject).add(cons(0x31, seq(oid(id), prim(tag, text))))
}

func (d doc) setTime(i int, tag byte, text string) { d.field(fValidity).kids[i] = prim(tag, text) }

// setAlgorithm writes both algorithm identifiers.
func (d doc) setAlgorithm(inner int, alg *node) {
	d.tbs().kids[inner] = alg
	d.all.kids[1] = alg
}

// statements changes the qcStatements.
func (d doc) statements(change func(list *node)) {
	e := d.extension(idQC)
	list := read(d.t, e.kids[len(e.kids)-1].body)
	change(list)
	e.kids[len(e.kids)-1].body = list.der()
}

func (d doc) dropStatement(id string) {
	d.statements(func(list *node) { list.drop(list.find(named(id))) })
}

func (d doc) setStatement(id string, info *node) {
	d.statements(func(list *node) { list.kids[list.find(named(id))] = seq(oid(id), info) })
}
