// Package object reads and writes the objects of PDF (ISO 32000-1 section 7.3): values with the bytes that they were read from, the
// parser that reads them strictly, and the spelling of what is written. It knows no file.
package object

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Kind is the type of a Value (ISO 32000-1 section 7.3).
type Kind uint8

// The kinds. A missing object reads as Null.
const (
	Null Kind = iota
	Bool
	Integer
	Real
	String
	Name
	Array
	Dict
	Reference
)

// Ref names an indirect object.
type Ref struct {
	Number, Generation int
}

// String returns the reference as written in a file, such as "12 0 R".
func (r Ref) String() string { return fmt.Sprintf("%d %d R", r.Number, r.Generation) }

// Value is one parsed object with the exact bytes it was read from, so that what is not changed is never written anew.
type Value struct {
	Kind    Kind
	Raw     []byte  // as in the file, from the first to the last byte of the token or container
	Pos     int64   // offset of Raw in the file, -1 inside an object stream
	Int     int64   // Integer
	Text    string  // Name without '/', decoded; String, decoded bytes
	Ref     Ref     // Reference
	Elems   []Value // Array
	Entries []Entry // Dict, in file order, keys unique
	start   int     // of Raw in the buffer it was parsed from
	end     int
}

// Entry is one key of a dictionary.
type Entry struct {
	Key   string // decoded, without '/'
	Value Value
}

// Get returns the direct value of a key, and Null when the key or the dictionary is not there.
func (v Value) Get(key string) Value {
	for i := range v.Entries {
		if v.Entries[i].Key == key {
			return v.Entries[i].Value
		}
	}
	return Value{}
}

// With returns dictionary v with key set to raw, the bytes of a complete object; every other byte of v.Raw stays as it
// is. The key is written as it is and must need no escapes.
func (v Value) With(key string, raw []byte) Value {
	from, to, label := len(v.Raw)-len(">>"), len(v.Raw)-len(">>"), " /"+key+" "
	for _, e := range v.Entries {
		if e.Key == key {
			from, to, label = e.Value.start-v.start, e.Value.end-v.start, " "
		}
	}
	// Blanks around it keep tokens apart whatever stood there before.
	out := Value{Kind: Dict, Pos: -1, Raw: bytes.Join([][]byte{v.Raw[:from], []byte(label), raw, []byte(" "), v.Raw[to:]}, nil)}
	shift := len(out.Raw) - len(v.Raw)
	for _, e := range v.Entries {
		switch e.Value.start -= v.start; {
		case e.Key == key:
			continue
		case e.Value.start >= to:
			e.Value.start += shift
			e.Value.end += shift
		}
		e.Value.end -= v.start
		out.Entries = append(out.Entries, e)
	}
	start := from + len(label)
	out.Entries = append(out.Entries, Entry{key, Value{Raw: raw, Pos: -1, start: start, end: start + len(raw)}})
	out.end = len(out.Raw)
	return out
}

// Append returns the bytes of array v with one more element at its end.
func (v Value) Append(raw []byte) []byte {
	n := len(v.Raw) - len("]")
	return bytes.Join([][]byte{v.Raw[:n], []byte(" "), raw, v.Raw[n:]}, nil)
}

// Float returns the value of an Integer or a Real.
func (v Value) Float() (float64, bool) {
	switch v.Kind {
	case Integer:
		return float64(v.Int), true
	case Real:
		f, err := strconv.ParseFloat(string(v.Raw), 64)
		return f, err == nil && !math.IsInf(f, 0)
	}
	return 0, false
}
