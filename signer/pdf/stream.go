package pdf

import (
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Stream returns the decoded data of a stream object that has no filter or FlateDecode alone. most bounds the result, in
// bytes; it does not count against Limits.StreamSize. Errors wrap ErrDamaged (also for an object that is no stream),
// ErrUnsupported and ErrTooLarge.
func (d *Document) Stream(ref object.Ref, most int64) ([]byte, error) {
	e := d.objects.get(ref.Number)
	if e.kind != inFile || int(e.gen) != ref.Generation {
		return nil, fmt.Errorf("%w: %v is not a stream", ErrDamaged, ref)
	}
	got, dict, data, err := d.streamAt(e.at)
	if err != nil {
		return nil, fmt.Errorf("stream %v: %w", ref, err)
	}
	if got != ref {
		return nil, fmt.Errorf("%w: object %v expected at byte %d", ErrDamaged, ref, e.at)
	}
	kept := d.budget
	d.budget = most
	out, err := d.decode(dict, data)
	d.budget = kept
	if err != nil {
		return nil, fmt.Errorf("stream %v: %w", ref, err)
	}
	return out, nil
}

// Revisions returns how many cross-reference sections begin at byte from of the file or later: each incremental update
// adds one, a linearized file begins with two.
func (d *Document) Revisions(from int64) int {
	n := 0
	for _, at := range d.sections {
		if at >= from {
			n++
		}
	}
	return n
}
