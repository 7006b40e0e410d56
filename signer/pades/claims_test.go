package pades_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"os"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
)

// policy is that of a test: nobody has published it.
func policy() *cades.Policy {
	return &cades.Policy{ID: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}, Hash: crypto.SHA256, Digest: bytes.Repeat([]byte{7}, 32), URI: "https://policy.example/p.pdf"}
}

// TestClaims signs with every optional attribute, through the second version of the state, which is as strict as the
// first.
func TestClaims(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	for name, change := range map[string]func(*pades.Options){
		"commitment type": func(o *pades.Options) { o.CommitmentType = cades.ProofOfApproval },
		"roles":           func(o *pades.Options) { o.ClaimedRoles = []string{"Директор", "Prezes Zarządu"} },
		"policy":          func(o *pades.Options) { o.Policy = policy() },
		"all": func(o *pades.Options) {
			o.CommitmentType, o.ClaimedRoles, o.Policy = cades.ProofOfOrigin, []string{"notary"}, policy()
			o.Location, o.Contact, o.Name = "Kyiv", "+380 44 000 00 00", "Тарас"
		},
	} {
		o := padestest.Options(id)
		change(&o)
		out := padestest.SignPDF(t, in, id, o)
		padestest.Judge(t, in, out, 1)
		judgeOpenSSL(t, out, id)
		p, err := padestest.Prepare(in, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if b[len("ecsigner-pades")] != 2 || len(b) > 64<<10 {
			t.Errorf("%s: state of version %d and %d bytes", name, b[len("ecsigner-pades")], len(b))
		}
		strictState(t, p, b)
	}
	plain, err := padestest.Prepare(in, padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	_, b := state(t, in)
	b[len("ecsigner-pades")] = 2
	if plain.UnmarshalBinary(append(b, make([]byte, 9)...)) == nil {
		t.Error("version 2 without claims: two encodings of one state")
	}
	tail := string(padestest.SignPDF(t, in, id, func() pades.Options { o := padestest.Options(id); o.Contact = "+48 22"; return o }())[len(in):])
	if !strings.Contains(tail, "/ContactInfo <FEFF002B00340038002000320032>") {
		t.Error("no contact")
	}
}

// TestOldState reads a state that was written before claims existed, and embeds a signature into it.
func TestOldState(t *testing.T) {
	b, err := os.ReadFile("testdata/state-1.bin")
	if err != nil {
		t.Fatal(err)
	}
	var p pades.Prepared
	if err := p.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if again, _ := p.MarshalBinary(); !bytes.Equal(again, b) {
		t.Error("an old state has another encoding now")
	}
	cms, err := os.ReadFile("testdata/state-1.cms")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EmbedCMS(cms); err != nil {
		t.Error(err)
	}
}
