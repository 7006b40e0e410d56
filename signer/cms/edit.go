package cms

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Additions are what can be added to a SignedData. Elements that are there already are left out. A set that is sorted as
// DER wants stays sorted, else elements come last; a field that was absent is made.
type Additions struct {
	DigestAlgorithms [][]byte         // AlgorithmIdentifier each
	Certificates     [][]byte         // CertificateChoices each
	RevocationInfos  [][]byte         // RevocationInfoChoice each: a CRL as it is, an OCSP answer by NewOCSP
	Unsigned         map[int][][]byte // by the index of the signer: Attribute each, as NewAttribute makes it
	Append           bool             // unsigned attributes come last also in a sorted set
}

// NewAttribute encodes an Attribute with one value; typ and value are with tag and length.
func NewAttribute(typ, value []byte) []byte { return wrap(tagSequence, typ, wrap(tagSet, value)) }

// Add returns the file with the additions, and SignedData.version raised where they demand it (RFC 5652 section 5.1).
func (s *SignedData) Add(a Additions) ([]byte, error) {
	var out bytes.Buffer
	if _, err := s.WriteAdded(&out, a); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// WriteAdded writes the file with the additions to w, the content straight from where it lies, and returns the number of
// octets written.
func (s *SignedData) WriteAdded(w io.Writer, a Additions) (int64, error) {
	patches, err := s.patches(a)
	if err != nil {
		return 0, err
	}
	var written, at int64
	for _, p := range append(patches, patch{off: s.src.size}) {
		n, err := io.Copy(w, s.src.section(at, p.off-at))
		written += n
		if err == nil && n < p.off-at {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			var m int
			m, err = w.Write(p.add)
			written += int64(m)
		}
		if err != nil {
			return written, fmt.Errorf("cms: copying from byte %d: %w", at, err)
		}
		at = p.off + p.drop
	}
	return written, nil
}

// patch replaces drop octets at off.
type patch struct {
	off, drop int64
	add       []byte
}

type editor struct {
	patches []patch
	err     error
}

// patches lists, in the order of the file, what changes: from the inside out, because containers grow by what is in them.
func (s *SignedData) patches(a Additions) ([]patch, error) {
	for i := range a.Unsigned {
		if i < 0 || i >= len(s.Signers) {
			return nil, fmt.Errorf("%w: signer %d of %d", ErrInput, i, len(s.Signers))
		}
	}
	w := &editor{}
	digests := w.check(a.DigestAlgorithms, s.DigestAlgorithms, isTag(tagSequence), "digest algorithm")
	certs := w.check(a.Certificates, s.Certificates, isCertificate, "certificate")
	crls := w.check(a.RevocationInfos, s.RevocationInfos, isRevocationInfo, "revocation data")
	if w.err != nil {
		return nil, w.err
	}
	grown := w.extend(s.digests, s.DigestAlgorithms, digests, true)
	after := s.encapEnd
	if s.certs.present() {
		after = s.certs.end()
		grown += w.extend(s.certs, s.Certificates, certs, true)
	} else {
		grown += w.field(after, tagContext0, certs)
	}
	if s.crls.present() {
		grown += w.extend(s.crls, s.RevocationInfos, crls, true)
	} else {
		grown += w.field(after, tagContext1, crls)
	}
	grown += w.grow(s.signers, w.signers(s, a))
	if v := s.neededVersion(certs, crls); grown > 0 && v > s.Version {
		w.patches = append(w.patches, patch{s.version, 1, []byte{byte(v)}})
	}
	for _, e := range []element{s.sd, s.wrap, s.root} {
		grown = w.grow(e, grown)
	}
	// Header octets are replaced where the element begins, insertions at the same place belong before it.
	slices.SortStableFunc(w.patches, func(a, b patch) int {
		return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.drop, b.drop))
	})
	return w.patches, w.err
}

