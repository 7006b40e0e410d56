package pdf

import (
	"bytes"
	"fmt"
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
	Name   string // fully qualified: partial names joined by '.'
	Type   string // /FT, inherited; "Sig" for a signature field
	Object Object // Ref is zero for a field written directly into its parent
	Value  Value  // /V of this node, resolved; Null when not filled in
}

// Form reads the interactive form with its whole field tree. Errors wrap ErrDamaged (also for a tree that is no tree)
// and ErrTooLarge.
func (d *Document) Form() (*Form, error) {
	f := &Form{}
	var err error
	if f.Dict, err = d.part(d.catalog.Value.Get("AcroForm"), Dict, "/AcroForm of the catalog"); err != nil || f.Dict.Value.Kind == Null {
		return f, err
	}
	f.XFA = f.Dict.Value.Get("XFA").Kind != Null
	flags, err := d.Resolve(f.Dict.Value.Get("SigFlags"))
	if err != nil {
		return nil, err
	}
	f.SigFlags = flags.Int
	if f.List, err = d.part(f.Dict.Value.Get("Fields"), Array, "/Fields of the form"); err != nil {
		return nil, err
	}
	w := fieldWalk{d: d, form: f, seen: map[Ref]bool{}, text: d.lim.StreamSize}
	return f, w.list(f.List.Value, Field{}, d.lim.Depth)
}

// part loads a value that may be an object of its own (then with its Ref) and must be of one kind, or Null.
func (d *Document) part(v Value, want Kind, what string) (Object, error) {
	o := Object{Value: v}
	if v.Kind == Reference {
		var err error
		if o, err = d.Load(v.Ref); err != nil {
			return o, err
		}
	}
	switch {
	case o.Value.Kind == Null:
		return Object{}, nil // a reference to nothing counts as absent
	case o.Value.Kind != want || o.Stream:
		return o, fmt.Errorf("%w: %s is of the wrong type", ErrDamaged, what)
	}
	return o, nil
}

type fieldWalk struct {
	d     *Document
	form  *Form
	seen  map[Ref]bool
	nodes int
	text  int64 // bytes of names that may still come: each holds those of its parents
}

func (w *fieldWalk) list(list Value, parent Field, depth int) error {
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

func (w *fieldWalk) node(v Value, parent Field, depth int) error {
	f := parent
	f.Object = Object{Value: v}
	if v.Kind == Reference {
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
	if dict.Kind == Null {
		return nil // a field that was deleted but is still listed
	}
	if dict.Kind != Dict {
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
	if kind.Kind == Name {
		f.Type = kind.Text
	}
	if f.Value, err = w.d.Resolve(dict.Get("V")); err != nil {
		return err
	}
	if name.Kind == String {
		if f.Name != "" {
			f.Name += "."
		}
		f.Name += name.Unicode()
	}
	if name.Kind == String || f.Type == "Sig" && f.Value.Kind != Null && !same(f.Value, parent.Value) {
		if w.text -= int64(len(f.Name)); w.text < 0 {
			return fmt.Errorf("%w: names of form fields take more than %d bytes", ErrTooLarge, w.d.lim.StreamSize)
		}
		w.form.Fields = append(w.form.Fields, f)
	}
	kids, err := w.d.Resolve(dict.Get("Kids"))
	if err != nil {
		return err
	}
	if kids.Kind != Null && kids.Kind != Array {
		return fmt.Errorf("%w: /Kids of form field %v is not an array", ErrDamaged, v.Ref)
	}
	return w.list(kids, f, depth-1)
}

// same reports whether two values were read from one place, or from inside object streams with the same bytes.
func same(a, b Value) bool { return a.Pos == b.Pos && bytes.Equal(a.Raw, b.Raw) }
