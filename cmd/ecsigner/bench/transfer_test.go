package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLargePDF: the file has the size that was asked for, and a strict reader finds nothing wrong with it.
func TestLargePDF(t *testing.T) {
	for _, size := range []int64{minDocument, minDocument + 1, 3_000_001} {
		path := filepath.Join(t.TempDir(), "large.pdf")
		if err := WritePDF(path, size); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != size {
			t.Errorf("%d bytes instead of %d", info.Size(), size)
		}
		if out, err := exec.Command("qpdf", "--check", path).CombinedOutput(); err != nil || bytes.Contains(out, []byte("WARNING")) {
			t.Errorf("%d bytes: %v\n%s", size, err, out)
		}
	}
}

func TestDocumentOptionsThatMeasureNothing(t *testing.T) {
	for _, o := range []DocumentOptions{{Size: minDocument}, {Size: 10, Pairs: 1}, {Size: maxDocument + 1, Pairs: 1}, {Size: minDocument, Pairs: maxPairs + 1}} {
		o.Writer, o.Progress = io.Discard, io.Discard
		if err := RunDocument(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}
