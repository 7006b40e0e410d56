package object

import (
	"bytes"
	"compress/zlib"
	"fmt"
)

// Deflate compresses data for the filter FlateDecode.
func Deflate(data []byte) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer never returns an error
	}
	return z.Bytes()
}

// Unpredict undoes the PNG predictors (ISO 32000-1 section 7.4.4.4), in place.
func Unpredict(data []byte, params Value) ([]byte, error) {
	get := func(key string, def int64) int64 {
		if v := params.Get(key); v.Kind != Null {
			if v.Kind != Integer {
				return -1
			}
			return v.Int
		}
		return def
	}
	predictor := get("Predictor", 1)
	if predictor == 1 {
		return data, nil
	}
	columns, colors, bits := get("Columns", 1), get("Colors", 1), get("BitsPerComponent", 8)
	if predictor < 10 || predictor > 15 {
		return nil, fmt.Errorf("%w: predictor %d of a structural stream", ErrUnsupported, predictor)
	}
	if columns < 1 || columns > int64(len(data)) || colors != 1 || bits != 8 {
		return nil, fmt.Errorf("%w: predictor with %d columns, %d colors, %d bits", ErrDamaged, columns, colors, bits)
	}
	row := int(columns)
	if len(data)%(row+1) != 0 {
		return nil, fmt.Errorf("%w: predictor rows do not fill the stream", ErrDamaged)
	}
	out := data[:0]
	prior := make([]byte, row)
	for len(data) > 0 {
		tag, line := data[0], data[1:row+1]
		data = data[row+1:]
		if tag > 4 {
			return nil, fmt.Errorf("%w: PNG predictor %d", ErrDamaged, tag)
		}
		left, upperLeft := byte(0), byte(0)
		for i := range line {
			up := prior[i]
			switch tag {
			case 1:
				line[i] += left
			case 2:
				line[i] += up
			case 3:
				line[i] += byte((int(left) + int(up)) / 2)
			case 4:
				line[i] += paeth(left, up, upperLeft)
			}
			left, upperLeft = line[i], up
		}
		copy(prior, line)
		out = append(out, line...) // one byte a row behind the read position, so never ahead of it
	}
	return out, nil
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	abs := func(v int) int { return max(v, -v) }
	pa, pb, pc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}
