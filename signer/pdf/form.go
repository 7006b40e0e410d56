package pdf

import (
	"bytes"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Form is the interactive form of a document (ISO 32000-1 section 12.7).
type Form struct {
	Dict     Object // the AcroForm dictionary; Ref is zero when it stands in the catalog; Null when there is none
	List     Object // the /Fields array; Ref is zero when it stands in Dict
	SigFlags int64
	XFA      bool
	Fields   []Field // the whole tree, in document order
}

// Field is one node of the field tree that has a partial name, or is a signature field with a value of its own although it has
// none: readers show such a signature, too, whether it stands in a nameless field or in a widget.
type Field struct {
	Name   string       // fully qualified: partial names joined by '.'
	Type   string       // /FT, inherited; "Sig" for a signature field
	Object Object       // Ref is zero for a field written directly into its parent
	Value  object.Value // /V of this node, resolved; Null when not filled in
}

// Form reads the interactive form with its whole field tree. Errors wrap ErrDamaged (also for a tree that is no tree)
// and ErrTooLarge.
func (d *Document) Form() (*Form, error) {
	f := &Form{}
	var err error
	if f.Dict, err = d.Part(d.catalog.Value.Get("AcroForm"), object.Dict, "/AcroForm of the catalog"); err != nil || f.Dict.Value.Kind == object.Null {
		return f, err
	}
	f.XFA = f.Dict.Value.Get("XFA").Kind != object.Null
	flags, err := d.Resolve(f.Dict.Value.Get("SigFlags"))
	if err != nil {
		return nil, err
	}
	f.SigFlags = flags.Int
	if f.List, err = d.Part(f.Dict.Value.Get("Fields"), object.Array, "/Fields of the form"); err != nil {
		return nil, err
	}
	w := fieldWalk{d: d, form: f, seen: map[object.Ref]bool{}, text: d.lim.StreamSize}
	return f, w.list(f.List.Value, Field{}, d.lim.Depth)
}

type fieldWalk struct {
	d     *Document
	form  *Form
	seen  map[object.Ref]bool
	nodes int
	text  int64 // bytes of names that may still come: each holds those of its parents
}

func (w *fieldWalk) list(list object.Value, parent Field, depth int) error {
	if depth <= 0 {
		return fmt.Errorf("%w: form fields are nested too deep", ErrTooLarge)
	}
	for _, v := range list.Elems {
		if w.nodes++; w.nodes > w.d.lim.Fields {
			return fmt.Errorf("%w: more than %d form fields", ErrTooLarge, w.d.lim.Fields)
		}
		if err := w.node(v, parent, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *fieldWalk) node(v object.Value, parent Field, depth int) error {
	f := parent
	f.Object = Object{Value: v}
	if v.Kind == object.Reference {
		if w.seen[v.Ref] {
			return fmt.Errorf("%w: form field %v is listed twice", ErrDamaged, v.Ref)
		}
		w.seen[v.Ref] = true
		var err error
		if f.Object, err = w.d.Load(v.Ref); err != nil {
			return err
		}
	}
	dict := f.Object.Value
	if dict.Kind == object.Null {
		return nil // a field that was deleted but is still listed
	}
	if dict.Kind != object.Dict {
		return fmt.Errorf("%w: form field %v is not a dictionary", ErrDamaged, v.Ref)
	}
	name, err := w.d.Resolve(dict.Get("T"))
	if err != nil {
		return err
	}
	kind, err := w.d.Resolve(dict.Get("FT"))
	if err != nil {
		return err
	}
	if kind.Kind == object.Name {
		f.Type = kind.Text
	}
	if f.Value, err = w.d.Resolve(dict.Get("V")); err != nil {
		return err
	}
	if name.Kind == object.String {
		if f.Name != "" {
			f.Name += "."
		}
		f.Name += name.Unicode()
	}
	if name.Kind == object.String || f.Type == "Sig" && f.Value.Kind != object.Null && !same(f.Value, parent.Value) {
		if w.text -= int64(len(f.Name)); w.text < 0 {
			return fmt.Errorf("%w: names of form fields take more than %d bytes", ErrTooLarge, w.d.lim.StreamSize)
		}
		w.form.Fields = append(w.form.Fields, f)
	}
	kids, err := w.d.Resolve(dict.Get("Kids"))
	if err != nil {
		return err
	}
	if kids.Kind != object.Null && kids.Kind != object.Array {
		return fmt.Errorf("%w: /Kids of form field %v is not an array", ErrDamaged, v.Ref)
	}
	return w.list(kids, f, depth-1)
}

// same reports whether two values were read from one place, or from inside object streams with the same bytes.
func same(a, b object.Value) bool { return a.Pos == b.Pos && bytes.Equal(a.Raw, b.Raw) }
