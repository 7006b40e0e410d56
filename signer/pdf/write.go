package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
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

// Deflate compresses data for the filter FlateDecode.
func Deflate(data []byte) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer never returns an error
	}
	return z.Bytes()
}
