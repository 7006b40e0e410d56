package pades

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

// Prepare lays out a new revision of the PDF in r with one more signature, in a new field or in an empty one that the
// document has, leaves room for the CMS, and hashes everything else in one pass, using memory for the revision only.
// r must not change meanwhile.
//
// It refuses what cannot be signed without harm: the errors of packages pdf, sigfield and appearance, ErrOptions, and
// cades.ErrInput for a chain that does not fit the algorithm.
func Prepare(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Prepared, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Prepared{baseSize: size, algorithm: o.Algorithm, claims: o.claims()}
	for _, c := range o.Chain {
		p.chain = append(p.chain, bytes.Clone(c))
	}
	var err error
	if p.reserve, err = reserve(o); err != nil {
		return nil, err
	}
	if err := p.revise(r, o); err != nil {
		return nil, err
	}
	if err := p.hash(ctx, r, o); err != nil {
		return nil, err
	}
	p.attributes, err = cades.SignedAttributes(cades.PAdES, o.claims().attributes(o.Chain[0], p.digest, o.Algorithm))
	if err != nil {
		return nil, err
	}
	return p, nil
}

// revise reads the document and, if everything in it allows a signature, lays out the revision.
func (p *Prepared) revise(r io.ReaderAt, o Options) error {
	doc, err := pdf.Open(r, p.baseSize, o.Limits)
	if err != nil {
		return err
	}
	form, err := doc.Form()
	if err != nil {
		return err
	}
	if form.XFA {
		return pdf.ErrXFA
	}
	if err := sigfield.Permitted(doc, form, cmp.Or(o.FieldName, sigfield.FreeName(form, "Signature")), o.Certification); err != nil {
		return err
	}
	field, err := sigfield.Choose(doc, form, sigfield.Wish{Name: o.FieldName, Existing: o.ExistingField, Offer: sigfield.Offer{
		Reason: o.Reason, Hash: o.Algorithm.Hash(), Certification: o.Certification, Chain: o.Chain,
	}})
	if errors.Is(err, sigfield.ErrName) {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err != nil {
		return err
	}
	return p.layOut(doc, form, field, o)
}

// reserve computes the greatest size of the CMS from the chain: everything in it is known but the signature value.
func reserve(o Options) (int, error) {
	if len(o.Chain) == 0 {
		return 0, fmt.Errorf("%w: no certificate", ErrOptions)
	}
	digest := make([]byte, o.Algorithm.Hash().Size())
	attrs, err := cades.SignedAttributes(cades.PAdES, o.claims().attributes(o.Chain[0], digest, o.Algorithm))
	if err != nil {
		return 0, err
	}
	n, err := cades.MaxSize(cades.Parts{SignedAttributes: attrs, Algorithm: o.Algorithm, Chain: o.Chain})
	return n + o.Reserve, err
}

// layOut writes the new revision and cuts it at the place of the CMS.
func (p *Prepared) layOut(doc *pdf.Document, form *pdf.Form, field sigfield.Target, o Options) error {
	u, err := pages.NewUpdate(doc)
	if err != nil {
		return err
	}
	refs, err := field.Reference(doc, o.Certification)
	if err != nil {
		return err
	}
	sig := u.New()
	var certification, added object.Ref
	if o.Certification != sigfield.Approval {
		certification = sig
	}
	entry, err := sigfield.Register(doc, form, certification)
	if err != nil {
		return err
	}
	if field.IsNew() {
		added = u.New()
	}
	body, rangeAt, holeAt := signatureDict(o, p.reserve, refs)
	start := u.Put(sig, body)
	rangeAt, holeAt = rangeAt+start-p.baseSize, holeAt+start-p.baseSize // now from the start of the revision
	if err := field.Put(u, doc, form, added, sig, look(o)); err != nil {
		return err
	}
	entry.Put(u, added)
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
func signatureDict(o Options, reserve int, reference []byte) (body []byte, rangeAt, holeAt int64) {
	b := bytes.NewBufferString("<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached\n/ByteRange ")
	rangeAt = int64(b.Len())
	widest := len(fmt.Sprintf("[0 %d %d %d]", pdf.MaxSize, pdf.MaxSize, pdf.MaxSize))
	b.WriteString(strings.Repeat(" ", widest) + "\n/Contents ")
	holeAt = int64(b.Len())
	b.WriteString("<" + strings.Repeat("0", 2*reserve) + ">")
	fmt.Fprintf(b, "\n/M (D:%sZ)", o.SigningTime.UTC().Format("20060102150405"))
	for _, t := range []struct{ key, text string }{{"Name", o.Name}, {"Reason", o.Reason}, {"Location", o.Location}, {"ContactInfo", o.Contact}} {
		if t.text != "" {
			fmt.Fprintf(b, " /%s %s", t.key, object.TextString(t.text))
		}
	}
	if len(reference) > 0 {
		fmt.Fprintf(b, " %s", reference)
	}
	b.WriteString(" >>")
	return b.Bytes(), rangeAt, holeAt
}

// hash reads the original once, for its own digest and for that over the ByteRange of the finished file, which is the
// original and the revision around the CMS.
func (p *Prepared) hash(ctx context.Context, r io.ReaderAt, o Options) error {
	w := p.algorithm.Hash().New()
	into := io.Writer(w)
	if o.Beside != nil {
		into = io.MultiWriter(w, o.Beside)
	}
	if o.Hashed != nil {
		c, err := o.Hashed.Clone()
		if err != nil {
			return fmt.Errorf("pades: state of the hash: %w", err)
		}
		if c.Size() != w.Size() {
			return fmt.Errorf("%w: the state is of another hash", ErrOptions)
		}
		w = c
	} else if err := hashRange(ctx, into, r, 0, p.baseSize); err != nil {
		return err
	}
	p.original = w.Sum(nil)
	w.Write(p.head) // a hash never returns an error
	w.Write(p.foot)
	p.digest = w.Sum(nil)
	return nil
}
