package pades

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ecsigner/ecsigner/signer/pdf"
)

// target is the field that will hold the signature.
type target struct {
	name string     // fully qualified
	old  *pdf.Field // an existing empty signature field; nil: a new one
	lock pdf.Value  // its /Lock, resolved; Null: none
}

// chooseField finds the field of the wanted name, which must be an empty signature field, or settles the name of a new
// one: the wanted name or the first free one.
func chooseField(doc *pdf.Document, form *pdf.Form, o Options) (target, error) {
	var found *pdf.Field
	for i, f := range form.Fields {
		if o.FieldName == "" || f.Name != o.FieldName {
			continue
		}
		if found != nil {
			return target{}, fmt.Errorf("%w: two fields are called %q", ErrField, f.Name)
		}
		found = &form.Fields[i]
	}
	if found == nil {
		if o.ExistingField {
			return target{}, fmt.Errorf("%w: none is called %q", ErrField, o.FieldName)
		}
		name, err := newName(form, o.FieldName)
		return target{name: name}, err
	}
	if found.Type != "Sig" || found.Value.Kind != pdf.Null {
		return target{}, fmt.Errorf("%w (%q)", ErrFieldExists, found.Name)
	}
	t := target{name: found.Name, old: found}
	if err := t.fillable(doc); err != nil {
		return t, err
	}
	var err error
	if t.lock, err = doc.Resolve(found.Object.Value.Get("Lock")); err != nil {
		return t, err
	}
	seed, err := doc.Resolve(found.Object.Value.Get("SV"))
	if err != nil {
		return t, err
	}
	return t, seedValue{doc, o}.check(seed)
}

// fillable makes sure that the value can be set without rewriting another object.
func (t target) fillable(doc *pdf.Document) error {
	const readOnly = 1 // field flag (ISO 32000-2 table 227)
	if t.old.Object.Ref == (pdf.Ref{}) {
		return fmt.Errorf("%w: %q is written directly into its parent", ErrField, t.name)
	}
	flags, err := doc.Resolve(t.old.Object.Value.Get("Ff"))
	if err != nil {
		return err
	}
	if flags.Int&readOnly != 0 {
		return fmt.Errorf("%w: %q is read-only", ErrField, t.name)
	}
	return nil
}

// newName returns the wanted name, or the first free one. Names are compared over the whole tree, with and without the
// names of the parents: readers differ in which one they compare.
func newName(form *pdf.Form, wanted string) (string, error) {
	if wanted == "" {
		return freeName(form, "Signature"), nil
	}
	if strings.Contains(wanted, ".") {
		return "", fmt.Errorf("%w: a new field's name has no '.'", ErrOptions)
	}
	for _, f := range form.Fields {
		if f.Name[strings.LastIndexByte(f.Name, '.')+1:] == wanted {
			return "", fmt.Errorf("%w (%q)", ErrFieldExists, wanted)
		}
	}
	return wanted, nil
}

// put writes the field with the signature as its value: ref is that of a new field, with its widget in one dictionary.
func (t target) put(u *pdf.Update, doc *pdf.Document, form *pdf.Form, ref, sig pdf.Ref, o Options) error {
	if t.old != nil {
		return t.fill(u, doc, form, sig, o)
	}
	widget, err := o.widget(u, doc, form, ref)
	if err != nil {
		return err
	}
	u.Put(ref, fmt.Appendf(nil, "<< /FT /Sig /T %s /V %v /Type /Annot /Subtype /Widget %s >>", pdf.TextString(t.name), sig, widget))
	return nil
}

// fill sets the value of an existing field, and the appearance of its widget if one is wanted. Everything else in the
// field stays, and no page is touched. A widget that is an object of its own gets the value as well: it inherits it by
// the standard, but poppler and MuPDF look for it there.
func (t target) fill(u *pdf.Update, doc *pdf.Document, form *pdf.Form, sig pdf.Ref, o Options) error {
	widget, err := t.widget(doc)
	if err != nil {
		return err
	}
	drawn, err := o.appear(u, doc, widget)
	if err != nil {
		return err
	}
	value := []byte(sig.String())
	if widget.Ref != t.old.Object.Ref {
		if signed(form) {
			return fmt.Errorf("%w: %q has its widget in an object of its own, and readers disagree on whether an earlier signature allows to change that", ErrField, t.name)
		}
		u.Put(t.old.Object.Ref, t.old.Object.Value.With("V", value).Raw)
	}
	dict := widget.Value.With("V", value)
	if drawn != nil {
		dict = dict.With("AP", drawn)
	}
	u.Put(widget.Ref, dict.Raw)
	return nil
}

