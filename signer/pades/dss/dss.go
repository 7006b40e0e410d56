// Package dss reads and extends the document security store of a PDF (ISO 32000-2 section 12.8.4.3, EN 319 142-1 clause 5.4.2),
// and tells whether what stands in one is evidence for a certificate. Package longterm is its caller.
package dss

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the name of a VRI entry (ISO 32000-2 section 12.8.4.3), no protection
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// kinds of what a document security store holds.
const (
	kindCertificate = iota
	kindOCSP
	kindCRL
	kinds
)

// storeKeys and vriKeys are the names of the arrays in the store and in a VRI entry.
var (
	storeKeys = [kinds]string{"Certs", "OCSPs", "CRLs"}
	vriKeys   = [kinds]string{"Cert", "OCSP", "CRL"}
)

// Store is the document security store of a document as it was found. What is not understood in it stays as it is.
type Store struct {
	dict   pdf.Object        // Ref is zero when it stands in the catalog; Null when there is none
	arrays [kinds]pdf.Object // likewise, in dict
	vri    pdf.Object
	held   revinfo.Evidence
	refs   [kinds]map[[sha256.Size]byte]object.Ref
}

// Read reads the store with all its streams, of at most limit bytes together. Errors wrap pdf.ErrDamaged and
// pdf.ErrTooLarge. An entry of an array that is no readable stream is no evidence, and is passed over. A store of which one
// object is two parts, or the catalog too, is damaged: what is added to the one would be added to the other.
func Read(doc *pdf.Document, limit int64) (*Store, error) {
	d := &Store{}
	for kind := range d.refs {
		d.refs[kind] = map[[sha256.Size]byte]object.Ref{}
	}
	var err error
	if d.dict, err = doc.Part(doc.Catalog().Value.Get("DSS"), object.Dict, "/DSS"); err != nil {
		return nil, err
	}
	if d.vri, err = doc.Part(d.dict.Value.Get("VRI"), object.Dict, "/VRI"); err != nil {
		return nil, err
	}
	for kind, key := range storeKeys {
		if d.arrays[kind], err = doc.Part(d.dict.Value.Get(key), object.Array, "/"+key); err != nil {
			return nil, err
		}
	}
	if err := d.apart(doc.Catalog().Ref); err != nil {
		return nil, err
	}
	for kind, key := range storeKeys {
		for _, e := range d.arrays[kind].Value.Elems {
			if e.Kind != object.Reference {
				continue
			}
			data, err := doc.Stream(e.Ref, limit)
			if errors.Is(err, pdf.ErrTooLarge) {
				return nil, fmt.Errorf("/%s of /DSS: %w", key, err)
			}
			if err != nil {
				continue
			}
			limit -= int64(len(data))
			d.hold(kind, data, e.Ref)
		}
	}
	return d, nil
}

// apart wants the parts of the store to be different objects.
func (d *Store) apart(catalog object.Ref) error {
	seen := map[object.Ref]bool{catalog: true}
	for _, part := range []pdf.Object{d.dict, d.vri, d.arrays[0], d.arrays[1], d.arrays[2]} {
		if part.Ref == (object.Ref{}) {
			continue
		}
		if seen[part.Ref] {
			return fmt.Errorf("%w: %v is more than one part of /DSS", pdf.ErrDamaged, part.Ref)
		}
		seen[part.Ref] = true
	}
	return nil
}

// Held returns what could be read, DER. It must not be changed.
func (d *Store) Held() revinfo.Evidence { return d.held }

// Lists reports whether the store says what of it belongs to the signature of a Key.
func (d *Store) Lists(key string) bool { return d.vri.Value.Get(key).Kind != object.Null }

func (d *Store) hold(kind int, data []byte, ref object.Ref) {
	sum := sha256.Sum256(data)
	if _, there := d.refs[kind][sum]; there {
		return
	}
	d.refs[kind][sum] = ref
	held := items(&d.held, kind)
	*held = append(*held, data)
}

// items returns the part of e that is of a kind.
func items(e *revinfo.Evidence, kind int) *[][]byte {
	return [kinds]*[][]byte{&e.Certificates, &e.OCSPs, &e.CRLs}[kind]
}

