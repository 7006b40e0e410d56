// Package sigfield knows what a PDF allows and demands of a signature field: certification, locks and seed values, which field
// can be filled or made, and how the form and the catalog come to know it. Package pades is its caller; document time-stamps
// are entered by it too.
package sigfield

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Reasons not to sign. Each text says what to do.
var (
	// ErrCertified: the author certified the document as final (DocMDP with P = 1, ISO 32000-1 section 12.8.2.2).
	ErrCertified = errors.New("document is certified as final and allows no further signature: sign the version before certification")
	// ErrLocked: an earlier signature locks the form fields (FieldMDP), so that filling it would break it.
	ErrLocked = errors.New("an earlier signature locks this form field: sign before that signature is made, or another field")
	// ErrFieldExists: the wanted field name is in use, by a field that is no signature field or is signed.
	ErrFieldExists = errors.New("the document has a form field of this name: choose another name or none")
	// ErrField: the wanted signature field is not there, or cannot be filled.
	ErrField = errors.New("no signature field that can be filled: choose another field")
	// ErrSeedValue: the author of the field demands what the signature does not offer (ISO 32000-2 section 12.7.5.5).
	ErrSeedValue = errors.New("the signature field demands something else: choose another field; demanded is")
	// ErrNotFirst: a certification comes before every other signature (ISO 32000-2 section 12.8.2.2.1).
	ErrNotFirst = errors.New("only the first signature can certify: sign without certification, or certify the version before the first signature")
	// ErrName: a new field cannot have the wanted name.
	ErrName = errors.New("a new field's name has no '.'")
)

// Certification says what may still be done to a document after its author's signature (DocMDP, ISO 32000-2 section
// 12.8.2.2): the /P of the transform parameters.
type Certification uint8

const (
	// Approval is an ordinary signature, which certifies nothing.
	Approval Certification = iota
	// CertifyFinal allows no change at all but evidence and document time-stamps (P = 1).
	CertifyFinal
	// CertifyForms allows to fill in forms and to sign (P = 2).
	CertifyForms
	// CertifyAnnotations allows annotations as well (P = 3).
	CertifyAnnotations
)

// Permitted looks at what earlier signatures allow: certification (DocMDP), field locks by the signature (FieldMDP) and
// by its field (Lock), ISO 32000-2 sections 12.7.5.5 and 12.8.2. field is the fully qualified name of the field that
// is to be signed. Errors: ErrCertified, ErrLocked, ErrNotFirst, those of package pdf.
func Permitted(doc *pdf.Document, form *pdf.Form, field string, want Certification) error {
	perms, err := doc.Resolve(doc.Catalog().Value.Get("Perms"))
	if err != nil {
		return err
	}
	certification, err := doc.Resolve(perms.Get("DocMDP"))
	if err != nil {
		return err
	}
	r := restrictions{doc: doc, field: field}
	if err := r.bySignature(certification); err != nil {
		return err
	}
	first := certification.Kind == object.Null
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.Kind != object.Dict {
			continue
		}
		first = false
		if err := r.bySignature(f.Value); err != nil {
			return err
		}
		lock, err := doc.Resolve(f.Object.Value.Get("Lock"))
		if err != nil {
			return err
		}
		if err := r.byParameters(lock); err != nil {
			return err
		}
	}
	if want != Approval && !first {
		return ErrNotFirst
	}
	return nil
}

// restrictions judges what signatures forbid to one field.
type restrictions struct {
	doc   *pdf.Document
	field string
}

// bySignature judges the /Reference array of a signature dictionary.
func (r restrictions) bySignature(signature object.Value) error {
	list, err := r.doc.Resolve(signature.Get("Reference"))
	if err != nil {
		return err
	}
	for _, e := range list.Elems {
		ref, err := r.doc.Resolve(e)
		if err != nil {
			return err
		}
		method, err := r.doc.Resolve(ref.Get("TransformMethod"))
		if err != nil {
			return err
		}
		if method.Text != "DocMDP" && method.Text != "FieldMDP" {
			continue
		}
		params, err := r.doc.Resolve(ref.Get("TransformParams"))
		if err != nil {
			return err
		}
		if err := r.byParameters(params); err != nil {
			return err
		}
	}
	return nil
}

