package levels

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

var (
	oidSignatureTimeStamp = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
	oidArchiveTimeStampV3 = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 4}
	oidHashIndexV3        = asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 5}
	oidHashIndexV1        = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 5} // ETSI TS 101 733 clause 6.4.2, only read
)

// indexed is what an archive time-stamp covers besides the signature itself: elements as they stand in the file.
type indexed struct {
	certificates, revocation [][]byte
	unsigned                 []cms.Attribute
}

// hashIndex encodes ATSHashIndexV3 (EN 319 122-1 clause 5.5.2): the hash of every CertificateChoices, of every
// RevocationInfoChoice, and of type and value, one after the other, of every unsigned attribute value.
func (x indexed) hashIndex(h crypto.Hash) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(cades.HashIdentifier(h))
		addHashes(b, h, x.certificates)
		addHashes(b, h, x.revocation)
		addHashes(b, h, x.attributeValues())
	})
	return b.BytesOrPanic() // hashes of a bounded number of elements
}

func (x indexed) attributeValues() (values [][]byte) {
	for _, a := range x.unsigned {
		for _, v := range a.Values {
			values = append(values, bytes.Join([][]byte{a.RawType, v}, nil))
		}
	}
	return values
}

func addHashes(b *cryptobyte.Builder, h crypto.Hash, elements [][]byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddASN1OctetString(digest(h, e))
		}
	})
}

// imprint is the digest that an archive-time-stamp-v3 stamps (EN 319 122-1 clause 5.5.3): the content's type, the digest of
// the content, the signer's fields up to the signature as they stand in the file, and the index.
func imprint(h crypto.Hash, sd *cms.SignedData, info *cms.SignerInfo, contentDigest, index []byte) []byte {
	w := h.New()
	for _, part := range [][]byte{
		sd.RawContentType, contentDigest,
		info.RawVersion, info.SID, info.DigestAlgorithm, info.SignedAttrs, info.SignatureAlgorithm, info.Signature,
		index,
	} {
		w.Write(part) // a hash never returns an error
	}
	return w.Sum(nil)
}

// withIndex puts the index into a token, as an unsigned attribute of its signer (EN 319 122-1 clause 5.5.2).
func withIndex(token, index []byte) ([]byte, error) {
	sd, err := cms.Parse(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	out, err := sd.Add(cms.Additions{Unsigned: map[int][][]byte{0: {cms.NewAttribute(encodeOID(oidHashIndexV3), index)}}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if found, _, err := findIndex(out); err != nil || !bytes.Equal(found, index) {
		return nil, fmt.Errorf("%w: the authority's token has a hash index of its own", cades.ErrTimeStamp)
	}
	return out, nil
}

// checkArchive checks that an archive time-stamp covers this signature: every hash of its index is that of something that
// is there, and the imprint is that of the signature with the index. It returns what it covers of certificates and revocation
// data.
func checkArchive(token *tsp.Token, sd *cms.SignedData, info *cms.SignerInfo, contents *digests) (covered indexed, err error) {
	raw, whole, err := findIndex(token.Raw)
	if err != nil {
		return covered, err
	}
	x := indexed{sd.Certificates, sd.RevocationInfos, info.Unsigned}
	values := x.attributeValues()
	if whole {
		values = nil
		for _, a := range info.Unsigned {
			values = append(values, a.Raw)
		}
	}
	listed, err := checkIndex(raw, token.Hash, whole, x.certificates, x.revocation, values)
	if err != nil {
		return covered, err
	}
	sum, err := contents.of(token.Hash)
	if err != nil {
		return covered, err
	}
	if err := token.Covers(token.Hash, imprint(token.Hash, sd, info, sum, raw)); err != nil {
		return covered, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	return indexed{certificates: listed[0], revocation: listed[1]}, nil
}

// findIndex returns the index in a token, and whether it is of the older kind, which hashes attributes as a whole.
func findIndex(token []byte) (index []byte, whole bool, err error) {
	sd, err := cms.Parse(token)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if len(sd.Signers) == 1 {
		for i, oid := range []asn1.ObjectIdentifier{oidHashIndexV3, oidHashIndexV1} {
			if found := cms.AllValues(sd.Signers[0].Unsigned, oid); len(found) == 1 {
				return found[0], i == 1, nil
			}
		}
	}
	return nil, false, fmt.Errorf("%w: it has no hash index", cades.ErrTimeStamp)
}

// checkIndex returns those elements of each set that an index lists.
func checkIndex(index []byte, h crypto.Hash, whole bool, sets ...[][]byte) (listed [3][][]byte, err error) {
	in := cryptobyte.String(index)
	var fields, alg cryptobyte.String
	if !in.ReadASN1(&fields, cbasn1.SEQUENCE) || !in.Empty() {
		return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
	}
	indexHash := crypto.SHA256 // what the older kind leaves out
	first := fields
	if !first.ReadASN1(&alg, cbasn1.SEQUENCE) {
		return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
	}
	if alg.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) {
		if !fields.ReadASN1Element(&alg, cbasn1.SEQUENCE) {
			return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
		}
		indexHash = cades.HashOf(alg)
	} else if !whole {
		return listed, fmt.Errorf("%w: hash index names no algorithm", cades.ErrTimeStamp)
	}
	if indexHash == 0 {
		return listed, fmt.Errorf("%w: hash index with another algorithm than SHA-2", cades.ErrTimeStamp)
	}
	if !whole && indexHash != h {
		return listed, fmt.Errorf("%w: hash index with %v, imprint with %v", cades.ErrTimeStamp, indexHash, h)
	}
	for i, what := range []string{"certificate", "revocation data", "unsigned attribute"} {
		present := map[string][]byte{}
		for _, e := range sets[i] {
			present[string(digest(indexHash, e))] = e
		}
		var list, sum cryptobyte.String
		if !fields.ReadASN1(&list, cbasn1.SEQUENCE) {
			return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
		}
		for !list.Empty() {
			if !list.ReadASN1(&sum, cbasn1.OCTET_STRING) {
				return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
			}
			e, there := present[string(sum)]
			if !there {
				return listed, fmt.Errorf("%w: a %s that it covers is not there as it was", cades.ErrTimeStamp, what)
			}
			listed[i] = append(listed[i], e)
		}
	}
	if !fields.Empty() {
		return listed, fmt.Errorf("%w: hash index is malformed", cades.ErrTimeStamp)
	}
	return listed, nil
}

func encodeOID(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	return b.BytesOrPanic() // constants
}

func digest(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data) // a hash never returns an error
	return w.Sum(nil)
}
