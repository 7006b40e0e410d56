package sigfield

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Wish says which field is wanted, and for what signature.
type Wish struct {
	Name     string // fully qualified; empty: a new field "Signature" with the first number that is free
	Existing bool   // refuse to make a new field
	Offer    Offer
}

// Target is the field that will hold the signature.
type Target struct {
	name string       // fully qualified
	old  *pdf.Field   // an existing empty signature field; nil: a new one
	lock object.Value // its /Lock, resolved; Null: none
}

// Choose finds the field of the wanted name, which must be an empty signature field, or settles the name of a new
// one: the wanted name or the first free one.
// Errors: ErrField, ErrFieldExists, ErrName, ErrSeedValue, those of package pdf.
func Choose(doc *pdf.Document, form *pdf.Form, w Wish) (Target, error) {
	var found *pdf.Field
	for i, f := range form.Fields {
		if w.Name == "" || f.Name != w.Name {
			continue
		}
		if found != nil {
			return Target{}, fmt.Errorf("%w: two fields are called %q", ErrField, f.Name)
		}
		found = &form.Fields[i]
	}
	if found == nil {
		if w.Existing {
			return Target{}, fmt.Errorf("%w: none is called %q", ErrField, w.Name)
		}
		name, err := newName(form, w.Name)
		return Target{name: name}, err
	}
	if found.Type != "Sig" || found.Value.Kind != object.Null {
		return Target{}, fmt.Errorf("%w (%q)", ErrFieldExists, found.Name)
	}
	t := Target{name: found.Name, old: found}
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
	return t, seedValue{doc, w.Offer}.check(seed)
}

// fillable makes sure that the value can be set without rewriting another object.
func (t Target) fillable(doc *pdf.Document) error {
	const readOnly = 1 // field flag (ISO 32000-2 table 227)
	if t.old.Object.Ref == (object.Ref{}) {
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
		return FreeName(form, "Signature"), nil
	}
	if strings.Contains(wanted, ".") {
		return "", ErrName
	}
	for _, f := range form.Fields {
		if f.Name[strings.LastIndexByte(f.Name, '.')+1:] == wanted {
			return "", fmt.Errorf("%w (%q)", ErrFieldExists, wanted)
		}
	}
	return wanted, nil
}

// IsNew reports whether the document does not have the field yet.
func (t Target) IsNew() bool { return t.old == nil }

// Look draws what the field shows.
type Look interface {
	// Widget returns the entries that make a new field a widget.
	Widget(u *pdf.Update, doc *pdf.Document, form *pdf.Form, field object.Ref) ([]byte, error)
	// Appear returns the value of /AP for the widget of an existing field; nil: it stays as it is.
	Appear(u *pdf.Update, doc *pdf.Document, widget pdf.Object) ([]byte, error)
}

// Put writes the field with the signature as its value: ref is that of a new field, with its widget in one dictionary.
func (t Target) Put(u *pdf.Update, doc *pdf.Document, form *pdf.Form, ref, sig object.Ref, look Look) error {
	if t.old != nil {
		return t.fill(u, doc, form, sig, look)
	}
	widget, err := look.Widget(u, doc, form, ref)
	if err != nil {
		return err
	}
	u.Put(ref, fmt.Appendf(nil, "<< /FT /Sig /T %s /V %v /Type /Annot /Subtype /Widget %s >>", object.TextString(t.name), sig, widget))
	return nil
}

