package appearance

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Limits of a picture: more is never needed for a signature, and all of it goes into the signed file.
const (
	maxPictureSize = 1 << 20 // bytes of the file
	maxPixels      = 1 << 22
)

// picture is an image in the encoding in which it is put into the file.
type picture struct {
	width, height int // as stored
	orientation   orientation
	space         string // colour space and, for CMYK, /Decode
	data          []byte
	filter        string
	alpha         []byte // compressed, eight bits a pixel; nil when the picture is opaque
}

func badPicture(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPicture, fmt.Sprintf(format, args...))
}

// readPicture reads a PNG or JPEG file whole, so that a damaged one is found now and not by a reader of the signed
// document. What is transparent is blended with the colour behind it, and has a mask of its own only where that is
// none: so a file that allows no transparency, such as PDF/A-1, can take it. Errors wrap ErrPicture.
func readPicture(data []byte, behind Colour) (*picture, error) {
	if len(data) > maxPictureSize {
		return nil, badPicture("larger than %d bytes; give a smaller one", maxPictureSize)
	}
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return readPNG(data, behind)
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return readJPEG(data)
	}
	return nil, badPicture("neither a PNG nor a JPEG file")
}

func checkSize(w, h int) error {
	if w <= 0 || h <= 0 || w > maxPixels/h {
		return badPicture("%d × %d pixels, more than %d in all; give a smaller one", w, h, maxPixels)
	}
	if w > 500*h || h > 500*w {
		return badPicture("%d × %d pixels is a line, not a picture", w, h)
	}
	return nil
}

// readPNG brings any kind of PNG (palette, 1 to 16 bits, interlaced) to eight bits of grey or RGB, and its alpha to a
// mask of its own. Gamma and colour profile are not considered: the values are taken as sRGB.
func readPNG(data []byte, behind Colour) (*picture, error) {
	head, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, badPicture("PNG: %v", err)
	}
	if err := checkSize(head.Width, head.Height); err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, badPicture("PNG: %v", err)
	}
	b := img.Bounds()
	rgb, alpha := make([]byte, 0, 3*b.Dx()*b.Dy()), make([]byte, 0, b.Dx()*b.Dy())
	grey, opaque, back := true, true, behind.rgb()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			if behind != "none" {
				c = over(c, back)
			}
			grey = grey && c.R == c.G && c.G == c.B
			opaque = opaque && c.A == 255
			rgb, alpha = append(rgb, c.R, c.G, c.B), append(alpha, c.A)
		}
	}
	p := &picture{width: b.Dx(), height: b.Dy(), space: "/ColorSpace /DeviceRGB", filter: "/FlateDecode", data: rgb}
	if grey {
		p.space, p.data = "/ColorSpace /DeviceGray", everyThird(rgb)
	}
	p.data = object.Deflate(p.data)
	if !opaque {
		p.alpha = object.Deflate(alpha)
	}
	return p, nil
}

// over returns an opaque colour: c as seen over back, whose parts are from 0 to 1.
func over(c color.NRGBA, back []float64) color.NRGBA {
	mix := func(v uint8, b float64) uint8 {
		return uint8((float64(v)*float64(c.A)+b*255*float64(255-c.A))/255 + 0.5)
	}
	return color.NRGBA{R: mix(c.R, back[0]), G: mix(c.G, back[1]), B: mix(c.B, back[2]), A: 255}
}

func everyThird(rgb []byte) []byte {
	out := make([]byte, 0, len(rgb)/3)
	for i := 0; i < len(rgb); i += 3 {
		out = append(out, rgb[i])
	}
	return out
}

// readJPEG passes the image through as it is, without the metadata in the file: a photograph's place and camera are
// nobody's business.
func readJPEG(data []byte) (*picture, error) {
	j, err := scanJPEG(data)
	if err != nil {
		return nil, err
	}
	if err := checkSize(j.width, j.height); err != nil {
		return nil, err
	}
	if err := j.checkColours(); err != nil {
		return nil, err
	}
	img, err := jpeg.Decode(bytes.NewReader(j.data))
	if err != nil {
		return nil, badPicture("JPEG: %v", err)
	}
	if img.Bounds() != image.Rect(0, 0, j.width, j.height) {
		return nil, badPicture("JPEG: the size in its header is not that of the image")
	}
	p := &picture{width: j.width, height: j.height, orientation: j.orientation, filter: "/DCTDecode", data: j.data}
	switch j.components {
	case 1:
		p.space = "/ColorSpace /DeviceGray"
	case 3:
		p.space = "/ColorSpace /DeviceRGB"
	default: // Adobe's programs store the four colours inverted
		p.space = "/ColorSpace /DeviceCMYK /Decode [1 0 1 0 1 0 1 0]"
	}
	return p, nil
}

// ratio returns width over height as shown.
func (p *picture) ratio() float64 {
	if p.orientation >= 5 {
		return float64(p.height) / float64(p.width)
	}
	return float64(p.width) / float64(p.height)
}

// put writes the image and its mask (ISO 32000-2 clauses 8.9.5 and 11.6.5.2).
func (p *picture) put(u *pdf.Update) object.Ref {
	head := fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 ", p.width, p.height)
	image, mask := u.New(), ""
	if p.alpha != nil {
		ref := u.New()
		u.Put(ref, object.StreamObject(head+"/ColorSpace /DeviceGray /Filter /FlateDecode", p.alpha))
		mask = fmt.Sprintf(" /SMask %v", ref)
	}
	u.Put(image, object.StreamObject(head+p.space+" /Filter "+p.filter+mask, p.data))
	return image
}

// orientation is how a camera held the picture (Exif 2.32, tag Orientation): 1 to 8, or 0 when it does not say.
type orientation int

// matrix turns the unit square in which the image is drawn; nil for nothing to turn.
func (o orientation) matrix() []float64 {
	switch o {
	case 2: // mirrored
		return []float64{-1, 0, 0, 1, 1, 0}
	case 3: // upside down
		return []float64{-1, 0, 0, -1, 1, 1}
	case 4:
		return []float64{1, 0, 0, -1, 0, 1}
	case 5:
		return []float64{0, -1, -1, 0, 1, 1}
	case 6: // turned clockwise to be upright
		return []float64{0, -1, 1, 0, 0, 1}
	case 7:
		return []float64{0, 1, 1, 0, 0, 0}
	case 8:
		return []float64{0, 1, -1, 0, 1, 0}
	}
	return nil
}
