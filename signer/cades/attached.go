package cades

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/cryptobyte"
)

// Media types of files with CAdES signatures (RFC 8551 section 3.2).
const (
	AttachedType = "application/pkcs7-mime; smime-type=signed-data" // files that end in .p7m
	DetachedType = "application/pkcs7-signature"                    // files that end in .p7s
)

// FileName returns the usual name for the signature of a document: its whole name and .p7m when the content is attached,
// .p7s when it is not.
func FileName(document string, attached bool) string {
	if attached {
		return document + ".p7m"
	}
	return document + ".p7s"
}

// Frame returns what stands before and behind size octets of content in an attached signature, of which p is everything
// else: ContentInfo in DER, so the whole file is head, content, tail. Like Assemble, it verifies the signature value first.
// It cannot see the content: whoever joins the three must know that its digest is the signed one (see AssembleAttached).
func Frame(p Parts, size int64) (head, tail []byte, err error) {
	leaf, err := p.leaf()
	if err != nil {
		return nil, nil, err
	}
	if err := p.Algorithm.Verify(leaf.PublicKey, digest(p.Algorithm.Hash(), p.SignedAttributes), p.Signature); err != nil {
		return nil, nil, err
	}
	if tail, err = p.behindContent(leaf); err != nil {
		return nil, nil, err
	}
	head, err = p.beforeContent(size, int64(len(tail)))
	return head, tail, err
}

// AttachedSize returns the greatest number of octets that Frame and size octets of content can have together, whatever the
// signature value will be; p.Signature is ignored.
func AttachedSize(p Parts, size int64) (int64, error) {
	leaf, err := p.leaf()
	if err != nil {
		return 0, err
	}
	p.Signature = make([]byte, p.Algorithm.signatureSize(leaf.PublicKey))
	tail, err := p.behindContent(leaf)
	if err != nil {
		return 0, err
	}
	head, err := p.beforeContent(size, int64(len(tail)))
	return int64(len(head)) + size + int64(len(tail)), err
}

// AssembleAttached writes an attached signature, copying size octets of content once. ErrDigest: the content is not the
// signed one; what was written until then must be discarded.
func AssembleAttached(w io.Writer, p Parts, content io.Reader, size int64) error {
	head, tail, err := Frame(p, size)
	if err != nil {
		return err
	}
	signed, err := ParseSigned(p.SignedAttributes)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("cades: writing: %w", err)
	}
	h := p.Algorithm.Hash().New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(content, size))
	if err != nil {
		return fmt.Errorf("cades: copying the content: %w", err)
	}
	if more, _ := io.ReadFull(content, make([]byte, 1)); n != size || more > 0 || !bytes.Equal(h.Sum(nil), signed.MessageDigest) {
		return ErrDigest
	}
	if _, err := w.Write(tail); err != nil {
		return fmt.Errorf("cades: writing: %w", err)
	}
	return nil
}

// beforeContent encodes from the inside out: each length is that of what follows.
func (p Parts) beforeContent(size, tail int64) (head []byte, err error) {
	if size < 0 || size > math.MaxInt64-tail-1024 {
		return nil, fmt.Errorf("%w: content of %d octets", ErrInput, size)
	}
	head = prepend(0x04, size, nil)
	length := int64(len(head)) + size
	head = append(append(encodeOID(oidData), prepend(0xa0, length, nil)...), head...)
	head = prepend(0x30, int64(len(head))+size, head) // encapContentInfo
	var b cryptobyte.Builder
	b.AddASN1Int64(1)
	b.AddBytes(prepend(0x31, int64(len(p.Algorithm.digestIdentifier())), p.Algorithm.digestIdentifier()))
	b.AddBytes(head)
	if head, err = b.Bytes(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	head = prepend(0x30, int64(len(head))+size+tail, head) // SignedData
	head = prepend(0xa0, int64(len(head))+size+tail, head)
	head = append(encodeOID(oidSignedData), head...)
	return prepend(0x30, int64(len(head))+size+tail, head), nil
}

// prepend puts tag and length before the beginning of what is length octets long.
func prepend(tag byte, length int64, beginning []byte) []byte {
	header := []byte{tag}
	switch {
	case length < 0x80:
		header = append(header, byte(length))
	default:
		octets := 0
		for v := length; v > 0; v >>= 8 {
			octets++
		}
		header = append(header, 0x80|byte(octets))
		for i := octets - 1; i >= 0; i-- {
			header = append(header, byte(length>>(8*i)))
		}
	}
	return append(header, beginning...)
}
