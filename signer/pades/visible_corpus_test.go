package pades_test

import (
	"errors"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// TestCorpusVisible signs real files visibly: what can be signed without an appearance can be signed with one, but for
// pages without room and annotations that may not be touched; the last page changes in the box and nowhere else.
func TestCorpusVisible(t *testing.T) {
	signed := 0
	for name, row := range padestest.Manifest(t, corpus) {
		if !strings.HasPrefix(name, "pdf/") {
			continue
		}
		in, err := os.ReadFile(filepath.Join(corpus, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := padestest.Prepare(in, padestest.Options(padestest.EC())); err != nil {
			continue
		}
		o := shown(appearance.Appearance{})
		if _, err := padestest.Prepare(in, o); err != nil {
			known := errors.Is(err, appearance.ErrAnnotations) || errors.Is(err, appearance.ErrPlace)
			if !known && (row[7] == "sign-ok" || !errors.Is(err, pdf.ErrDamaged)) { // damaged: the page, which was not looked at before
				t.Errorf("%s: %v", name, err)
			}
			t.Logf("%s: refused: %v", name, err)
			continue
		}
		signed++
		out := padestest.SignPDF(t, in, padestest.EC(), o)
		if before, after := qpdfCode(t, in), qpdfCode(t, out); after > before {
			t.Errorf("%s: qpdf --check ended with %d, and now with %d", name, before, after)
		}
		a, b := lastPage(t, in), lastPage(t, out)
		if a == nil || b == nil || a.Bounds() != b.Bounds() {
			t.Errorf("%s: last page is not shown as before", name)
			continue
		}
		w, h := a.Bounds().Dx(), a.Bounds().Dy()
		where := image.Rect(w-36-216, h-36-72, w-36, h-36)
		if got := changed(a, b); !near(got, where) {
			t.Errorf("%s: changed at %v, not %v of %v", name, got, where, a.Bounds())
		}
	}
	t.Logf("%d signed visibly", signed)
}

// qpdfCode returns the exit code of its check: 0 clean, 3 warnings, 2 errors (here 4, to be the worst).
func qpdfCode(t *testing.T, file []byte) int {
	t.Helper()
	_, code := padestest.Run(t, "qpdf", "--check", padestest.WriteFile(t, "in.pdf", file))
	if code == 2 {
		code = 4
	}
	return code
}

// lastPage shows the last page with one pixel a point; nil when it cannot be shown.
func lastPage(t *testing.T, file []byte) image.Image {
	t.Helper()
	out := filepath.Join(t.TempDir(), "page.png")
	if err := exec.Command("mutool", "draw", "-q", "-r", "72", "-o", out, padestest.WriteFile(t, "in.pdf", file), "N").Run(); err != nil {
		return nil
	}
	return decoded(t, out)
}

// changed returns the smallest rectangle around all pixels that differ.
func changed(a, b image.Image) image.Rectangle {
	var found image.Rectangle
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if p, q := square(a, x, y, 1), square(b, x, y, 1); p != q {
				found = found.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return found
}
