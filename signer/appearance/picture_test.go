package appearance

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inflate(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// chunk and pngFile write a PNG by hand, for the kinds that the encoder of the library does not make.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngFile(w, h uint32, bits, kind, interlace byte, rows []byte, more ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	head = append(head, bits, kind, 0, 0, interlace)
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", head), slices.Concat(more...), chunk("IDAT", object.Deflate(rows)), chunk("IEND", nil))
}

// Every picture here is the same two pixels: red, and blue or half-transparent blue.
func TestKindsOfPNG(t *testing.T) {
	red, blue, half := color.NRGBA{R: 255, A: 255}, color.NRGBA{B: 255, A: 255}, color.NRGBA{B: 255, A: 128}
	two := func(m interface {
		image.Image
		Set(x, y int, c color.Color)
	}, second color.Color,
	) []byte {
		m.Set(0, 0, red)
		m.Set(1, 0, second)
		return pngOf(t, m)
	}
	r := image.Rect(0, 0, 2, 1)
	colours := []byte{255, 0, 0, 0, 0, 255}
	for name, c := range map[string]struct {
		data  []byte
		want  []byte
		alpha []byte
	}{
		"rgb":              {two(image.NewRGBA(r), blue), colours, nil},
		"rgb, alpha":       {two(image.NewNRGBA(r), half), colours, []byte{255, 128}},
		"16 bits, alpha":   {two(image.NewNRGBA64(r), half), colours, []byte{255, 128}},
		"palette":          {two(image.NewPaletted(r, color.Palette{red, blue}), blue), colours, nil},
		"palette, alpha":   {two(image.NewPaletted(r, color.Palette{red, half}), half), colours, []byte{255, 128}},
		"interlaced":       {pngFile(2, 1, 8, 2, 1, []byte{0, 255, 0, 0, 0, 0, 0, 255}), colours, nil},
		"interlaced, tRNS": {pngFile(2, 1, 2, 3, 1, []byte{0, 0, 0, 0x40}, chunk("PLTE", colours), chunk("tRNS", []byte{255, 128})), colours, []byte{255, 128}},
		"grey":             {pngFile(2, 1, 8, 0, 0, []byte{0, 10, 200}), []byte{10, 200}, nil},
		"one bit":          {pngFile(2, 1, 1, 0, 0, []byte{0, 0x40}), []byte{0, 255}, nil},
		"grey, alpha":      {pngFile(2, 1, 8, 4, 0, []byte{0, 10, 255, 200, 7}), []byte{10, 200}, []byte{255, 7}},
	} {
		p, err := readPicture(c.data, "none")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := inflate(t, p.data); !bytes.Equal(got, c.want) || strings.Contains(p.space, "Gray") != (len(c.want) == 2) {
			t.Errorf("%s: %s % d", name, p.space, got)
		}
		if (p.alpha == nil) != (c.alpha == nil) || p.alpha != nil && !bytes.Equal(inflate(t, p.alpha), c.alpha) {
			t.Errorf("%s: wrong mask", name)
		}
	}
}