// widget returns the field's widget: the field itself or its only kid (ISO 32000-2 section 12.7.5.5).
func (t target) widget(doc *pdf.Document) (pdf.Object, error) {
	kids, err := doc.Resolve(t.old.Object.Value.Get("Kids"))
	if err != nil || len(kids.Elems) == 0 {
		return t.old.Object, err
	}
	if len(kids.Elems) > 1 || kids.Elems[0].Kind != pdf.Reference {
		return pdf.Object{}, fmt.Errorf("%w: %q has not one widget", ErrField, t.name)
	}
	kid, err := doc.Load(kids.Elems[0].Ref)
	if err != nil {
		return kid, err
	}
	// A kid with a name is a field: then this one is a group of fields.
	if kid.Value.Kind != pdf.Dict || kid.Stream || kid.Value.Get("T").Kind != pdf.Null {
		return kid, fmt.Errorf("%w: %q has not one widget", ErrField, t.name)
	}
	return kid, nil
}

// addField enters a new field into the form and rewrites as few objects as possible.
func addField(u *pdf.Update, doc *pdf.Document, form *pdf.Form, field pdf.Ref) {
	r := registration{doc: doc, form: form, field: field}
	r.put(u)
}

// registration makes a signature known to the form and the catalog.
type registration struct {
	doc           *pdf.Document
	form          *pdf.Form
	field         pdf.Ref // new field to be listed; zero: none
	certification pdf.Ref // signature to be named in /Perms; zero: none
	perms         pdf.Object
}

// put changes what is needed, each object with only the needed keys changed: the /Fields array when it is an object of
// its own, else the form, else the catalog that holds the form.
func (r registration) put(u *pdf.Update) {
	catalog := r.doc.Catalog()
	entries := catalog.Value
	if r.form.Dict.Value.Kind == pdf.Null {
		dict := u.New()
		u.Put(dict, fmt.Appendf(nil, "<< /Fields [%v] /SigFlags %d >>", r.field, appendOnlyAndExist))
		entries = entries.With("AcroForm", []byte(dict.String()))
	} else if dict, changed := r.listed(u); changed {
		if r.form.Dict.Ref != (pdf.Ref{}) {
			u.Put(r.form.Dict.Ref, dict.Raw)
		} else {
			entries = entries.With("AcroForm", dict.Raw)
		}
	}
	if r.certification != (pdf.Ref{}) {
		entries = r.withPerms(u, entries)
	}
	if !bytes.Equal(entries.Raw, catalog.Value.Raw) {
		u.Put(catalog.Ref, entries.Raw)
	}
}

const appendOnlyAndExist = 3 // SigFlags (ISO 32000-2 table 225)

// listed returns the form with the field and the flags, and whether it differs from what it was.
func (r registration) listed(u *pdf.Update) (dict pdf.Value, changed bool) {
	dict = r.form.Dict.Value
	if r.field != (pdf.Ref{}) {
		ref := []byte(r.field.String())
		fields := fmt.Appendf(nil, "[%s]", ref)
		if r.form.List.Value.Kind == pdf.Array {
			fields = r.form.List.Value.Append(ref)
		}
		if r.form.List.Ref != (pdf.Ref{}) {
			u.Put(r.form.List.Ref, fields)
		} else {
			dict, changed = dict.With("Fields", fields), true
		}
	}
	if r.form.SigFlags&appendOnlyAndExist != appendOnlyAndExist {
		dict, changed = dict.With("SigFlags", strconv.AppendInt(nil, r.form.SigFlags|appendOnlyAndExist, 10)), true
	}
	return dict, changed
}

// withPerms names the certification in the permissions dictionary (ISO 32000-2 section 12.8.6), which keeps what else
// is in it.
func (r registration) withPerms(u *pdf.Update, catalog pdf.Value) pdf.Value {
	perms := r.perms.Value
	if perms.Kind == pdf.Null {
		return catalog.With("Perms", fmt.Appendf(nil, "<< /DocMDP %v >>", r.certification))
	}
	perms = perms.With("DocMDP", []byte(r.certification.String()))
	if r.perms.Ref != (pdf.Ref{}) {
		u.Put(r.perms.Ref, perms.Raw)
		return catalog
	}
	return catalog.With("Perms", perms.Raw)
}
