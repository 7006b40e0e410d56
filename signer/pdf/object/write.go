package object

import (
	"fmt"
	"strconv"
)

// StreamObject returns the body of a stream object for Update.Put: a dictionary with these entries and /Length, and data
// that is encoded as they say.
func StreamObject(entries string, data []byte) []byte {
	b := fmt.Appendf(nil, "<< %s /Length %d >>\nstream\n", entries, len(data))
	return append(append(b, data...), "\nendstream"...)
}

// FlateObject is a StreamObject whose data is compressed here.
func FlateObject(entries string, data []byte) []byte {
	return StreamObject(entries+" /Filter /FlateDecode", Deflate(data))
}

// AppendName writes a name with everything but plain characters as #xx (ISO 32000-1 section 7.3.5).
func AppendName(buf []byte, name string) []byte {
	buf = append(buf, '/')
	for i := range len(name) {
		if c := name[i]; c > ' ' && c < 0x7f && c != '#' && isRegular(c) {
			buf = append(buf, c)
		} else {
			buf = append(buf, '#')
			buf = append(buf, strconv.FormatUint(uint64(c)>>4, 16)...)
			buf = append(buf, strconv.FormatUint(uint64(c)&15, 16)...)
		}
	}
	return buf
}
