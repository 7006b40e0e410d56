package pades_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades/padestest"
)

// poppler and mupdf are two independent programs that show a page, at so many pixels to the inch.

func poppler(t *testing.T, file []byte, dpi int, more ...string) image.Image {
	t.Helper()
	out := filepath.Join(t.TempDir(), "page")
	args := append([]string{"-q", "-r", strconv.Itoa(dpi), "-cropbox", "-png", "-singlefile"}, more...)
	return rendered(t, out+".png", "pdftoppm", append(args, padestest.WriteFile(t, "in.pdf", file), out)...)
}

func mupdf(t *testing.T, file []byte, dpi int, pages ...string) image.Image {
	t.Helper()
	out := filepath.Join(t.TempDir(), "page.png")
	return rendered(t, out, "mutool", append([]string{"draw", "-q", "-r", strconv.Itoa(dpi), "-o", out, padestest.WriteFile(t, "in.pdf", file)}, pages...)...)
}

func rendered(t *testing.T, out, name string, args ...string) image.Image {
	t.Helper()
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
	return decoded(t, out)
}

func decoded(t *testing.T, name string) image.Image {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inked returns the smallest rectangle around all that is not white.
func inked(m image.Image) image.Rectangle {
	var found image.Rectangle
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			if g := color.GrayModel.Convert(m.At(x, y)).(color.Gray); g.Y < 250 {
				found = found.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return found
}

// alike wants two renderings to show the same: equal in size, and on average close in brightness after both were made
// coarse, as programs smooth edges, place hairlines and fit upright letters to pixels differently.
func alike(t *testing.T, nameA string, a image.Image, nameB string, b image.Image) {
	t.Helper()
	if dx, dy := a.Bounds().Dx()-b.Bounds().Dx(), a.Bounds().Dy()-b.Bounds().Dy(); max(dx, -dx) > 1 || max(dy, -dy) > 1 {
		t.Errorf("%s is %v, %s is %v", nameA, a.Bounds().Size(), nameB, b.Bounds().Size())
		return
	}
	if mean, worst := difference(a, b); mean > 7 || worst > 100 {
		t.Errorf("%s and %s differ by %.1f on average, %.0f at most (of 255)", nameA, nameB, mean, worst)
	}
}

// difference compares squares of 4 × 4 pixels in each colour.
func difference(a, b image.Image) (mean, worst float64) {
	const side = 4
	n := 0
	w, h := min(a.Bounds().Dx(), b.Bounds().Dx()), min(a.Bounds().Dy(), b.Bounds().Dy())
	for y := 0; y+side <= h; y += side {
		for x := 0; x+side <= w; x += side {
			p, q := square(a, x, y, side), square(b, x, y, side)
			for i := range p {
				d := math.Abs(p[i] - q[i])
				mean += d
				worst = max(worst, d)
				n++
			}
		}
	}
	return mean / float64(n), worst
}

func square(m image.Image, x, y, side int) (sum [3]float64) {
	for dy := range side {
		for dx := range side {
			r, g, b, _ := m.At(m.Bounds().Min.X+x+dx, m.Bounds().Min.Y+y+dy).RGBA()
			for i, v := range []uint32{r, g, b} {
				sum[i] += float64(v>>8) / float64(side*side)
			}
		}
	}
	return sum
}

// cut copies a part of a picture, turned clockwise by a multiple of 90 degrees.
func cut(m image.Image, part image.Rectangle, degrees int) image.Image {
	w, h := part.Dx(), part.Dy()
	if degrees%180 != 0 {
		w, h = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range part.Dy() {
		for x := range part.Dx() {
			tx, ty := x, y
			switch degrees {
			case 90:
				tx, ty = part.Dy()-1-y, x
			case 180:
				tx, ty = part.Dx()-1-x, part.Dy()-1-y
			case 270:
				tx, ty = y, part.Dx()-1-x
			}
			out.Set(tx, ty, m.At(part.Min.X+x, part.Min.Y+y))
		}
	}
	return out
}
