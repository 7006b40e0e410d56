package pdf

import (
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Part loads a value that may be an object of its own and must be of one kind, or Null. what names it in errors; one of another
// kind is ErrDamaged. An absent one is the zero Object, and one that is no object of its own has no Ref.
func (d *Document) Part(v object.Value, want object.Kind, what string) (Object, error) {
	o := Object{Value: v}
	if v.Kind == object.Reference {
		var err error
		if o, err = d.Load(v.Ref); err != nil {
			return o, fmt.Errorf("%s: %w", what, err)
		}
	}
	switch {
	case o.Value.Kind == object.Null:
		return Object{}, nil // a reference to nothing counts as absent
	case o.Value.Kind != want || o.Stream:
		return o, fmt.Errorf("%w: %s is of the wrong type", ErrDamaged, what)
	}
	return o, nil
}
