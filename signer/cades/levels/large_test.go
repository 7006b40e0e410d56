package levels_test

import (
	"context"
	"crypto"
	"io"
	"runtime"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// sparse is a file of a head, many zeros and a tail.
type sparse struct {
	head, tail []byte
	zeros      int64
}

func (s sparse) size() int64 { return int64(len(s.head)+len(s.tail)) + s.zeros }

func (s sparse) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < s.size() {
		var m int
		switch middle := off - int64(len(s.head)); {
		case middle < 0:
			m = copy(p[n:], s.head[off:])
		case middle < s.zeros:
			m = int(min(int64(len(p)-n), s.zeros-middle))
			clear(p[n : n+m])
		default:
			m = copy(p[n:], s.tail[middle-s.zeros:])
		}
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// TestLarge: 200 MB are signed, attached and raised to B-LTA in a few megabytes of memory, and 6 GB have right lengths.
func TestLarge(t *testing.T) {
	const size = 200_000_000
	id := cadestest.P256()
	zeros := sparse{zeros: size}
	w := crypto.SHA256.New()
	_ = cadestest.Must(io.Copy(w, io.NewSectionReader(zeros, 0, size)))
	attrs := cadestest.Must(cades.SignedAttributes(cades.CAdES, cades.Attributes{Certificate: id.Chain[0], ContentDigest: w.Sum(nil), Algorithm: cades.ECDSAWithSHA256, SigningTime: cadestest.SigningTime}))
	parts := id.Sign(t, cades.Parts{SignedAttributes: attrs, Algorithm: cades.ECDSAWithSHA256, Chain: id.Chain})

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var count counter
	if err := cades.AssembleAttached(&count, parts, io.NewSectionReader(zeros, 0, size), size); err != nil {
		t.Fatal(err)
	}
	head, tail, err := cades.Frame(parts, size)
	if err != nil || int64(count) != int64(len(head)+len(tail))+size {
		t.Fatalf("%d bytes written, %v", count, err)
	}
	file := sparse{head, tail, size}
	sd, err := cms.Read(file, file.size(), cms.Limits{})
	if err != nil || sd.ContentSize() != size {
		t.Fatalf("%v", err)
	}
	count = 0
	s := services(authority(), &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}})
	var ends ends
	if err := levels.AugmentTo(context.Background(), io.MultiWriter(&count, &ends), sd, nil, cades.LevelBLTA, s); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes of memory", used)
	}
	// The raised file, as its ends: its content is where it was, behind a head that may be longer by lengths.
	out := sparse{ends.first[:len(head)], ends.last, int64(count) - int64(len(head)) - int64(len(ends.last))}
	raised, err := cms.Read(out, out.size(), cms.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r := levels.InspectSignedData(raised, nil)[0]; r.Invalid != nil || r.Level != cades.LevelBLTA {
		t.Errorf("%v, level %v, missing: %v", r.Invalid, r.Level, r.Missing)
	}

	head, tail, err = cades.Frame(parts, 6<<30)
	if err != nil {
		t.Fatal(err)
	}
	file = sparse{head, tail, 6 << 30}
	if sd, err = cms.Read(file, file.size(), cms.Limits{}); err != nil || sd.ContentSize() != 6<<30 {
		t.Errorf("6 GB: %v", err)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// ends keeps what was written first and last.
type ends struct{ first, last []byte }

func (e *ends) Write(p []byte) (int, error) {
	if len(e.first) < 4096 {
		e.first = append(e.first, p[:min(len(p), 4096)]...)
	}
	if e.last = append(e.last, p...); len(e.last) > 1<<17 {
		e.last = append(e.last[:0], e.last[len(e.last)-1<<16:]...)
	}
	return len(p), nil
}
