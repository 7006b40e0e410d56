package levels_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// proves is a Prover that gives nothing.
type proves struct{}

func (proves) Collect(context.Context, []byte, [][]byte, time.Time) (revinfo.Evidence, error) {
	return revinfo.Evidence{}, nil
}

// TestTrustArchiveOfNothing: an archive time-stamp that was made before the evidence does not keep that, so it is not B-LTA.
func TestTrustArchiveOfNothing(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}}
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	early, err := levels.Augment(t.Context(), data, cadestest.Detached(content), cades.LevelBLTA, cades.Services{Stamper: authority(), Prover: proves{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	late, err := levels.Augment(t.Context(), early, cadestest.Detached(content), cades.LevelBLT, services(authority(), p))
	if err != nil {
		t.Fatal(err)
	}
	r := cadestest.Must(levels.Inspect(late, cadestest.Detached(content)))[0]
	if r.Level != cades.LevelBLT || !errors.Is(r.Missing, cades.ErrEvidence) || len(r.ArchiveTimeStamps) != 1 || r.ArchiveTimeStamps[0].Invalid != nil {
		t.Errorf("level %v, missing: %v", r.Level, r.Missing)
	}
	whole, err := levels.Augment(t.Context(), late, cadestest.Detached(content), cades.LevelBLTA, services(authority(), p))
	if err != nil {
		t.Fatal(err)
	}
	if r := cadestest.Must(levels.Inspect(whole, cadestest.Detached(content)))[0]; r.Level != cades.LevelBLTA {
		t.Errorf("renewed: level %v, missing: %v", r.Level, r.Missing)
	}
}

// resigned returns a CMS whose signing-certificate-v2 has something behind the hash, signed anew.
func resigned(t *testing.T, id cadestest.Identity, content, behind []byte) []byte {
	t.Helper()
	parts := cadestest.Prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	whole := cadestest.Must(cades.Assemble(id.Sign(t, parts)))
	si := cadestest.Must(cms.Parse(whole)).Signers[0]
	seq := func(tag int, class int, parts ...[]byte) []byte {
		return cadestest.Must(asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: slices.Concat(parts...)}))
	}
	signingCertificate := cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 2, 47)
	var attributes [][]byte
	for _, a := range si.Signed {
		raw := a.Raw
		if bytes.Equal(a.RawType, signingCertificate) {
			sum := sha256.Sum256(id.Chain[0])
			raw = cms.NewAttribute(a.RawType, seq(16, 0, seq(16, 0, seq(16, 0, cadestest.Must(asn1.Marshal(sum[:])), behind))))
		}
		attributes = append(attributes, raw)
	}
	slices.SortFunc(attributes, bytes.Compare)
	parts.SignedAttributes = seq(17, 0, attributes...)
	value := cadestest.Must(asn1.Marshal(id.Sign(t, parts).Signature))
	signer := seq(16, 0, si.RawVersion, si.SID, si.DigestAlgorithm, seq(0, 2, attributes...), si.SignatureAlgorithm, value)
	digests := seq(17, 0, si.DigestAlgorithm)
	sd := seq(16, 0, []byte{2, 1, 1}, digests, seq(16, 0, cadestest.OID(1, 2, 840, 113549, 1, 7, 1)), seq(0, 2, id.Chain...), seq(17, 0, signer))
	return seq(16, 0, cadestest.OID(1, 2, 840, 113549, 1, 7, 2), seq(0, 2, sd))
}

// TestTrustIssuerSerial: what signing-certificate-v2 says of the issuer must be right, as OpenSSL wants it.
func TestTrustIssuerSerial(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	leaf := cadestest.Must(x509.ParseCertificate(id.Chain[0]))
	name := func(issuer []byte) []byte { return append([]byte{0xa4, byte(len(issuer))}, issuer...) }
	issuerSerial := func(names []byte, serial *big.Int) []byte {
		list := cadestest.Must(asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: names}))
		return cadestest.Must(asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: append(list, cadestest.Must(asn1.Marshal(serial))...)}))
	}
	for what, c := range map[string]struct {
		behind []byte
		level  cades.Level
	}{
		"nothing":             {nil, cades.LevelBB},
		"right":               {issuerSerial(name(leaf.RawIssuer), leaf.SerialNumber), cades.LevelBB},
		"other issuer":        {issuerSerial(name(leaf.RawSubject), leaf.SerialNumber), 0},
		"other serial number": {issuerSerial(name(leaf.RawIssuer), big.NewInt(1)), 0},
		"no issuer":           {issuerSerial(nil, leaf.SerialNumber), 0},
	} {
		data := resigned(t, id, content, c.behind)
		if r := cadestest.Must(levels.Inspect(data, cadestest.Detached(content)))[0]; r.Level != c.level || c.level > 0 && r.Invalid != nil {
			t.Errorf("%s: level %v, invalid: %v, missing: %v", what, r.Level, r.Invalid, r.Missing)
		}
		if good := strings.Contains(cadestest.OpenSSL(t, id, data, content), "CAdES Verification successful"); good != (c.level > 0) {
			t.Errorf("%s: openssl says %v", what, good)
		}
		if strict, err := cades.Parse(data); (err == nil && strict.Conforms(cades.CAdES) == nil) != (c.level > 0) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTrustDigestAlgorithms: OpenSSL cannot verify a signature whose digest is not listed, so it is no B-B and is not raised.
func TestTrustDigestAlgorithms(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	at := bytes.Index(data, cadestest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1))
	data[at+10] = 2 // SHA-384
	if said := cadestest.OpenSSL(t, id, data, content); strings.Contains(said, "successful") {
		t.Errorf("openssl: %s", said)
	}
	if r := cadestest.Must(levels.Inspect(data, cadestest.Detached(content)))[0]; r.Level != 0 || !errors.Is(r.Missing, cades.ErrProfile) {
		t.Errorf("level %v, missing: %v", r.Level, r.Missing)
	}
	if out, err := levels.Augment(t.Context(), data, cadestest.Detached(content), cades.LevelBT, services(authority(), nil)); !errors.Is(err, cades.ErrProfile) || out != nil {
		t.Errorf("raised: %v", err)
	}
}

// TestTrustIndexOfAnother: an authority that puts a hash index of its own into a token would make one that covers nothing.
func TestTrustIndexOfAnother(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}}
	own := stamper(func(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
		token, err := authority().Stamp(ctx, h, imprint)
		if err != nil {
			return nil, err
		}
		index := cms.NewAttribute(cadestest.OID(0, 4, 0, 19122, 1, 5), []byte{0x30, 0})
		return cadestest.Must(cms.Parse(token)).Add(cms.Additions{Unsigned: map[int][][]byte{0: {index}}})
	})
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	if out, err := levels.Augment(t.Context(), data, cadestest.Detached(content), cades.LevelBLTA, services(own, p)); !errors.Is(err, cades.ErrTimeStamp) || out != nil {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