// Proof is the evidence for one signature or document time-stamp.
type Proof struct {
	Key      string // of its VRI entry
	Evidence revinfo.Evidence
}

// Key returns the name under which a store lists what belongs to a signature: the SHA-1 of the value of /Contents, which
// is the decoded string with the zeros that fill it up (ISO 32000-2 section 12.8.4.3), in capitals.
func Key(contents []byte) string {
	return fmt.Sprintf("%X", sha1.Sum(contents)) //nolint:gosec // as above
}

// Update writes what of the proofs is not in the store yet, each as a stream of its own, and reports whether there was
// anything. Every old entry stays as it is and where it is; a VRI entry that exists is never changed, because readers
// compare it with that of an earlier revision. Streams are not compressed: certificates and OCSP answers hardly shrink, and
// so the bytes do not depend on the version of a compressor.
func (d *Store) Update(doc *pdf.Document, u *pdf.Update, proofs []Proof) (changed bool) {
	dict := d.dict.Value
	if dict.Kind == object.Null {
		dict = object.Value{Kind: object.Dict, Raw: []byte("<< /Type /DSS >>")}
	}
	before := dict.Raw
	for kind, key := range storeKeys {
		added := d.addStreams(u, kind, proofs)
		if len(added) == 0 {
			continue
		}
		changed = true
		array := object.Value{Kind: object.Array, Raw: []byte("[]")}
		if d.arrays[kind].Value.Kind == object.Array {
			array = d.arrays[kind].Value
		}
		raw := array.Append(added)
		if ref := d.arrays[kind].Ref; ref != (object.Ref{}) {
			u.Put(ref, raw)
		} else {
			dict = dict.With(key, raw)
		}
	}
	if vri, more := d.withEntries(proofs); more {
		changed = true
		if d.vri.Ref != (object.Ref{}) {
			u.Put(d.vri.Ref, vri)
		} else {
			dict = dict.With("VRI", vri)
		}
	}
	catalog := doc.Catalog()
	switch {
	case bytes.Equal(dict.Raw, before):
	case d.dict.Ref != (object.Ref{}):
		u.Put(d.dict.Ref, dict.Raw)
	case d.dict.Value.Kind == object.Dict:
		u.Put(catalog.Ref, catalog.Value.With("DSS", dict.Raw).Raw)
	default:
		ref := u.New()
		u.Put(ref, dict.Raw)
		u.Put(catalog.Ref, catalog.Value.With("DSS", []byte(ref.String())).Raw)
	}
	return changed
}

// addStreams writes the missing items of a kind and returns their references, as the inside of an array.
func (d *Store) addStreams(u *pdf.Update, kind int, proofs []Proof) (added []byte) {
	for _, p := range proofs {
		for _, data := range *items(&p.Evidence, kind) {
			if _, there := d.refs[kind][sha256.Sum256(data)]; there {
				continue
			}
			ref := u.New()
			body := fmt.Appendf(nil, "<< /Length %d >>\nstream\n", len(data))
			body = append(append(body, data...), "\nendstream"...)
			u.Put(ref, body)
			d.hold(kind, data, ref)
			if len(added) > 0 {
				added = append(added, ' ')
			}
			added = append(added, ref.String()...)
		}
	}
	return added
}

// withEntries returns the VRI dictionary with an entry for each proof that has none, and whether there was one.
func (d *Store) withEntries(proofs []Proof) (raw []byte, more bool) {
	vri := d.vri.Value
	if vri.Kind == object.Null {
		vri = object.Value{Kind: object.Dict, Raw: []byte("<< >>")}
	}
	for _, p := range proofs {
		if p.Evidence.Empty() || vri.Get(p.Key).Kind != object.Null {
			continue
		}
		more = true
		entry := []byte("<<")
		for kind, key := range vriKeys {
			if listed := *items(&p.Evidence, kind); len(listed) > 0 {
				entry = fmt.Appendf(entry, " /%s [", key)
				for _, data := range listed {
					entry = fmt.Appendf(entry, " %v", d.refs[kind][sha256.Sum256(data)])
				}
				entry = append(entry, " ]"...)
			}
		}
		vri = vri.With(p.Key, append(entry, " >>"...))
	}
	return vri.Raw, more
}