func TestPicturesThatCannotBeUsed(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 16, 8))
	good := jpegOf(t, grey)
	sof := bytes.Index(good, []byte{0xff, markSOF0})
	changed := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for want, data := range map[string][]byte{
		"neither a PNG nor a JPEG":                         []byte("GIF89a"),
		"larger than 1048576 bytes":                        make([]byte, maxPictureSize+1),
		"100000 × 100000 pixels":                           pngFile(100000, 100000, 8, 0, 0, nil),
		"1 × 501 pixels is a line":                         pngFile(1, 501, 8, 0, 0, nil),
		"PNG: png: unsupported feature":                    pngFile(2, 1, 8, 9, 0, nil),
		"PNG: png: invalid format: zlib: invalid checksum": nil, // below
		"without an image":                                 {0xff, 0xd8, 0xff, 0xd9},
		"no marker at byte 2":                              {0xff, 0xd8, 0, 0},
		"ends before its image":                            {0xff, 0xd8, 0xff, 0xff},
		"segment at byte 2":                                {0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff},
		"marker 0xd8 at byte 3":                            {0xff, 0xd8, 0xff, 0xd8},
		"lossless, hierarchical":                           changed(sof+1, 0xc3),
		"or arithmetic":                                    changed(sof+1, 0xc9),
		"with 12 bits":                                     changed(sof+4, 12),
		"65288 × 65288":                                    changed(sof+5, 0xff),
		"frame header":                                     changed(sof+9, 3),
		"with 2 colours":                                   {0xff, 0xd8, 0xff, 0xc0, 0, 14, 8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0},
		"two images":                                       {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0},
		"before its header":                                {0xff, 0xd8, 0xff, 0xda, 0, 2},
		"CMYK without an Adobe marker":                     solidJPEG(markSOF0, -1, "\x01\x02\x03\x04", 1, 2, 3, 4),
		"RGB without an Adobe marker":                      solidJPEG(markSOF0, -1, "RGB", 1, 2, 3),
		"the file ends before its image":                   good[:len(good)-2],
		"JPEG: invalid JPEG format: missing":               {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xd9},
	} {
		if want == "PNG: png: invalid format: zlib: invalid checksum" {
			rows := object.Deflate([]byte{0, 10, 200})
			rows[len(rows)-1] ^= 1
			data = slices.Concat(pngFile(2, 1, 8, 0, 0, nil)[:33], chunk("IDAT", rows), chunk("IEND", nil))
		}
		if want == "65288 × 65288" {
			data[sof+7] = 0xff
			data[sof+6], data[sof+8] = 8, 8
		}
		_, err := readPicture(data, "none")
		if !errors.Is(err, ErrPicture) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
	}
}

