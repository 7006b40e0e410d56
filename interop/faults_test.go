//go:build interop

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fault is damage to a file that others made. The byte that is changed is found by what stands before it, so that every structure
// stays whole and every run damages the same thing.
type fault struct {
	name           string
	by, format, at string // whose file: of which format and level
	damage         func([]byte) ([]byte, error)
	content        bool // the detached content is damaged, not the file
}

var (
	oidMessageDigest = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4}
	oidTimeStamp     = []byte{6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 14} // signature-time-stamp
	oidHashIndex     = []byte{6, 7, 4, 0, 0x81, 0x95, 0x32, 1, 5}                         // ats-hash-index-v3
	oidCRLNumber     = []byte{6, 3, 0x55, 0x1d, 20}
	oidOCSPBasic     = []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 48, 1, 1}
)

var faults = []fault{
	{"nothing", "pyHanko", "PAdES", "B-LTA", func(data []byte) ([]byte, error) { return data, nil }, false},
	{"the document", "pyHanko", "PAdES", "B-LTA", flipBehind([]byte("99 99 l ")), false},
	{"the document", "EU DSS", "PAdES", "B-B", flipBehind([]byte("99 99 l ")), false},
	{"the time-stamp of the document", "pyHanko", "PAdES", "B-LTA", flipToken, false},
	{"the revocation lists", "pyHanko", "PAdES", "B-LT", flipIn(oidCRLNumber), false},
	{"a line behind the end", "pyHanko", "PAdES", "B-B", func(data []byte) ([]byte, error) { return append(data, "% more\n"...), nil }, false},
	{"the detached content", "EU DSS", "CAdES detached", "B-LTA", flipBehind([]byte("99 99 l ")), true},
	{"the attached content", "EU DSS", "CAdES attached", "B-LTA", flipBehind([]byte("99 99 l ")), false},
	{"the message digest", "openssl", "CAdES detached", "B-B", flipIn(oidMessageDigest), false},
	{"the signature time-stamp", "EU DSS", "CAdES detached", "B-T", flipIn(oidTimeStamp), false},
	{"the revocation lists", "EU DSS", "CAdES detached", "B-LT", flipIn(oidCRLNumber), false},
	{"the OCSP answers", "EU DSS", "CAdES detached", "B-LT", flipIn(oidOCSPBasic), false},
	{"the index of the archive time-stamp", "EU DSS", "CAdES detached", "B-LTA", flipIn(oidHashIndex), false},
}

// title names a fault as faults.txt does.
func (f fault) title() string {
	return fmt.Sprintf("%s (%s, %s, %s)", f.name, f.format, f.at, f.by)
}

// flipBehind changes the last bit of the byte behind the first place of text.
func flipBehind(text []byte) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) {
		at := bytes.Index(data, text)
		if at < 0 {
			return nil, fmt.Errorf("no %q", text)
		}
		data[at+len(text)] ^= 1
		return data, nil
	}
}

// flipIn changes the last bit of the DER value that stands behind an object identifier, wherever that is.
func flipIn(oid []byte) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) {
		if !bytes.Contains(data, oid) {
			return nil, errors.New("the object identifier is not there")
		}
		for at := 0; ; {
			next := bytes.Index(data[at:], oid)
			if next < 0 {
				return data, nil
			}
			at += next + len(oid)
			length := int(data[at+1])
			switch {
			case length < 0x80:
				length += 2
			case length == 0x81:
				length = int(data[at+2]) + 3
			case length == 0x82:
				length = int(data[at+2])<<8 + int(data[at+3]) + 4
			default:
				return nil, errors.New("the value is too long")
			}
			data[at+length-1] ^= 1
		}
	}
}

// flipToken changes the last bit of the newest time-stamp token of a PDF, which ends with the authority's signature value.
func flipToken(data []byte) ([]byte, error) {
	at := bytes.LastIndex(data, []byte("/Contents <"))
	if at < 0 {
		at = bytes.LastIndex(data, []byte("/Contents<"))
	}
	if at < 0 {
		return nil, errors.New("no time-stamp")
	}
	end := at + bytes.IndexByte(data[at:], '>')
	last := bytes.LastIndexFunc(data[at:end], func(r rune) bool { return r != '0' }) + at
	switch c := data[last]; { // another digit
	case c <= '9':
		data[last] ^= 1
	case c == 'F' || c == 'f':
		data[last]--
	default:
		data[last]++
	}
	return data, nil
}

// faultSection damages files that others made, and has every judge look at them: what it must say stands in faults.txt. A judge that
// calls everything good is found out here. It returns a section of the document.
func faultSection(t *testing.T) string {
	w, r, allowed := shared(t), judges(t), readAllowed(t)
	expected := readFaults(t)
	vectors := w.vectors(t, r, func(f foreign) bool {
		return f.alg == algorithms[0].name && slices.ContainsFunc(faults, func(d fault) bool {
			return d.by == f.by && d.format == f.format && d.at == f.level
		})
	})
	var b strings.Builder
	b.WriteString(faultPreface)
	for _, d := range faults {
		f := vectors[slices.IndexFunc(vectors, func(f foreign) bool { return d.by == f.by && d.format == f.format && d.at == f.level })]
		s := d.apply(t, f.subject)
		for _, j := range all {
			if j.name == "EU DSS later" && (s.level == "B-B" || s.level == "B-T") {
				continue // it says no word for undamaged ones either
			}
			want, ok := expected[d.title()+"|"+j.name]
			if !strings.Contains(j.formats, strings.Fields(s.format)[0]) {
				continue
			}
			said, err := j.ask(w, r, s)
			if err != nil {
				said = "refuses: " + strings.TrimPrefix(err.Error(), "java: ")
			}
			if said = allowed.allow(j, s, said); !ok || said != want {
				t.Errorf("%s | %s | %s", d.title(), j.name, said)
			}
			delete(expected, d.title()+"|"+j.name)
			fmt.Fprintf(&b, "| %s | %s | `%s` |\n", d.title(), j.name, said)
		}
	}
	for _, left := range slices.Sorted(maps.Keys(expected)) {
		t.Errorf("faults.txt: there is no %q", left)
	}
	return b.String()
}

const faultPreface = `
## Judges judged

One bit of each of these files is wrong, and not one was made by us: what is damaged, and whose file it is. The first is whole.

| What is damaged | Judge | It says |
|---|---|---|
`

// apply writes the damaged file.
func (d fault) apply(t *testing.T, s subject) subject {
	t.Helper()
	folder := t.TempDir()
	file := s.file
	if d.content {
		file = s.content
	}
	data, err := d.damage(read(t, file))
	if err != nil {
		t.Fatalf("%s: %v", d.title(), err)
	}
	damaged := filepath.Join(folder, "damaged"+filepath.Ext(file))
	write(t, damaged, data)
	if d.content {
		s.content = damaged
	} else {
		s.file = damaged
	}
	return s
}

// readFaults reads lines of "what is damaged | judge | verdict".
func readFaults(t *testing.T) map[string]string {
	t.Helper()
	expected := map[string]string{}
	for n, line := range rows(t, "faults.txt") {
		if len(line) != 3 {
			t.Fatalf("faults.txt, line %d: %d columns", n, len(line))
		}
		expected[line[0]+"|"+line[1]] = line[2]
	}
	return expected
}
