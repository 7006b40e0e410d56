package levels_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
)

// The structures of RFC 5652 for another reader than the one that is tested.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      asn1.RawValue
		Encapsulated encapsulated
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	encapsulated struct {
		Type    asn1.RawValue
		Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	signerInfo struct {
		Version, SID, Digest asn1.RawValue
		Signed               asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm, Value     asn1.RawValue
		Unsigned             asn1.RawValue `asn1:"optional,tag:1"`
	}
	attributeOf struct {
		Type   asn1.RawValue
		Values []asn1.RawValue `asn1:"set"`
	}
	hashIndex struct {
		Algorithm                      struct{ OID asn1.ObjectIdentifier }
		Certificates, CRLs, Attributes [][]byte
	}
	tstInfo struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint struct {
			Algorithm struct {
				OID        asn1.ObjectIdentifier
				Parameters asn1.RawValue `asn1:"optional"`
			}
			Sum []byte
		}
		Rest asn1.RawValue
	}
)

func unmarshal(t *testing.T, der []byte, v any) {
	t.Helper()
	if rest, err := asn1.Unmarshal(der, v); err != nil || len(rest) > 0 {
		t.Fatalf("%T: %v, %d bytes behind", v, err, len(rest))
	}
}

func elements(t *testing.T, set asn1.RawValue) (list [][]byte) {
	t.Helper()
	for rest := set.Bytes; len(rest) > 0; {
		var e asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e.FullBytes)
	}
	return list
}

func attributesOf(t *testing.T, set asn1.RawValue) (list []attributeOf) {
	t.Helper()
	for _, e := range elements(t, set) {
		var a attributeOf
		unmarshal(t, e, &a)
		list = append(list, a)
	}
	return list
}

func octets(t *testing.T, der []byte) (value []byte) {
	t.Helper()
	unmarshal(t, der, &value)
	return value
}

// checkIndependently recomputes the index and the imprint of every archive time-stamp, as EN 319 122-1 clauses 5.5.2 and
// 5.5.3 say, from a file in DER; one in BER is first split by package cms, because encoding/asn1 reads no BER.
func checkIndependently(t *testing.T, data []byte, content levels.Content) {
	t.Helper()
	var info contentInfo
	if _, err := asn1.Unmarshal(data, &info); err != nil {
		checkParts(t, data, content)
		return
	}
	var sd signedData
	unmarshal(t, info.Content.Bytes, &sd)
	if len(sd.Encapsulated.Content.FullBytes) > 0 {
		content = cadestest.Detached(octets(t, sd.Encapsulated.Content.Bytes))
	}
	for _, si := range sd.Signers {
		signer := [][]byte{si.Version.FullBytes, si.SID.FullBytes, si.Digest.FullBytes, si.Signed.FullBytes, si.Algorithm.FullBytes, si.Value.FullBytes}
		checkArchives(t, sd.Encapsulated.Type.FullBytes, signer, elements(t, sd.Certificates), elements(t, sd.CRLs), attributesOf(t, si.Unsigned), content)
	}
}

func checkParts(t *testing.T, data []byte, content levels.Content) {
	t.Helper()
	sd := cadestest.Must(cms.Parse(data))
	if sd.Attached() {
		var whole bytes.Buffer
		_ = cadestest.Must(whole.ReadFrom(sd.Content()))
		content = cadestest.Detached(whole.Bytes())
	}
	for _, si := range sd.Signers {
		var unsigned []attributeOf
		for _, u := range si.Unsigned {
			a := attributeOf{Type: asn1.RawValue{FullBytes: u.RawType}}
			for _, v := range u.Values {
				a.Values = append(a.Values, asn1.RawValue{FullBytes: v})
			}
			unsigned = append(unsigned, a)
		}
		signer := [][]byte{si.RawVersion, si.SID, si.DigestAlgorithm, si.SignedAttrs, si.SignatureAlgorithm, si.Signature}
		checkArchives(t, sd.RawContentType, signer, sd.Certificates, sd.RevocationInfos, unsigned, content)
	}
}

func checkArchives(t *testing.T, contentType []byte, signer, certificates, crls [][]byte, unsigned []attributeOf, content levels.Content) {
	t.Helper()
	archive := cadestest.OID(0, 4, 0, 1733, 2, 4)
	for _, a := range unsigned {
		if !bytes.Equal(a.Type.FullBytes, archive) {
			continue
		}
		if len(a.Values) != 1 {
			t.Fatalf("archive time-stamp with %d values", len(a.Values))
		}
		index, raw, h, sum := archiveOf(t, a.Values[0].FullBytes)
		match := func(what string, hashes, present [][]byte) {
			for _, want := range hashes {
				found := false
				for _, p := range present {
					found = found || bytes.Equal(want, hashWith(h, p))
				}
				if !found {
					t.Errorf("the index has the hash of a %s that is not there", what)
				}
			}
		}
		var values [][]byte
		for _, u := range unsigned {
			for _, v := range u.Values {
				values = append(values, append(bytes.Clone(u.Type.FullBytes), v.FullBytes...))
			}
		}
		match("certificate", index.Certificates, certificates)
		match("revocation information", index.CRLs, crls)
		match("attribute value", index.Attributes, values)
		if len(index.Certificates) < 4 || len(index.CRLs) < 3 || len(index.Attributes) < 1 {
			t.Errorf("index of %d certificates, %d revocation infos, %d attribute values", len(index.Certificates), len(index.CRLs), len(index.Attributes))
		}
		stamped := append(bytes.Clone(contentType), cadestest.Must(content(h))...)
		for _, field := range signer {
			stamped = append(stamped, field...)
		}
		if !bytes.Equal(hashWith(h, append(stamped, raw...)), sum) {
			t.Error("the archive time-stamp stamps something else")
		}
	}
}

// archiveOf reads the index of a token and what it stamps.
func archiveOf(t *testing.T, token []byte) (index hashIndex, raw []byte, h crypto.Hash, sum []byte) {
	t.Helper()
	var info contentInfo
	unmarshal(t, token, &info)
	var sd signedData
	unmarshal(t, info.Content.Bytes, &sd)
	var stamp tstInfo
	if _, err := asn1.Unmarshal(octets(t, sd.Encapsulated.Content.Bytes), &stamp); err != nil {
		t.Fatal(err)
	}
	h = map[string]crypto.Hash{"2.16.840.1.101.3.4.2.1": crypto.SHA256, "2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512}[stamp.Imprint.Algorithm.OID.String()]
	found := 0
	for _, a := range attributesOf(t, sd.Signers[0].Unsigned) {
		if bytes.Equal(a.Type.FullBytes, cadestest.OID(0, 4, 0, 19122, 1, 5)) {
			raw = a.Values[0].FullBytes
			unmarshal(t, raw, &index)
			found++
		}
	}
	if found != 1 || h == 0 || !index.Algorithm.OID.Equal(stamp.Imprint.Algorithm.OID) {
		t.Fatalf("%d indexes, with %v for an imprint with %v", found, index.Algorithm.OID, stamp.Imprint.Algorithm.OID)
	}
	return index, raw, h, stamp.Imprint.Sum
}

func hashWith(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}
