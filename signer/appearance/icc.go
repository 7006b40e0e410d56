package appearance

import (
	"encoding/binary"
	"math"
)

// iccProfile writes the colour profile of sRGB, or of grey with the same tone curve, in version 2.1 of the format
// (ICC.1:2001-04), which every edition of PDF since 1.3 and of PDF/A reads. Device colours would mean something else
// in each document, and PDF/A allows them only beside a fitting output intent.
func iccProfile(grey bool) []byte {
	type tag struct {
		name string
		data []byte
	}
	space, name, curves := "RGB ", "sRGB", []string{"rTRC", "gTRC", "bTRC"}
	if grey {
		space, name, curves = "GRAY", "sGrey", []string{"kTRC"}
	}
	tags := []tag{
		{"desc", iccDescription(name)},
		{"cprt", append([]byte("text\x00\x00\x00\x00"), "No copyright, use freely.\x00"...)},
		{"wtpt", iccXYZ(0.9642, 1, 0.8249)}, // D50, to which the primaries are adapted
	}
	if !grey {
		tags = append(tags, tag{"rXYZ", iccXYZ(0.4361, 0.2225, 0.0139)}, tag{"gXYZ", iccXYZ(0.3851, 0.7169, 0.0971)},
			tag{"bXYZ", iccXYZ(0.1431, 0.0606, 0.7141)})
	}
	const header = 128
	start := header + 4 + 12*(len(tags)+len(curves))
	table := binary.BigEndian.AppendUint32(nil, uint32(len(tags)+len(curves)))
	var body []byte
	entry := func(name string, at, size int) {
		table = binary.BigEndian.AppendUint32(append(table, name...), uint32(start+at))
		table = binary.BigEndian.AppendUint32(table, uint32(size))
	}
	put := func(data []byte) (at int) {
		at = len(body)
		body = append(body, data...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		return at
	}
	for _, t := range tags {
		entry(t.name, put(t.data), len(t.data))
	}
	curve := iccCurve()
	at := put(curve)
	for _, name := range curves { // one curve for all
		entry(name, at, len(curve))
	}

	h := make([]byte, header)
	binary.BigEndian.PutUint32(h, uint32(start+len(body)))
	binary.BigEndian.PutUint32(h[8:], 0x02100000)
	copy(h[12:], "mntr"+space+"XYZ ")
	for i, v := range []uint16{2000, 1, 1} { // a date is needed, and the same always
		binary.BigEndian.PutUint16(h[24+2*i:], v)
	}
	copy(h[36:], "acsp")
	copy(h[68:], iccXYZ(0.9642, 1, 0.8249)[8:])
	return append(append(h, table...), body...)
}

func iccXYZ(x, y, z float64) []byte {
	b := []byte("XYZ \x00\x00\x00\x00")
	for _, v := range []float64{x, y, z} {
		b = binary.BigEndian.AppendUint32(b, uint32(math.Round(v*65536)))
	}
	return b
}

// iccDescription writes a name in ASCII, and none in the other two encodings of this type.
func iccDescription(name string) []byte {
	b := binary.BigEndian.AppendUint32([]byte("desc\x00\x00\x00\x00"), uint32(len(name)+1))
	b = append(append(b, name...), 0)
	return append(b, make([]byte, 4+4+2+1+67)...)
}

// iccCurve writes the tone curve of sRGB (IEC 61966-2-1) at 256 points.
func iccCurve() []byte {
	const points = 256
	b := binary.BigEndian.AppendUint32([]byte("curv\x00\x00\x00\x00"), points)
	for i := range points {
		v := float64(i) / (points - 1)
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(math.Round(v*65535)))
	}
	return b
}