func (w *editor) signers(s *SignedData, a Additions) (grown int64) {
	for i, si := range s.Signers {
		old := make([][]byte, 0, len(si.Unsigned))
		for _, u := range si.Unsigned {
			old = append(old, u.Raw)
		}
		added := w.check(a.Unsigned[i], old, isAttribute, fmt.Sprintf("unsigned attribute of signer %d", i))
		if si.unsigned.present() {
			grown += w.grow(si.self, w.extend(si.unsigned, old, added, !a.Append))
		} else {
			grown += w.grow(si.self, w.field(si.self.bodyEnd(), tagContext1, added))
		}
	}
	return grown
}

// check returns the elements to add that are not there yet, sorted.
func (w *editor) check(add, have [][]byte, is func([]byte) bool, what string) (fresh [][]byte) {
	for _, raw := range add {
		p := &parser{src: &source{mem: raw, size: int64(len(raw))}, limits: Limits{}.orDefault()}
		p.skip(p.src.size, what)
		if w.err == nil && (p.err != nil || p.pos != p.src.size || !is(raw)) {
			w.err = fmt.Errorf("%w: %s", ErrInput, what)
		}
		same := func(other []byte) bool { return bytes.Equal(other, raw) }
		if !slices.ContainsFunc(have, same) && !slices.ContainsFunc(fresh, same) {
			fresh = append(fresh, raw)
		}
	}
	return fresh
}

// extend puts elements into the set e and returns by how many octets it grows.
func (w *editor) extend(e element, have, add [][]byte, sort bool) (grown int64) {
	sorted := sort && !e.indefinite && slices.IsSortedFunc(have, bytes.Compare)
	if sorted {
		add = slices.SortedFunc(slices.Values(add), bytes.Compare)
	}
	off := e.body()
	for _, raw := range add {
		if sorted {
			for len(have) > 0 && bytes.Compare(have[0], raw) < 0 {
				off += int64(len(have[0]))
				have = have[1:]
			}
		} else {
			off = e.bodyEnd()
		}
		w.patches = append(w.patches, patch{off: off, add: raw})
		grown += int64(len(raw))
	}
	return w.grow(e, grown)
}

// field makes a set that was absent.
func (w *editor) field(off int64, tag byte, elements [][]byte) int64 {
	if len(elements) == 0 {
		return 0
	}
	field := wrap(tag, slices.SortedFunc(slices.Values(elements), bytes.Compare)...)
	w.patches = append(w.patches, patch{off: off, add: field})
	return int64(len(field))
}

// grow makes room for n more octets in e and returns by how many octets e itself grows.
func (w *editor) grow(e element, n int64) int64 {
	if n == 0 || e.indefinite {
		return n
	}
	octets := 0
	if e.head > 2 {
		octets = int(e.head - 2)
	}
	header := appendLength([]byte{e.tag}, e.length+n, octets)
	w.patches = append(w.patches, patch{e.off, e.head, header})
	return n + int64(len(header)) - e.head
}

// neededVersion is what RFC 5652 section 5.1 demands of the version, with the additions.
func (s *SignedData) neededVersion(certs, crls [][]byte) int {
	has := func(tag byte, sets ...[][]byte) bool {
		return slices.ContainsFunc(slices.Concat(sets...), func(raw []byte) bool { return raw[0] == tag })
	}
	switch {
	case has(tagContext0+3, s.Certificates, certs), has(tagContext1, s.RevocationInfos, crls):
		return 5
	case has(tagContext0+2, s.Certificates, certs):
		return 4
	case has(tagContext1, s.Certificates, certs), s.ContentType.String() != "1.2.840.113549.1.7.1",
		slices.ContainsFunc(s.Signers, func(si *SignerInfo) bool { return si.Version == 3 }):
		return 3
	}
	return 1
}

func isTag(tag byte) func([]byte) bool { return func(raw []byte) bool { return raw[0] == tag } }

func isCertificate(raw []byte) bool {
	return raw[0] == tagSequence || raw[0] >= tagContext0 && raw[0] <= tagContext0+3
}

func isRevocationInfo(raw []byte) bool { return raw[0] == tagSequence || raw[0] == tagContext1 }

func isAttribute(raw []byte) bool {
	p := &parser{src: &source{mem: raw, size: int64(len(raw))}, limits: Limits{}.orDefault()}
	p.attribute(p.src.size, "attribute")
	return p.err == nil && p.pos == p.src.size
}
