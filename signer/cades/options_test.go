package cades_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
)

var policyDigest = sha256.Sum256([]byte("policy"))

func withOptions(id cadestest.Identity, content []byte) cades.Attributes {
	return cades.Attributes{
		Certificate: id.Chain[0], ContentDigest: cadestest.HashOf(cades.ECDSAWithSHA256, content), Algorithm: cades.ECDSAWithSHA256, SigningTime: cadestest.SigningTime,
		MIMEType: "text/plain", CommitmentType: cades.ProofOfApproval, ClaimedRoles: []string{"директор", "Prokurent"},
		Policy:             &cades.Policy{ID: asn1.ObjectIdentifier{2, 999, 1}, Hash: crypto.SHA256, Digest: policyDigest[:], URI: "https://example.org/policy"},
		ContentDescription: "Договір",
	}
}

// TestOptions compares the optional attributes with their definitions, written out.
func TestOptions(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	der, err := cades.SignedAttributes(cades.CAdES, withOptions(id, content))
	if err != nil {
		t.Fatal(err)
	}
	text := func(tag byte, s string) []byte { return append([]byte{tag, byte(len(s))}, s...) }
	seq := func(tag byte, parts ...[]byte) []byte {
		all := bytes.Join(parts, nil)
		return append([]byte{tag, byte(len(all))}, all...)
	}
	for name, want := range map[string][]byte{
		// SignerAttributeV2: claimedAttributes [0] EXPLICIT SEQUENCE OF Attribute, of type name
		"signer-attributes-v2": seq(0x30, cadestest.OID(0, 4, 0, 19122, 1, 1), seq(0x31, seq(0x30, seq(0xa0, seq(0x30,
			seq(0x30, cadestest.OID(2, 5, 4, 41), seq(0x31, text(0x0c, "директор"))), seq(0x30, cadestest.OID(2, 5, 4, 41), seq(0x31, text(0x0c, "Prokurent")))))))),
		// SignaturePolicyId: id, OtherHashAlgAndValue, one qualifier with the address
		"signature-policy-identifier": seq(0x30, cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 2, 15), seq(0x31, seq(0x30, cadestest.OID(2, 999, 1),
			seq(0x30, seq(0x30, cadestest.OID(2, 16, 840, 1, 101, 3, 4, 2, 1)), append([]byte{4, 32}, policyDigest[:]...)),
			seq(0x30, seq(0x30, cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 5, 1), text(0x16, "https://example.org/policy")))))),
		// ContentHints: contentDescription, contentType id-data
		"content-hints": seq(0x30, cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 2, 4), seq(0x31, seq(0x30, text(0x0c, "Договір"), cadestest.OID(1, 2, 840, 113549, 1, 7, 1)))),
		"mime-type":     seq(0x30, cadestest.OID(0, 4, 0, 1733, 2, 1), seq(0x31, text(0x0c, "text/plain"))),
		// CommitmentTypeIndication without qualifiers
		"commitment-type-indication": seq(0x30, cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 2, 16), seq(0x31, seq(0x30, cadestest.OID(1, 2, 840, 113549, 1, 9, 16, 6, 5)))),
	} {
		if bytes.Count(der, want) != 1 {
			t.Errorf("%s is not %x", name, want)
		}
	}
	parts := id.Sign(t, cades.Parts{SignedAttributes: der, Algorithm: cades.ECDSAWithSHA256, Chain: id.Chain})
	data := cadestest.Must(cades.Assemble(parts))
	if said := cadestest.OpenSSL(t, id, data, content); !strings.Contains(said, "CAdES Verification successful") {
		t.Errorf("openssl: %s", said)
	}
	if r := cadestest.Must(levels.Inspect(data, cadestest.Detached(content)))[0]; r.Invalid != nil || r.Level != cades.LevelBB {
		t.Errorf("%v, level %v, %v", r.Invalid, r.Level, r.Missing)
	}

	// PAdES has all of them but signing-time, mime-type and content-hints.
	a := withOptions(id, content)
	a.SigningTime, a.MIMEType, a.ContentDescription = time.Time{}, "", ""
	if _, err := cades.SignedAttributes(cades.PAdES, a); err != nil {
		t.Errorf("PAdES: %v", err)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, change := range map[string]func(*cades.Attributes){
		"empty role":        func(a *cades.Attributes) { a.ClaimedRoles = []string{""} },
		"role not UTF-8":    func(a *cades.Attributes) { a.ClaimedRoles = []string{"\xff"} },
		"long role":         func(a *cades.Attributes) { a.ClaimedRoles = []string{strings.Repeat("x", 2000)} },
		"many roles":        func(a *cades.Attributes) { a.ClaimedRoles = strings.Split(strings.Repeat("x", 17), "") },
		"commitment":        func(a *cades.Attributes) { a.CommitmentType = asn1.ObjectIdentifier{9, 9} },
		"policy without id": func(a *cades.Attributes) { a.Policy.ID = nil },
		"policy's digest":   func(a *cades.Attributes) { a.Policy.Digest = []byte{1} },
		"policy's hash":     func(a *cades.Attributes) { a.Policy.Hash = crypto.SHA1 },
		"policy's address":  func(a *cades.Attributes) { a.Policy.URI = "https://приклад" },
		"hints in PAdES":    nil,
	} {
		profile, a := cades.CAdES, withOptions(cadestest.P256(), []byte("x"))
		if change != nil {
			change(&a)
		} else {
			profile, a.MIMEType, a.SigningTime = cades.PAdES, "", time.Time{}
		}
		if der, err := cades.SignedAttributes(profile, a); !errors.Is(err, cades.ErrInput) || der != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