// solidJPEG writes an image of 8 × 8 pixels in one colour by hand: baseline or progressive, with any number of
// components, their names, and an Adobe marker with this transform unless it is negative. The quantisation is 8, so that
// a level is the DC coefficient itself.
func solidJPEG(sof byte, adobe int, names string, levels ...byte) []byte {
	n := len(levels)
	segment := func(mark byte, data ...byte) []byte {
		return append([]byte{0xff, mark, 0, byte(len(data) + 2)}, data...)
	}
	out := []byte{0xff, markSOI}
	if adobe >= 0 {
		out = append(out, segment(markAPP14, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), byte(adobe))...)...)
	}
	out = append(out, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...)...)
	frame, scan := []byte{8, 0, 8, 0, 8, byte(n)}, []byte{byte(n)}
	for i := range n {
		frame = append(frame, names[i], 0x11, 0)
		scan = append(scan, names[i], 0)
	}
	out = append(out, segment(sof, frame...)...)
	// DC table: categories 0 to 8, all with four bits, in order. AC table: end of block alone, with one bit.
	out = append(out, segment(markDHT, append(append([]byte{0}, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 1, 2, 3, 4, 5, 6, 7, 8)...)...)
	out = append(out, segment(markDHT, append(append([]byte{0x10}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0)...)...)
	last := byte(63)
	if sof == markSOF2 {
		last = 0 // a scan of DC coefficients alone
	}
	out = append(out, segment(markSOS, append(scan, 0, last, 0)...)...)
	bits := ""
	for _, v := range levels {
		dc, size := int(v)-128, 0
		for abs := max(dc, -dc); abs>>size > 0; size++ {
		}
		if dc < 0 {
			dc += 1<<size - 1
		}
		bits += binaryDigits(size, 4) + binaryDigits(dc, size)
		if sof != markSOF2 {
			bits += "0"
		}
	}
	for len(bits)%8 != 0 {
		bits += "1"
	}
	for ; bits != ""; bits = bits[8:] {
		b := byte(0)
		for _, d := range bits[:8] {
			b = b<<1 | byte(d-'0')
		}
		if out = append(out, b); b == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, markEOI)
}

func binaryDigits(v, n int) string {
	s := ""
	for i := n - 1; i >= 0; i-- {
		s += string('0' + rune(v>>i&1))
	}
	return s
}

func TestKindsOfJPEG(t *testing.T) {
	for name, c := range map[string]struct {
		data  []byte
		space string
	}{
		"grey":              {solidJPEG(markSOF0, -1, "\x01", 60), "/ColorSpace /DeviceGray"},
		"colour":            {solidJPEG(markSOF0, -1, "\x01\x02\x03", 60, 90, 200), "/ColorSpace /DeviceRGB"},
		"progressive":       {solidJPEG(markSOF2, -1, "\x01\x02\x03", 60, 90, 200), "/ColorSpace /DeviceRGB"},
		"extended":          {solidJPEG(markSOF1, -1, "\x01\x02\x03", 60, 90, 200), "/ColorSpace /DeviceRGB"},
		"RGB and Adobe":     {solidJPEG(markSOF0, 0, "RGB", 60, 90, 200), "/ColorSpace /DeviceRGB"},
		"CMYK and Adobe":    {solidJPEG(markSOF0, 0, "\x01\x02\x03\x04", 1, 2, 3, 4), "/ColorSpace /DeviceCMYK /Decode [1 0 1 0 1 0 1 0]"},
		"of library":        {jpegOf(t, image.NewRGBA(image.Rect(0, 0, 30, 20))), "/ColorSpace /DeviceRGB"},
		"grey, of library":  {jpegOf(t, image.NewGray(image.Rect(0, 0, 30, 20))), "/ColorSpace /DeviceGray"},
		"something follows": {append(solidJPEG(markSOF0, -1, "\x01", 60), "a film"...), "/ColorSpace /DeviceGray"},
	} {
		p, err := readPicture(c.data, "none")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.space != c.space || p.filter != "/DCTDecode" || p.alpha != nil {
			t.Errorf("%s: %s %s", name, p.space, p.filter)
		}
		if !bytes.Equal(p.data, bytes.TrimSuffix(c.data, []byte("a film"))) {
			t.Errorf("%s: the image was changed", name)
		}
	}
}

// exif is a segment with an orientation in either byte order.
func exif(order binary.AppendByteOrder, mark string, value uint16) []byte {
	b := append([]byte("Exif\x00\x00"), mark...)
	b = order.AppendUint16(b, 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, e := range [][2]uint16{{0x010f, 7}, {0x0112, value}} {
		b = order.AppendUint16(order.AppendUint16(b, e[0]), 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(order.AppendUint16(b, e[1]), 0)
	}
	return append([]byte{0xff, markAPP1, 0, byte(len(b) + 2)}, b...)
}

func TestJPEGKeepsItsOrientationAndNoMetadata(t *testing.T) {
	plain := solidJPEG(markSOF0, -1, "\x01", 60)
	for v := range uint16(10) {
		want := orientation(v)
		if v > 8 {
			want = 0
		}
		for _, e := range [][]byte{exif(binary.BigEndian, "MM", v), exif(binary.LittleEndian, "II", v)} {
			comment := []byte{0xff, markCOM, 0, 8, 's', 'e', 'c', 'r', 'e', 't'}
			p, err := readPicture(slices.Concat(plain[:2], e, comment, plain[2:]), "none")
			if err != nil || p.orientation != want {
				t.Errorf("orientation %d: %+v, %v", v, p, err)
				continue
			}
			if !bytes.Equal(p.data, plain) {
				t.Errorf("orientation %d: metadata is left", v)
			}
		}
	}
}

func FuzzPicture(f *testing.F) {
	f.Add(pngFile(2, 1, 8, 2, 1, []byte{0, 255, 0, 0, 0, 0, 0, 255}))
	f.Add(pngOf(f, image.NewNRGBA64(image.Rect(0, 0, 9, 7))))
	f.Add(solidJPEG(markSOF2, 0, "\x01\x02\x03\x04", 60, 90, 200, 9))
	f.Add(solidJPEG(markSOF0, -1, "\x01\x02\x03", 60, 90, 200))
	plain := jpegOf(f, image.NewGray(image.Rect(0, 0, 9, 7)))
	f.Add(slices.Concat(plain[:2], exif(binary.LittleEndian, "II", 6), plain[2:]))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := readPicture(data, "#FFFFFF")
		if err != nil {
			if !errors.Is(err, ErrPicture) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if p.width <= 0 || p.height <= 0 || p.width*p.height > maxPixels || !(p.ratio() > 0) {
			t.Errorf("%d × %d pixels", p.width, p.height)
		}
		if p.filter == "/DCTDecode" {
			if again, err := readPicture(p.data, "none"); err != nil || !bytes.Equal(again.data, p.data) {
				t.Errorf("what was passed through reads otherwise: %v", err)
			}
		}
	})
}
