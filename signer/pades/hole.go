package pades

import "fmt"

// CMS returns the CMS that stands in the bytes which Embed or EmbedCMS returned, without the padding. ErrChanged when they
// are not of this signature.
func (p *Prepared) CMS(tail []byte) ([]byte, error) {
	hole := 2 + 2*p.reserve
	if len(tail) != len(p.head)+hole+len(p.foot) {
		return nil, fmt.Errorf("%w: %d bytes behind the original", ErrChanged, len(tail))
	}
	cms, err := decodeContents(tail[len(p.head) : len(p.head)+hole])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return cms, nil
}

// Reserved returns how many bytes of CMS fit.
func (p *Prepared) Reserved() int { return p.reserve }

// ByteRange returns the two ranges that the signature covers, each as offset and length, as /ByteRange has them.
func (p *Prepared) ByteRange() [4]int64 { return p.byteRange() }
