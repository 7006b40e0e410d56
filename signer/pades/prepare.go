package pades

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Prepare lays out a new revision of the PDF in r with one more signature field and its signature, leaves room for the
// CMS, and hashes everything else in one pass, using memory for the revision only. r must not change meanwhile.
//
// It refuses what cannot be signed without harm: the errors of package pdf, ErrCertified, ErrLocked, ErrFieldExists,
// ErrOptions, and cades.ErrInput for a chain that does not fit the algorithm.
func Prepare(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Prepared, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	doc, err := pdf.Open(r, size, o.Limits)
	if err != nil {
		return nil, err
	}
	form, err := doc.Form()
	if err != nil {
		return nil, err
	}
	if form.XFA {
		return nil, pdf.ErrXFA
	}
	if err := permitted(doc, form); err != nil {
		return nil, err
	}
	name, err := fieldName(form, o.FieldName)
	if err != nil {
		return nil, err
	}
	p := &Prepared{baseSize: size, algorithm: o.Algorithm}
	for _, c := range o.Chain {
		p.chain = append(p.chain, bytes.Clone(c))
	}
	if p.reserve, err = reserve(o); err != nil {
		return nil, err
	}
	if err := p.layOut(doc, form, name, o); err != nil {
		return nil, err
	}
	if err := p.hash(ctx, r, o.Hashed); err != nil {
		return nil, err
	}
	p.attributes, err = cades.SignedAttributes(cades.PAdES, cades.Attributes{
		Certificate: o.Chain[0], ContentDigest: p.digest, Algorithm: o.Algorithm,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// reserve computes the greatest size of the CMS from the chain: everything in it is known but the signature value.
func reserve(o Options) (int, error) {
	if len(o.Chain) == 0 {
		return 0, fmt.Errorf("%w: no certificate", ErrOptions)
	}
	attrs, err := cades.SignedAttributes(cades.PAdES, cades.Attributes{
		Certificate: o.Chain[0], ContentDigest: make([]byte, o.Algorithm.Hash().Size()), Algorithm: o.Algorithm,
	})
	if err != nil {
		return 0, err
	}
	n, err := cades.MaxSize(cades.Parts{SignedAttributes: attrs, Algorithm: o.Algorithm, Chain: o.Chain})
	return n + o.Reserve, err
}

// layOut writes the new revision and cuts it at the place of the CMS.
func (p *Prepared) layOut(doc *pdf.Document, form *pdf.Form, name string, o Options) error {
	u, err := doc.NewUpdate()
	if err != nil {
		return err
	}
	sig, field := u.New(), u.New()
	body, rangeAt, holeAt := signatureDict(o, p.reserve)
	start := u.Put(sig, body)
	rangeAt, holeAt = rangeAt+start-p.baseSize, holeAt+start-p.baseSize // now from the start of the revision
	widget, err := o.widget(u, doc, form, field)
	if err != nil {
		return err
	}
	// A field and its widget in one dictionary.
	u.Put(field, fmt.Appendf(nil, "<< /FT /Sig /T %s /V %v /Type /Annot /Subtype /Widget %s >>", pdf.TextString(name), sig, widget))
	addField(u, doc, form, field)
	tail, err := u.Finish()
	if err != nil {
		return err
	}
	hole := int64(2 + 2*p.reserve)
	p.head, p.foot = tail[:holeAt:holeAt], tail[holeAt+hole:]
	br := p.byteRange()
	copy(p.head[rangeAt:], fmt.Sprintf("[%d %d %d %d]", br[0], br[1], br[2], br[3]))
	return nil
}

// signatureDict returns the signature dictionary (ISO 32000-1 table 252) and the places in it of the ByteRange array,
// as wide as its greatest numbers and blank, and of the CMS with its angle brackets. /Cert is absent and /M present
// (EN 319 142-1 clause 6.3).
func signatureDict(o Options, reserve int) (body []byte, rangeAt, holeAt int64) {
	b := bytes.NewBufferString("<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached\n/ByteRange ")
	rangeAt = int64(b.Len())
	widest := len(fmt.Sprintf("[0 %d %d %d]", pdf.MaxSize, pdf.MaxSize, pdf.MaxSize))
	b.WriteString(strings.Repeat(" ", widest) + "\n/Contents ")
	holeAt = int64(b.Len())
	b.WriteString("<" + strings.Repeat("0", 2*reserve) + ">")
	fmt.Fprintf(b, "\n/M (D:%sZ)", o.SigningTime.UTC().Format("20060102150405"))
	for _, t := range []struct{ key, text string }{{"Name", o.Name}, {"Reason", o.Reason}, {"Location", o.Location}} {
		if t.text != "" {
			fmt.Fprintf(b, " /%s %s", t.key, pdf.TextString(t.text))
		}
	}
	b.WriteString(" >>")
	return b.Bytes(), rangeAt, holeAt
}

// addField enters the field into the form and rewrites as few objects as possible, each with only the needed key
// changed: the /Fields array when it is an object of its own, else the form, else the catalog that holds the form.
func addField(u *pdf.Update, doc *pdf.Document, form *pdf.Form, field pdf.Ref) {
	const appendOnlyAndExist = 3 // SigFlags (ISO 32000-1 table 219)
	catalog := doc.Catalog()
	ref := []byte(field.String())
	if form.Dict.Value.Kind == pdf.Null {
		dict := u.New()
		u.Put(dict, fmt.Appendf(nil, "<< /Fields [%s] /SigFlags %d >>", ref, appendOnlyAndExist))
		u.Put(catalog.Ref, catalog.Value.With("AcroForm", []byte(dict.String())).Raw)
		return
	}
	fields := fmt.Appendf(nil, "[%s]", ref)
	if form.List.Value.Kind == pdf.Array {
		fields = form.List.Value.Append(ref)
	}
	dict, changed := form.Dict.Value, false
	if form.List.Ref != (pdf.Ref{}) {
		u.Put(form.List.Ref, fields)
	} else {
		dict, changed = dict.With("Fields", fields), true
	}
	if form.SigFlags&appendOnlyAndExist != appendOnlyAndExist {
		dict, changed = dict.With("SigFlags", strconv.AppendInt(nil, form.SigFlags|appendOnlyAndExist, 10)), true
	}
	switch {
	case !changed:
	case form.Dict.Ref != (pdf.Ref{}):
		u.Put(form.Dict.Ref, dict.Raw)
	default:
		u.Put(catalog.Ref, catalog.Value.With("AcroForm", dict.Raw).Raw)
	}
}

// fieldName returns the wanted name, or the first free one. Names are compared over the whole tree, with and without
// the names of the parents: readers differ in which one they compare.
func fieldName(form *pdf.Form, wanted string) (string, error) {
	taken := map[string]bool{}
	for _, f := range form.Fields {
		taken[f.Name] = true
		taken[f.Name[strings.LastIndexByte(f.Name, '.')+1:]] = true
	}
	if wanted != "" {
		if strings.Contains(wanted, ".") {
			return "", fmt.Errorf("%w: a field name has no '.'", ErrOptions)
		}
		if taken[wanted] {
			return "", fmt.Errorf("%w (%q)", ErrFieldExists, wanted)
		}
		return wanted, nil
	}
	for i := 1; ; i++ {
		if name := "Signature" + strconv.Itoa(i); !taken[name] {
			return name, nil
		}
	}
}

// permitted looks at what earlier signatures allow: certification (DocMDP), field locks by the signature (FieldMDP) and
// by its field (Lock), ISO 32000-1 sections 12.7.4.5 and 12.8.2.
func permitted(doc *pdf.Document, form *pdf.Form) error {
	perms, err := doc.Resolve(doc.Catalog().Value.Get("Perms"))
	if err != nil {
		return err
	}
	certification, err := doc.Resolve(perms.Get("DocMDP"))
	if err != nil {
		return err
	}
	if err := transforms(doc, certification); err != nil {
		return err
	}
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.Kind != pdf.Dict {
			continue
		}
		if err := transforms(doc, f.Value); err != nil {
			return err
		}
		lock, err := doc.Resolve(f.Object.Value.Get("Lock"))
		if err != nil {
			return err
		}
		if err := restrictions(doc, lock); err != nil {
			return err
		}
	}
	return nil
}

// transforms judges the /Reference array of a signature dictionary.
func transforms(doc *pdf.Document, signature pdf.Value) error {
	list, err := doc.Resolve(signature.Get("Reference"))
	if err != nil {
		return err
	}
	for _, e := range list.Elems {
		ref, err := doc.Resolve(e)
		if err != nil {
			return err
		}
		method, err := doc.Resolve(ref.Get("TransformMethod"))
		if err != nil {
			return err
		}
		if method.Text != "DocMDP" && method.Text != "FieldMDP" {
			continue
		}
		params, err := doc.Resolve(ref.Get("TransformParams"))
		if err != nil {
			return err
		}
		if err := restrictions(doc, params); err != nil {
			return err
		}
	}
	return nil
}

// restrictions judges transform parameters and lock dictionaries, whose keys mean the same: /P of 1 forbids every
// change, /Action locks fields. "Include" names the locked fields, and a new field is never among them.
func restrictions(doc *pdf.Document, params pdf.Value) error {
	p, err := doc.Resolve(params.Get("P"))
	if err != nil {
		return err
	}
	action, err := doc.Resolve(params.Get("Action"))
	if err != nil {
		return err
	}
	if p.Kind == pdf.Integer && p.Int == 1 {
		return ErrCertified
	}
	if action.Kind != pdf.Null && action.Text != "Include" {
		return ErrLocked
	}
	return nil
}

// hash reads the original once, for its own digest and for that over the ByteRange of the finished file, which is the
// original and the revision around the CMS.
func (p *Prepared) hash(ctx context.Context, r io.ReaderAt, hashed hash.Cloner) error {
	w := p.algorithm.Hash().New()
	if hashed != nil {
		c, err := hashed.Clone()
		if err != nil {
			return fmt.Errorf("pades: state of the hash: %w", err)
		}
		if c.Size() != w.Size() {
			return fmt.Errorf("%w: the state is of another hash", ErrOptions)
		}
		w = c
	} else if err := hashRange(ctx, w, r, 0, p.baseSize); err != nil {
		return err
	}
	p.original = w.Sum(nil)
	w.Write(p.head) // a hash never returns an error
	w.Write(p.foot)
	p.digest = w.Sum(nil)
	return nil
}
