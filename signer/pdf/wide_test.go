package pdf_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// wide is a PDF of a gigabyte that exists only where objects begin: each lies stride bytes behind the one before.
type wide struct {
	head, tail []byte
	first      int64 // where the first of them begins
	count      int64
	size       int64
	most       int // bytes asked for at once
	object     []byte
}

const stride = 5000

func newWide(count int64) *wide {
	w := &wide{count: count, object: []byte("0000000 0 obj\n<< >>\nendobj\n"), head: []byte("%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n")}
	w.first = int64(len(w.head))
	end := w.first + count*stride
	b := fmt.Appendf(nil, "xref\n0 %d\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n", count+3, bytes.Index(w.head, []byte("1 0 obj")), bytes.Index(w.head, []byte("2 0 obj")))
	for i := range count {
		b = fmt.Appendf(b, "%010d 00000 n \n", w.first+i*stride)
	}
	w.tail = fmt.Appendf(b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", count+3, end)
	w.size = end + int64(len(w.tail))
	return w
}

func (w *wide) ReadAt(p []byte, at int64) (int, error) {
	n := int(min(int64(len(p)), w.size-at))
	w.most = max(w.most, n)
	clear(p[:n])
	put := func(data []byte, where int64) {
		if from := max(at, where); from < min(at+int64(n), where+int64(len(data))) {
			copy(p[from-at:n], data[from-where:])
		}
	}
	put(w.head, 0)
	for i := max(0, (at-w.first)/stride-1); i < w.count && w.first+i*stride < at+int64(n); i++ {
		for at, n := 6, i+3; at >= 0; at, n = at-1, n/10 {
			w.object[at] = byte('0' + n%10)
		}
		put(w.object, w.first+i*stride)
	}
	put(w.tail, w.first+w.count*stride)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestManyObjects opens a gigabyte with 200,000 objects in little memory: 16 bytes an object, and 4 more while opening.
func TestManyObjects(t *testing.T) {
	w := newWide(200_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, err := pdf.Open(w, w.size, pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if o, err := d.Load(object.Ref{Number: 200_002}); err != nil || o.Value.Kind != object.Dict {
		t.Errorf("last object: %v, %v", o.Value.Kind, err)
	}
	runtime.GC()
	var kept runtime.MemStats
	runtime.ReadMemStats(&kept)
	if all, stays := after.TotalAlloc-before.TotalAlloc, int64(kept.HeapAlloc)-int64(before.HeapAlloc); all > 5<<20 || stays > 4<<20 || w.most > 256<<10 {
		t.Errorf("%d bytes allocated, %d kept, %d read at once", all, stays, w.most)
	}
	runtime.KeepAlive(d)
}
