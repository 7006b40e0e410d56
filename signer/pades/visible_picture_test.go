package pades_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
)

// pictured signs with a picture alone, in a box of 120 × 60 points at (20, 20) from the top left corner, and shows it.
func pictured(t *testing.T, picture []byte, background appearance.Colour) map[string]image.Image {
	t.Helper()
	in := onPage("/MediaBox [0 0 200 150]")
	out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{
		Picture: picture, PicturePlace: appearance.PictureOnly, Corner: appearance.TopLeft, Width: 120, Height: 60, Margin: 20,
		Background: background, Border: "none",
	}))
	padestest.Judge(t, in, out, 1)
	return map[string]image.Image{"pdftoppm": poppler(t, out, dpi), "mutool": mupdf(t, out, dpi)}
}

// quarters is a picture of 40 × 20 pixels: red and green above, blue and the given colour below.
func quarters(last color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 40, 20))
	for y := range 20 {
		for x := range 40 {
			c := []color.NRGBA{{R: 220, G: 20, B: 20, A: 255}, {R: 20, G: 160, B: 20, A: 255}, {R: 20, G: 20, B: 200, A: 255}, last}
			m.SetNRGBA(x, y, c[2*(y/10)+x/20])
		}
	}
	return m
}

// wantQuarters looks into the middle of each quarter of the box.
func wantQuarters(t *testing.T, what string, m image.Image, want [4]color.NRGBA) {
	t.Helper()
	for i, p := range [4][2]float64{{50, 35}, {110, 35}, {50, 65}, {110, 65}} {
		if got := at(m, p[0], p[1]); !closeTo(got, want[i]) {
			t.Errorf("%s: quarter %d is %v, not %v", what, i, got, want[i])
		}
	}
}

func TestPictureKeepsItsColours(t *testing.T) {
	yellow := color.NRGBA{R: 240, G: 200, B: 20, A: 255}
	m := quarters(yellow)
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	grey := image.NewGray(m.Bounds())
	for i := range grey.Pix {
		grey.Pix[i] = []uint8{30, 90, 150, 220}[2*(i/40/10)+i%40/20]
	}
	var greyPhoto bytes.Buffer
	if err := jpeg.Encode(&greyPhoto, grey, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	shades := [4]color.NRGBA{{30, 30, 30, 255}, {90, 90, 90, 255}, {150, 150, 150, 255}, {220, 220, 220, 255}}
	colours := [4]color.NRGBA{m.NRGBAAt(0, 0), m.NRGBAAt(30, 0), m.NRGBAAt(0, 15), yellow}
	for name, c := range map[string]struct {
		picture []byte
		want    [4]color.NRGBA
	}{
		"PNG": {pngBytes(m), colours}, "JPEG": {photo.Bytes(), colours},
		"grey PNG": {pngBytes(grey), shades}, "grey JPEG": {greyPhoto.Bytes(), shades},
	} {
		for program, got := range pictured(t, c.picture, "none") {
			wantQuarters(t, name+" by "+program, got, c.want)
		}
	}
}

// A half-transparent quarter lets the background through, or the page where there is none. Nothing is transparent in
// the file unless the picture is and stands on the page itself.
func TestPictureWithAlpha(t *testing.T) {
	m := quarters(color.NRGBA{R: 0, G: 0, B: 0, A: 128})
	for program, got := range pictured(t, pngBytes(m), "#FFFF00") {
		wantQuarters(t, program, got, [4]color.NRGBA{m.NRGBAAt(0, 0), m.NRGBAAt(30, 0), m.NRGBAAt(0, 15), {127, 127, 0, 255}})
	}
	for program, got := range pictured(t, pngBytes(m), "none") {
		wantQuarters(t, program, got, [4]color.NRGBA{m.NRGBAAt(0, 0), m.NRGBAAt(30, 0), m.NRGBAAt(0, 15), {127, 127, 127, 255}})
	}
	in := onPage("/MediaBox [0 0 200 150]")
	for _, c := range []struct {
		alpha      uint8
		background appearance.Colour
		mask       bool
	}{{128, "none", true}, {255, "none", false}, {128, "", false}, {128, "#FFFF00", false}} {
		out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{
			Picture: pngBytes(quarters(color.NRGBA{A: c.alpha})), PicturePlace: appearance.PictureOnly, Width: 100, Height: 50, Background: c.background,
		}))
		if got := bytes.Contains(out, []byte("/SMask")); got != c.mask {
			t.Errorf("alpha %d over %q: mask is %v", c.alpha, c.background, got)
		}
	}
}

// A picture of other proportions than its part is fitted into the middle and not distorted.
func TestPictureIsNotDistorted(t *testing.T) {
	square := image.NewNRGBA(image.Rect(0, 0, 30, 30))
	for i := range square.Pix {
		square.Pix[i] = 255 * uint8(i%4/3) // black, opaque
	}
	for program, m := range pictured(t, pngBytes(square), "none") {
		got := inked(m)
		if d := got.Dx() - got.Dy(); max(d, -d) > 2 || got.Dy() < 2*45 || !near(got.Add(image.Pt(-160, -100)), image.Rect(-got.Dx()/2, -got.Dy()/2, got.Dx()/2, got.Dy()/2)) {
			t.Errorf("%s: a square became %v", program, got)
		}
	}
}

// A photograph that was taken with the camera turned stands upright.
func TestPictureOrientation(t *testing.T) {
	upright := quarters(color.NRGBA{R: 240, G: 200, B: 20, A: 255})
	w, h := upright.Bounds().Dx(), upright.Bounds().Dy()
	// Where a stored pixel comes from in the upright picture (Exif 2.32, Orientation).
	from := map[uint16]func(x, y int) (int, int){
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return w - 1 - y, x },
		7: func(x, y int) (int, int) { return w - 1 - y, h - 1 - x },
		8: func(x, y int) (int, int) { return y, h - 1 - x },
	}
	for value, f := range from {
		size := image.Rect(0, 0, w, h)
		if value >= 5 {
			size = image.Rect(0, 0, h, w)
		}
		stored := image.NewNRGBA(size)
		for y := range size.Dy() {
			for x := range size.Dx() {
				ux, uy := f(x, y)
				stored.Set(x, y, upright.At(ux, uy))
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, stored, &jpeg.Options{Quality: 95}); err != nil {
			t.Fatal(err)
		}
		tag := binary.LittleEndian.AppendUint16([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00"), value)
		tag = append(tag, 0, 0, 0, 0, 0, 0)
		segment := append([]byte{0xff, 0xe1, 0, byte(len(tag) + 2)}, tag...)
		picture := slices.Concat(b.Bytes()[:2], segment, b.Bytes()[2:])
		for program, m := range pictured(t, picture, "none") {
			wantQuarters(t, program, m, [4]color.NRGBA{upright.NRGBAAt(0, 0), upright.NRGBAAt(30, 0), upright.NRGBAAt(0, 15), upright.NRGBAAt(30, 15)})
		}
	}
}

func TestPictureThatIsABomb(t *testing.T) {
	huge := image.NewGray(image.Rect(0, 0, 3000, 3000)) // few bytes, many pixels
	var b bytes.Buffer
	if err := png.Encode(&b, huge); err != nil {
		t.Fatal(err)
	}
	a := appearance.Appearance{Picture: b.Bytes()}
	if err := a.Check(); err == nil {
		t.Error("a picture of 9 million pixels is taken")
	}
}
