package pades_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

// gallery writes the pictures of docs/appearance.md anew:
//
//	go test ./signer/pades -run TestGallery -gallery ../../docs/pictures
var gallery = flag.String("gallery", "", "folder to write the pictures of the documentation into")

var kyiv = "Europe/Kyiv"

// example is one picture: a signature whose box fills a page of width × height points, less a margin of 6.
type example struct {
	name          string
	width, height float64
	facts         pades.Options // Name, Reason and Location
	look          appearance.Appearance
}

func examples() []example {
	uk := pades.Options{Name: "Шевченко Щасна Ґалаґанівна", Reason: "Погоджую договір", Location: "Київ, Україна"}
	pl := pades.Options{Name: "Świętosława Brzęczyszczykiewicz-Źdźbło", Reason: "Akceptuję umowę", Location: "Łódź, Polska"}
	en := pades.Options{Name: "Mary Ann O’Neill", Reason: "I approve this document", Location: "Kyiv"}
	only := pades.Options{Name: "Mary Ann O’Neill"}
	long := uk
	long.Name = "Вишневецька-Корибут Соломія-Єфросинія Всеволодівна, генеральна директорка"
	long.Reason = "Погоджую договір про надання кваліфікованих електронних довірчих послуг № 17/2026-ЩЇ"
	hand, mark := scribble(), emblem()
	const detail = appearance.Reason | appearance.Location | appearance.Time
	return []example{
		{"ukrainian", 216, 72, uk, appearance.Appearance{Language: "uk", Zone: kyiv}},
		{"polish", 216, 72, pl, appearance.Appearance{Language: "pl", Zone: "Europe/Warsaw"}},
		{"english", 216, 72, en, appearance.Appearance{Lines: []string{"Procurement, contract 17/2026"}}},
		{"picture-left", 216, 72, uk, appearance.Appearance{Language: "uk", Zone: kyiv, Picture: hand}},
		{"picture-right", 216, 72, pl, appearance.Appearance{Language: "pl", Picture: mark, PicturePlace: appearance.PictureRight}},
		{"picture-top", 130, 110, only, appearance.Appearance{Picture: hand, PicturePlace: appearance.PictureTop}},
		{"picture-behind", 216, 72, en, appearance.Appearance{Picture: pale(mark), PicturePlace: appearance.PictureBehind}},
		{"picture-only", 130, 60, only, appearance.Appearance{Picture: hand, PicturePlace: appearance.PictureOnly, Border: "none", Background: "none"}},
		{"long", 216, 72, long, appearance.Appearance{Language: "uk", Zone: kyiv}},
		{"narrow", 90, 110, uk, appearance.Appearance{Language: "uk", Zone: kyiv}},
		{"tiny", 90, 22, only, appearance.Appearance{Hide: detail}},
		{"huge", 420, 200, uk, appearance.Appearance{Language: "uk", Zone: kyiv, Picture: mark}},
		{"turned", 60, 190, en, appearance.Appearance{Rotate: 90}},
		{"plain", 216, 54, en, appearance.Appearance{Accent: "none", Border: "none", Background: "#EEF3EE", Hide: appearance.Location}},
	}
}

// file signs a page that the example fills.
func (e example) file(t *testing.T) []byte {
	t.Helper()
	const edge = 6
	in := onPage(fmt.Sprintf("/MediaBox [0 0 %v %v]", e.width+2*edge, e.height+2*edge))
	o := padestest.Options(padestest.EC())
	o.SigningTime = time.Date(2026, 5, 17, 9, 41, 7, 0, time.UTC)
	o.Name, o.Reason, o.Location = e.facts.Name, e.facts.Reason, e.facts.Location
	look := e.look
	look.Rect = pages.Box{edge, edge, edge + e.width, edge + e.height}
	o.Appearance = &look
	return padestest.SignPDF(t, in, padestest.EC(), o)
}

func TestGallery(t *testing.T) {
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			file := e.file(t)
			got := poppler(t, file, 144)
			alike(t, "pdftoppm", got, "mutool", mupdf(t, file, 144))
			name := filepath.Join("../../docs/pictures", e.name+".png")
			if *gallery != "" {
				name = filepath.Join(*gallery, e.name+".png")
				if err := os.WriteFile(name, encodePNG(t, got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			m, err := png.Decode(bytes.NewReader(kept))
			if err != nil {
				t.Fatal(err)
			}
			alike(t, name, m, "pdftoppm", got)
		})
	}
}

func encodePNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// scribble draws what a hand might: blue ink on nothing.
func scribble() []byte {
	const w, h, pen = 360, 150, 3.2
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range 4000 {
		t := float64(i) / 4000
		x := 24 + 300*t + 26*math.Sin(2*math.Pi*7*t)
		y := 78 - 46*math.Cos(2*math.Pi*7*t+0.6)*math.Exp(-1.7*t) + 14*math.Sin(2*math.Pi*3*t)
		dot(m, x, y, pen*(0.55+0.45*math.Sin(2*math.Pi*7*t)*math.Sin(2*math.Pi*7*t)))
	}
	for i := range 1500 {
		t := float64(i) / 1500
		dot(m, 60+250*t, 124-16*t+6*math.Sin(3*t), pen*(1-0.75*t))
	}
	return pngBytes(m)
}

// dot puts a soft round dot.
func dot(m *image.NRGBA, x, y, r float64) {
	for py := int(y - r - 1); py <= int(y+r+1); py++ {
		for px := int(x - r - 1); px <= int(x+r+1); px++ {
			cover := min(max(r+0.5-math.Hypot(float64(px)-x, float64(py)-y), 0), 1)
			if a := uint8(255 * cover); a > m.NRGBAAt(px, py).A {
				m.SetNRGBA(px, py, color.NRGBA{R: 24, G: 52, B: 140, A: a})
			}
		}
	}
}

// emblem draws a ring with a tick, opaque inside.
func emblem() []byte {
	const n = 240
	m := image.NewNRGBA(image.Rect(0, 0, n, n))
	tick := func(x, y float64) float64 { // distance from its two strokes
		return min(toLine(x, y, 72, 124, 106, 158), toLine(x, y, 106, 158, 172, 86))
	}
	for y := range n {
		for x := range n {
			fx, fy := float64(x)+0.5, float64(y)+0.5
			r := math.Hypot(fx-n/2, fy-n/2)
			edge := func(d float64) float64 { return min(max(d+0.5, 0), 1) }
			paper := edge(n/2-16-r) * (1 - edge(11-tick(fx, fy)))
			m.SetNRGBA(x, y, color.NRGBA{
				R: mix(0x1f, 0xf4, paper), G: mix(0x3a, 0xf6, paper), B: mix(0x5f, 0xf9, paper), A: uint8(255 * edge(n/2-2-r)),
			})
		}
	}
	return pngBytes(m)
}

// toLine returns the distance of a point from a piece of a line.
func toLine(x, y, ax, ay, bx, by float64) float64 {
	dx, dy := bx-ax, by-ay
	t := min(max(((x-ax)*dx+(y-ay)*dy)/(dx*dx+dy*dy), 0), 1)
	return math.Hypot(x-ax-t*dx, y-ay-t*dy)
}

func mix(a, b, t float64) uint8 { return uint8(a + (b-a)*t) }

// pale makes a picture that text can stand on.
func pale(data []byte) []byte {
	m := padestest.Must(png.Decode(bytes.NewReader(data))).(*image.NRGBA)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] /= 6
	}
	return pngBytes(m)
}

func pngBytes(m image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}
