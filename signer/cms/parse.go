package cms

import (
	"encoding/asn1"
	"fmt"
	"io"
)

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

func parse(src *source, limits Limits) (*SignedData, error) {
	p := &parser{src: src, limits: limits.orDefault()}
	s := &SignedData{src: src, limits: p.limits}
	p.contentInfo(s)
	if p.err == nil && p.pos != src.size {
		p.fail(ErrMalformed, p.pos, "file", "goes on behind its end")
	}
	if p.err != nil {
		return nil, p.err
	}
	src.window = nil
	return s, nil
}

func (p *parser) contentInfo(s *SignedData) {
	s.root = p.open(tagSequence, p.src.size, "ContentInfo")
	oid, _ := p.oid(p.limit(s.root), "contentType")
	if p.err == nil && !oid.Equal(oidSignedData) {
		p.fail(ErrUnsupported, p.pos, "contentType", fmt.Sprintf("is %v, not SignedData", oid))
	}
	s.wrap = p.open(tagContext0, p.limit(s.root), "content")
	p.signedData(s)
	p.close(&s.wrap, "content")
	p.close(&s.root, "ContentInfo")
}

func (p *parser) signedData(s *SignedData) {
	s.sd = p.open(tagSequence, p.limit(s.wrap), "SignedData")
	limit := p.limit(s.sd)
	s.Version, _ = p.small(limit, "version")
	s.version = p.pos - 1
	s.DigestAlgorithms = p.set(&s.digests, tagSet, limit, "digestAlgorithms")
	p.encapsulated(s, limit)
	if p.err == nil && p.src.base > p.pos {
		if p.src.size-p.pos > p.limits.Structure {
			p.fail(ErrLimit, p.pos, "SignedData", "is too long behind its content")
		} else {
			p.err = p.src.load(p.pos)
		}
	}
	if p.next(s.sd) == tagContext0 {
		s.Certificates = p.set(&s.certs, tagContext0, limit, "certificates")
	}
	if p.next(s.sd) == tagContext1 {
		s.RevocationInfos = p.set(&s.crls, tagContext1, limit, "crls")
	}
	s.signers = p.open(tagSet, limit, "signerInfos")
	for p.next(s.signers) != 0 {
		if len(s.Signers) >= p.limits.Signers {
			p.fail(ErrLimit, p.pos, "signerInfos", "are too many")
			return
		}
		s.Signers = append(s.Signers, p.signerInfo(p.limit(s.signers), fmt.Sprintf("SignerInfo %d", len(s.Signers))))
	}
	p.close(&s.signers, "signerInfos")
	p.close(&s.sd, "SignedData")
	for _, c := range s.Certificates {
		if c[0] != tagSequence && (c[0] < tagContext0 || c[0] > tagContext0+3) {
			p.fail(ErrMalformed, s.certs.off, "certificates", fmt.Sprintf("one has tag %#02x", c[0]))
		}
	}
	for _, c := range s.RevocationInfos {
		if c[0] != tagSequence && c[0] != tagContext1 {
			p.fail(ErrMalformed, s.crls.off, "crls", fmt.Sprintf("one has tag %#02x", c[0]))
		}
	}
}

// set reads the elements of a set.
func (p *parser) set(e *element, tag byte, limit int64, what string) (elements [][]byte) {
	*e = p.open(tag, limit, what)
	for p.next(*e) != 0 {
		if len(elements) >= p.limits.Elements {
			p.fail(ErrLimit, p.pos, what, "are too many")
			return nil
		}
		if raw := p.raw(p.limit(*e), what); p.err == nil {
			elements = append(elements, raw)
		}
	}
	p.close(e, what)
	return elements
}

// encapsulated reads EncapsulatedContentInfo (RFC 5652 section 5.2) and passes over the content.
func (p *parser) encapsulated(s *SignedData, limit int64) {
	const what = "encapContentInfo"
	encap := p.open(tagSequence, limit, what)
	s.ContentType, s.RawContentType = p.oid(p.limit(encap), "eContentType")
	if p.next(encap) != 0 {
		outer := p.open(tagContext0, p.limit(encap), "eContent")
		e := p.header(p.limit(outer), "eContent")
		switch {
		case p.err != nil:
		case e.tag == tagOctets:
			s.size = e.length
			p.pos = e.end()
		case e.tag == tagOctets|constructed:
			r := &contentReader{p: p}
			s.size = r.walk()
			e.length = p.pos - e.body()
			if e.indefinite {
				e.length -= 2
			}
		default:
			p.fail(ErrUnsupported, e.off, "eContent", fmt.Sprintf("has tag %#02x, not that of an OCTET STRING", e.tag))
		}
		s.content = &e
		p.close(&outer, "eContent")
	}
	p.close(&encap, what)
	s.encapEnd = p.pos
}

// contentReader gives the octets of a constructed OCTET STRING, piece by piece.
type contentReader struct {
	p     *parser
	open  []element // those entered and not left
	left  int64     // octets of the piece that begins at p.pos
	end   int64
	count int
}