// byParameters judges transform parameters and lock dictionaries, whose keys mean the same: /P of 1 forbids every
// change, /Action locks fields by name (ISO 32000-2 tables 236, 257 and 259).
func (r restrictions) byParameters(params object.Value) error {
	p, err := r.doc.Resolve(params.Get("P"))
	if err != nil {
		return err
	}
	switch {
	case p.Kind != object.Null && (p.Kind != object.Integer || p.Int < 1 || p.Int > 3): // some read 1.0 as 1, others as nothing
		return fmt.Errorf("%w: /P of what a signature permits", pdf.ErrDamaged)
	case p.Int == 1:
		return ErrCertified
	}
	action, err := r.doc.Resolve(params.Get("Action"))
	if err != nil || action.Kind == object.Null {
		return err
	}
	names, err := r.names(params.Get("Fields"))
	if err != nil {
		return err
	}
	listed := slices.ContainsFunc(names, func(n string) bool { return n == r.field || strings.HasPrefix(r.field, n+".") })
	switch {
	case action.Text == "Include" && !listed, action.Text == "Exclude" && listed:
		return nil
	}
	return fmt.Errorf("%w (%q)", ErrLocked, r.field)
}

func (r restrictions) names(list object.Value) ([]string, error) {
	list, err := r.doc.Resolve(list)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list.Elems {
		if e, err = r.doc.Resolve(e); err != nil {
			return nil, err
		}
		if e.Kind != object.String {
			return nil, fmt.Errorf("%w: /Fields of a field lock holds something else than names", pdf.ErrDamaged)
		}
		out = append(out, e.Unicode())
	}
	return out, nil
}

// Reference returns the /Reference array of a signature dictionary, with its key: the certification that the caller
// wants, and the lock that the field demands, in the form of a FieldMDP transform (ISO 32000-2 sections 12.8.2.2 and
// 12.8.2.4). Empty when there is neither.
func (t Target) Reference(doc *pdf.Document, want Certification) ([]byte, error) {
	var refs []byte
	if want != Approval {
		refs = fmt.Appendf(refs, "<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >> >>", want)
	}
	if t.lock.Kind != object.Null {
		params, err := lockParameters(doc, t.lock)
		if err != nil {
			return nil, err
		}
		if len(refs) > 0 {
			refs = append(refs, ' ')
		}
		refs = fmt.Appendf(refs, "<< /Type /SigRef /TransformMethod /FieldMDP /Data %v /TransformParams %s >>", doc.Catalog().Ref, params)
	}
	if len(refs) == 0 {
		return nil, nil
	}
	return fmt.Appendf(nil, "/Reference [%s]", refs), nil
}

// lockParameters makes transform parameters of a signature field lock dictionary (ISO 32000-2 tables 236 and 259).
func lockParameters(doc *pdf.Document, lock object.Value) ([]byte, error) {
	action, err := doc.Resolve(lock.Get("Action"))
	if err != nil {
		return nil, err
	}
	if action.Text != "All" && action.Text != "Include" && action.Text != "Exclude" {
		return nil, fmt.Errorf("%w: /Lock of the signature field has no known /Action", pdf.ErrDamaged)
	}
	out := fmt.Appendf(nil, "<< /Type /TransformParams /V /1.2 /Action /%s", action.Text)
	if action.Text != "All" {
		names, err := restrictions{doc: doc}.names(lock.Get("Fields"))
		if err != nil {
			return nil, err
		}
		out = append(out, " /Fields ["...)
		for _, n := range names {
			out = fmt.Appendf(out, " %s", object.TextString(n))
		}
		out = append(out, " ]"...)
	}
	p, err := doc.Resolve(lock.Get("P"))
	if err != nil {
		return nil, err
	}
	if p.Kind != object.Null {
		if p.Kind != object.Integer || p.Int < 1 || p.Int > 3 {
			return nil, fmt.Errorf("%w: /P of the field's /Lock", pdf.ErrDamaged)
		}
		out = fmt.Appendf(out, " /P %d", p.Int)
	}
	return append(out, " >>"...), nil
}