// fill sets the value of an existing field, and the appearance of its widget if one is wanted. Everything else in the
// field stays, and no page is touched. A widget that is an object of its own gets the value as well: it inherits it by
// the standard, but poppler and MuPDF look for it there.
func (t Target) fill(u *pdf.Update, doc *pdf.Document, form *pdf.Form, sig object.Ref, look Look) error {
	widget, err := t.widget(doc)
	if err != nil {
		return err
	}
	drawn, err := look.Appear(u, doc, widget)
	if err != nil {
		return err
	}
	value := []byte(sig.String())
	if widget.Ref != t.old.Object.Ref {
		if Signed(form) {
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
func (t Target) widget(doc *pdf.Document) (pdf.Object, error) {
	kids, err := doc.Resolve(t.old.Object.Value.Get("Kids"))
	if err != nil || len(kids.Elems) == 0 {
		return t.old.Object, err
	}
	if len(kids.Elems) > 1 || kids.Elems[0].Kind != object.Reference {
		return pdf.Object{}, fmt.Errorf("%w: %q has not one widget", ErrField, t.name)
	}
	kid, err := doc.Load(kids.Elems[0].Ref)
	if err != nil {
		return kid, err
	}
	// A kid with a name is a field: then this one is a group of fields.
	if kid.Value.Kind != object.Dict || kid.Stream || kid.Value.Get("T").Kind != object.Null {
		return kid, fmt.Errorf("%w: %q has not one widget", ErrField, t.name)
	}
	return kid, nil
}

// Add enters a new field into the form and rewrites as few objects as possible.
func Add(u *pdf.Update, doc *pdf.Document, form *pdf.Form, field object.Ref) {
	Registration{doc: doc, form: form}.Put(u, field)
}

// Registration makes a signature known to the form and the catalog.
type Registration struct {
	doc           *pdf.Document
	form          *pdf.Form
	field         object.Ref // new field to be listed; zero: none
	certification object.Ref // signature to be named in /Perms; zero: none
	perms         pdf.Object
}

// Register reads what Put will change. certification is the signature that certifies the document; zero: none does.
func Register(doc *pdf.Document, form *pdf.Form, certification object.Ref) (r Registration, err error) {
	r = Registration{doc: doc, form: form, certification: certification}
	if certification != (object.Ref{}) {
		r.perms, err = doc.Part(doc.Catalog().Value.Get("Perms"), object.Dict, "/Perms")
	}
	return r, err
}

// Put enters a new field, if it is not zero, and changes what is needed, each object with only the needed keys changed: the
// /Fields array when it is an object of its own, else the form, else the catalog that holds the form.
func (r Registration) Put(u *pdf.Update, field object.Ref) {
	r.field = field
	catalog := r.doc.Catalog()
	entries := catalog.Value
	if r.form.Dict.Value.Kind == object.Null {
		dict := u.New()
		u.Put(dict, fmt.Appendf(nil, "<< /Fields [%v] /SigFlags %d >>", r.field, appendOnlyAndExist))
		entries = entries.With("AcroForm", []byte(dict.String()))
	} else if dict, changed := r.listed(u); changed {
		if r.form.Dict.Ref != (object.Ref{}) {
			u.Put(r.form.Dict.Ref, dict.Raw)
		} else {
			entries = entries.With("AcroForm", dict.Raw)
		}
	}
	if r.certification != (object.Ref{}) {
		entries = r.withPerms(u, entries)
	}
	if !bytes.Equal(entries.Raw, catalog.Value.Raw) {
		u.Put(catalog.Ref, entries.Raw)
	}
}

const appendOnlyAndExist = 3 // SigFlags (ISO 32000-2 table 225)

// listed returns the form with the field and the flags, and whether it differs from what it was.
func (r Registration) listed(u *pdf.Update) (dict object.Value, changed bool) {
	dict = r.form.Dict.Value
	if r.field != (object.Ref{}) {
		ref := []byte(r.field.String())
		fields := fmt.Appendf(nil, "[%s]", ref)
		if r.form.List.Value.Kind == object.Array {
			fields = r.form.List.Value.Append(ref)
		}
		if r.form.List.Ref != (object.Ref{}) {
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
func (r Registration) withPerms(u *pdf.Update, catalog object.Value) object.Value {
	perms := r.perms.Value
	if perms.Kind == object.Null {
		return catalog.With("Perms", fmt.Appendf(nil, "<< /DocMDP %v >>", r.certification))
	}
	perms = perms.With("DocMDP", []byte(r.certification.String()))
	if r.perms.Ref != (object.Ref{}) {
		u.Put(r.perms.Ref, perms.Raw)
		return catalog
	}
	return catalog.With("Perms", perms.Raw)
}

// FreeName returns the first name with a number that no field has, neither with nor without the names of its parents.
func FreeName(form *pdf.Form, name string) string {
	taken := map[string]bool{}
	for _, f := range form.Fields {
		taken[f.Name] = true
		taken[f.Name[strings.LastIndexByte(f.Name, '.')+1:]] = true
	}
	for i := 1; ; i++ {
		if n := name + strconv.Itoa(i); !taken[n] {
			return n
		}
	}
}

// Signed reports whether any signature field is filled in.
func Signed(form *pdf.Form) bool {
	for _, f := range form.Fields {
		if f.Type == "Sig" && f.Value.Kind != object.Null {
			return true
		}
	}
	return false
}
