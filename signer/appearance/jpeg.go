package appearance

import (
	"bytes"
	"encoding/binary"
)

// jpegFile is what is known of a JPEG file from its markers (ITU-T T.81 annex B).
type jpegFile struct {
	width, height, components int
	names                     string // one byte each
	adobe                     bool   // has an Adobe marker
	orientation               orientation
	data                      []byte // from SOI to EOI, without metadata
}

// Markers.
const (
	markSOF0, markSOF1, markSOF2 = 0xc0, 0xc1, 0xc2
	markDHT, markJPG, markDAC    = 0xc4, 0xc8, 0xcc
	markRST0, markRST7           = 0xd0, 0xd7
	markSOI, markEOI, markSOS    = 0xd8, 0xd9, 0xda
	markAPP0, markAPP1           = 0xe0, 0xe1
	markAPP14, markAPP15         = 0xee, 0xef
	markCOM, markTEM             = 0xfe, 0x01
)

// scanJPEG walks the markers of a file. It keeps what an image needs, with the JFIF and Adobe segments, and drops other
// application segments, comments and whatever follows the end. Errors wrap ErrPicture.
func scanJPEG(data []byte) (*jpegFile, error) {
	j := &jpegFile{data: []byte{0xff, markSOI}}
	for at := 2; ; {
		mark, next, err := nextMarker(data, at)
		if err != nil {
			return nil, err
		}
		if mark == markEOI {
			if j.components == 0 {
				return nil, badPicture("JPEG without an image")
			}
			j.data = append(j.data, 0xff, markEOI)
			return j, nil
		}
		if len(data)-next < 2 || u16(data, next) < 2 || u16(data, next) > len(data)-next {
			return nil, badPicture("JPEG: segment at byte %d", next-2)
		}
		end := next + u16(data, next)
		body := data[next+2 : end]
		if err := j.segment(mark, body); err != nil {
			return nil, err
		}
		if mark == markSOS {
			end = scanEnd(data, end)
		}
		if keep(mark) {
			j.data = append(append(j.data, 0xff, mark), data[next:end]...)
		}
		at = end
	}
}

// nextMarker reads a marker, which any number of fill bytes may precede, and returns the offset after it.
func nextMarker(data []byte, at int) (mark byte, next int, err error) {
	if at < len(data) && data[at] != 0xff {
		return 0, 0, badPicture("JPEG: no marker at byte %d", at)
	}
	for at < len(data) && data[at] == 0xff {
		at++
	}
	if at >= len(data) {
		return 0, 0, badPicture("JPEG: the file ends before its image")
	}
	if m := data[at]; m == 0 || m == markSOI || m == markTEM || m >= markRST0 && m <= markRST7 {
		return 0, 0, badPicture("JPEG: marker %#02x at byte %d", m, at)
	}
	return data[at], at + 1, nil
}

// scanEnd returns where the entropy-coded data ends: at the next marker that is not a restart.
func scanEnd(data []byte, at int) int {
	for ; at+1 < len(data); at++ {
		if m := data[at+1]; data[at] == 0xff && m != 0 && m != 0xff && (m < markRST0 || m > markRST7) {
			return at
		}
	}
	return len(data)
}

// keep reports whether a segment belongs to the image.
func keep(mark byte) bool {
	return mark != markCOM && (mark < markAPP0 || mark > markAPP15 || mark == markAPP0 || mark == markAPP14)
}

func (j *jpegFile) segment(mark byte, body []byte) error {
	switch {
	case mark == markSOF0 || mark == markSOF1 || mark == markSOF2:
		return j.frame(body)
	case mark > markSOF2 && mark <= 0xcf && mark != markDHT && mark != markJPG && mark != markDAC:
		return badPicture("JPEG of a kind that PDF readers do not read (lossless, hierarchical or arithmetic); give it as baseline or progressive")
	case mark == markSOS && j.components == 0:
		return badPicture("JPEG: image data before its header")
	case mark == markAPP14 && len(body) >= 12 && string(body[:5]) == "Adobe":
		j.adobe = true
	case mark == markAPP1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) && j.orientation == 0:
		j.orientation = exifOrientation(body[6:])
	}
	return nil
}

// frame reads a frame header.
func (j *jpegFile) frame(body []byte) error {
	switch {
	case j.components != 0:
		return badPicture("JPEG with two images")
	case len(body) < 6 || len(body) != 6+3*int(body[5]):
		return badPicture("JPEG: frame header")
	case body[0] != 8:
		return badPicture("JPEG with %d bits a colour; give it with 8", body[0])
	}
	for i := 6; i < len(body); i += 3 {
		j.names += string(body[i])
	}
	j.height, j.width, j.components = u16(body, 1), u16(body, 3), int(body[5])
	if j.components != 1 && j.components != 3 && j.components != 4 {
		return badPicture("JPEG with %d colours", j.components)
	}
	return nil
}

// checkColours refuses files in which readers guess what the colours are.
func (j *jpegFile) checkColours() error {
	switch {
	case j.components == 4 && !j.adobe:
		return badPicture("JPEG in CMYK without an Adobe marker, which says how its values are meant; give it in RGB")
	case j.names == "RGB" && !j.adobe:
		return badPicture("JPEG in RGB without an Adobe marker; give it in YCbCr as usual")
	}
	return nil
}

func u16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }

// exifOrientation finds the tag in the first directory of Exif data; damaged data say nothing.
func exifOrientation(b []byte) orientation {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(b[:2]) == "II" {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	const entry, tag, short = 12, 0x0112, 3
	b = b[at:]
	for i := range int(order.Uint16(b)) {
		if len(b) < 2+entry*(i+1) {
			return 0
		}
		e := b[2+entry*i:]
		if order.Uint16(e) == tag && order.Uint16(e[2:]) == short {
			if v := order.Uint16(e[8:]); v <= 8 {
				return orientation(v)
			}
			return 0
		}
	}
	return 0
}