// piece goes to the next primitive piece; false at the end or on an error.
func (c *contentReader) piece() bool {
	const what = "eContent"
	p := c.p
	for p.err == nil {
		limit := p.src.size
		if n := len(c.open); n > 0 {
			top := &c.open[n-1]
			if limit = p.limit(*top); p.next(*top) == 0 {
				p.close(top, what)
				c.open = c.open[:n-1]
				if n == 1 {
					return false
				}
				continue
			}
		}
		e := p.header(limit, what)
		if p.err != nil {
			return false
		}
		if c.count++; c.count > p.limits.Segments || len(c.open) >= maxDepth {
			p.fail(ErrLimit, p.pos, what, "is in too many pieces")
			return false
		}
		p.pos = e.body()
		switch e.tag {
		case tagOctets:
			c.left = e.length
			return true
		case tagOctets | constructed:
			c.open = append(c.open, e)
		default:
			p.fail(ErrMalformed, e.off, what, fmt.Sprintf("a piece has tag %#02x", e.tag))
		}
	}
	return false
}

// walk passes over all pieces and returns the number of octets in them.
func (c *contentReader) walk() (size int64) {
	for c.piece() {
		size += c.left
		c.p.pos += c.left
	}
	return size
}

// Read implements io.Reader.
func (c *contentReader) Read(b []byte) (int, error) {
	for c.left == 0 {
		if c.p.err == nil && c.p.pos >= c.end || !c.piece() {
			if c.p.err != nil {
				return 0, c.p.err
			}
			return 0, io.EOF
		}
	}
	n, err := c.p.src.section(c.p.pos, c.left).Read(b)
	c.p.pos += int64(n)
	c.left -= int64(n)
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// ParseSignerInfo reads one SignerInfo by itself: the value of a countersignature attribute (RFC 5652 section 11.4).
func ParseSignerInfo(data []byte) (*SignerInfo, error) {
	p := &parser{src: &source{mem: data, size: int64(len(data))}, limits: Limits{}.orDefault()}
	si := p.signerInfo(p.src.size, "SignerInfo")
	if p.err == nil && p.pos != p.src.size {
		p.fail(ErrMalformed, p.pos, "SignerInfo", "goes on behind its end")
	}
	if p.err != nil {
		return nil, p.err
	}
	return si, nil
}

func (p *parser) signerInfo(limit int64, what string) *SignerInfo {
	si := &SignerInfo{self: p.open(tagSequence, limit, what)}
	limit = p.limit(si.self)
	si.Version, si.RawVersion = p.small(limit, what+" version")
	si.SID = p.raw(limit, what+" sid")
	si.DigestAlgorithm = p.typed(tagSequence, limit, what+" digestAlgorithm")
	if p.next(si.self) == tagContext0 {
		var signed element
		off := p.pos
		si.Signed = p.attributes(&signed, tagContext0, limit, what+" signedAttrs")
		si.SignedAttrs = p.bytes(off, p.pos-off, what+" signedAttrs")
	}
	si.SignatureAlgorithm = p.typed(tagSequence, limit, what+" signatureAlgorithm")
	off := p.pos
	si.Signature = p.raw(limit, what+" signature")
	si.Value = p.octets(si.Signature, off, what+" signature")
	if p.next(si.self) == tagContext1 {
		si.Unsigned = p.attributes(&si.unsigned, tagContext1, limit, what+" unsignedAttrs")
	}
	p.close(&si.self, what)
	si.Raw = p.bytes(si.self.off, si.self.end()-si.self.off, what)
	return si
}

// octets returns the value of an OCTET STRING, also of a constructed one.
func (p *parser) octets(raw []byte, off int64, what string) []byte {
	if p.err != nil {
		return nil
	}
	sub := &parser{src: &source{mem: raw, size: int64(len(raw))}, limits: p.limits}
	if raw[0] == tagOctets {
		e := sub.header(sub.src.size, what)
		return raw[e.body():]
	}
	value, err := io.ReadAll(&contentReader{p: sub, end: sub.src.size})
	if err != nil {
		p.fail(ErrMalformed, off, what, "is no OCTET STRING")
	}
	return value
}

func (p *parser) attributes(e *element, tag byte, limit int64, what string) (list []Attribute) {
	*e = p.open(tag, limit, what)
	for p.next(*e) != 0 {
		if len(list) >= p.limits.Elements {
			p.fail(ErrLimit, p.pos, what, "are too many")
			return nil
		}
		list = append(list, p.attribute(p.limit(*e), what))
	}
	p.close(e, what)
	return list
}

func (p *parser) attribute(limit int64, what string) (a Attribute) {
	e := p.open(tagSequence, limit, what)
	a.Type, a.RawType = p.oid(p.limit(e), what)
	var values element
	a.Values = p.set(&values, tagSet, p.limit(e), what)
	p.close(&e, what)
	a.Raw = p.bytes(e.off, e.end()-e.off, what)
	return a
}
