package levels_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// authority is a TSA for all tests that misuse none.
var authority = sync.OnceValue(func() *tsptest.TSA { return cadestest.Must(tsptest.New(tsptest.Options{})) })

// prover proves for the test's signatories and time-stamp units, and accuses when it is asked about anybody else.
type prover struct {
	ids   []cadestest.Identity
	tsas  []*tsptest.TSA
	err   error
	asked []string // "name at time"
}

func (p *prover) Collect(_ context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	c := cadestest.Must(x509.ParseCertificate(leaf))
	p.asked = append(p.asked, c.Subject.CommonName+" at "+at.UTC().Format(time.RFC3339))
	if p.err != nil {
		return revinfo.Evidence{}, p.err
	}
	if !slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, leaf) }) && c.Subject.CommonName == "Signer" {
		return revinfo.Evidence{}, errors.New("the embedded certificates are not known")
	}
	for _, id := range p.ids {
		if !bytes.Equal(id.Chain[0], leaf) {
			continue
		}
		ca, root := cadestest.Must(x509.ParseCertificate(id.Chain[1])), cadestest.Must(x509.ParseCertificate(id.Chain[2]))
		answer := cadestest.Must(ocsp.CreateResponse(ca, ca, ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, id.CAKeys[0]))
		crl := cadestest.Must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, root, id.CAKeys[1]))
		return revinfo.Evidence{Certificates: id.Chain, CRLs: [][]byte{crl}, OCSPs: [][]byte{answer}}, nil
	}
	for _, tsa := range p.tsas {
		if !bytes.Equal(tsa.Certificate().Raw, leaf) {
			continue
		}
		e := revinfo.Evidence{Certificates: [][]byte{leaf}, CRLs: [][]byte{cadestest.Must(tsa.CRL()), cadestest.Must(tsa.RootCRL())}}
		for _, ca := range tsa.CACertificates() {
			e.Certificates = append(e.Certificates, ca.Raw)
		}
		return e, nil
	}
	return revinfo.Evidence{}, errors.New("nobody that is known here")
}

func services(stamper cades.Stamper, p *prover) cades.Services {
	return cades.Services{Stamper: stamper, Prover: p, Now: time.Now}
}

// raise raises a signature and holds the result to what must be true of every result.
func raise(t *testing.T, data []byte, content levels.Content, to cades.Level, s cades.Services) []byte {
	t.Helper()
	out, err := levels.Augment(t.Context(), data, content, to, s)
	if err != nil {
		t.Fatalf("to %v: %v", to, err)
	}
	hold(t, data, out, content, to)
	return out
}

// hold checks that out is of the level, that all its time-stamps are right, and that nothing signed changed.
func hold(t *testing.T, data, out []byte, content levels.Content, to cades.Level) {
	t.Helper()
	for i, r := range cadestest.Must(levels.Inspect(out, content)) {
		if r.Invalid != nil || r.Level != to {
			t.Errorf("signer %d: %v, level %v, missing: %v", i, r.Invalid, r.Level, r.Missing)
		}
		for _, s := range slices.Concat(r.TimeStamps, r.ArchiveTimeStamps) {
			if s.Invalid != nil || s.Signer == nil || s.Time.IsZero() {
				t.Errorf("signer %d: time-stamp of %v: %v", i, s.Time, s.Invalid)
			}
		}
	}
	old, raised := cadestest.Must(cms.Parse(data)), cadestest.Must(cms.Parse(out))
	if data[1] == 0x80 && out[1] != 0x80 {
		t.Error("a container of indefinite length is none any more")
	}
	for _, id := range raised.DigestAlgorithms {
		same := func(other []byte) bool { return bytes.Equal(other, id) }
		withNull := append([]byte{id[0], id[1] + 2}, append(bytes.Clone(id[2:]), 5, 0)...)
		oid := func(other []byte) bool { return bytes.Equal(other, withNull) }
		if !slices.ContainsFunc(old.DigestAlgorithms, same) && slices.ContainsFunc(old.DigestAlgorithms, oid) {
			t.Errorf("digest algorithm %x was added, and was there", id)
		}
	}
	for i, si := range old.Signers {
		n := raised.Signers[i]
		if !bytes.Equal(si.SignedAttrs, n.SignedAttrs) || !bytes.Equal(si.Signature, n.Signature) || !bytes.Equal(si.SID, n.SID) {
			t.Errorf("signer %d changed", i)
		}
		for _, u := range si.Unsigned {
			if !slices.ContainsFunc(n.Unsigned, func(x cms.Attribute) bool { return bytes.Equal(x.Raw, u.Raw) }) {
				t.Errorf("signer %d lost %v", i, u.Type)
			}
		}
	}
	for _, c := range old.Certificates {
		if !slices.ContainsFunc(raised.Certificates, func(x []byte) bool { return bytes.Equal(x, c) }) {
			t.Error("a certificate is gone")
		}
	}
	checkIndependently(t, out, content)
}

// TestLevels goes from B-B over every level to the second archive time-stamp, with every algorithm.
func TestLevels(t *testing.T) {
	content := []byte("Договір № 5\r\n")
	for _, a := range cadestest.Algorithms {
		t.Run(fmt.Sprint(a.Alg), func(t *testing.T) {
			id := a.ID()
			p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}}
			s := services(authority(), p)
			data := cadestest.Assemble(t, cades.CAdES, id, a.Alg, content)
			for _, to := range []cades.Level{cades.LevelBB, cades.LevelBT, cades.LevelBLT, cades.LevelBLTA} {
				data = raise(t, data, cadestest.Detached(content), to, s)
				if parsed, err := cades.Parse(data); err != nil || parsed.Verify(cadestest.HashOf(a.Alg, content)) != nil || parsed.Conforms(cades.CAdES) != nil {
					t.Errorf("%v: the strict reader: %v", to, err)
				}
				if said := cadestest.OpenSSL(t, id, data, content); !strings.Contains(said, "CAdES Verification successful") {
					t.Errorf("%v: openssl: %s", to, said)
				}
				// Raising to what is reached already changes nothing, except that an archive time-stamp renews.
				if to < cades.LevelBLTA && !bytes.Equal(raise(t, data, cadestest.Detached(content), to, s), data) {
					t.Errorf("%v: raised again it is another file", to)
				}
			}
			requests := authority().Requests()
			again := raise(t, data, cadestest.Detached(content), cades.LevelBLTA, s)
			if r := cadestest.Must(levels.Inspect(again, cadestest.Detached(content)))[0]; len(r.ArchiveTimeStamps) != 2 || len(r.TimeStamps) != 1 || authority().Requests() != requests+1 {
				t.Errorf("renewed: %d archive time-stamps", len(r.ArchiveTimeStamps))
			}
			if at := raise(t, cadestest.Assemble(t, cades.CAdES, id, a.Alg, content), cadestest.Detached(content), cades.LevelBLTA, s); len(at) < len(data)-100 {
				t.Errorf("at once: %d bytes, step by step %d", len(at), len(data))
			}
		})
	}
}

// TestEvidence: the signer is proven at the time of the time-stamp, and so are the authorities, each of the renewal too.
func TestEvidence(t *testing.T) {
	id := cadestest.P256()
	content := []byte("x")
	second := cadestest.Must(tsptest.New(tsptest.Options{Name: "Second TSA"}))
	p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority(), second}}
	data := raise(t, cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content), cadestest.Detached(content), cades.LevelBT, services(authority(), p))
	stamped := cadestest.Must(levels.Inspect(data, cadestest.Detached(content)))[0].TimeStamps[0].Time
	if len(p.asked) > 0 {
		t.Errorf("B-T asked for %v", p.asked)
	}
	now := stamped.Add(48 * time.Hour)
	s := services(second, p)
	s.Now = func() time.Time { return now }
	data = raise(t, data, cadestest.Detached(content), cades.LevelBLT, s)
	tsu := authority().Certificate().Subject.CommonName
	want := []string{"Signer at " + stamped.UTC().Format(time.RFC3339), tsu + " at " + now.UTC().Format(time.RFC3339)}
	if !slices.Equal(p.asked, want) {
		t.Errorf("B-LT asked %q, want %q", p.asked, want)
	}
	p.asked = nil
	// The archive time-stamp is of another authority. Evidence for that is not needed yet, but good to have.
	tsu, before := second.Certificate().Subject.CommonName, cadestest.Must(cms.Parse(data))
	p.err = errors.New("no answer")
	without := raise(t, data, cadestest.Detached(content), cades.LevelBLTA, s)
	if after := cadestest.Must(cms.Parse(without)); len(after.RevocationInfos) != len(before.RevocationInfos) {
		t.Error("evidence of nowhere")
	}
	if out, err := levels.Augment(t.Context(), without, cadestest.Detached(content), cades.LevelBLTA, s); !errors.Is(err, p.err) || out != nil {
		t.Errorf("renewed without evidence for the earlier time-stamp: %v", err)
	}
	p.err = nil
	asked := []string{tsu + " at " + now.UTC().Format(time.RFC3339)}
	for name, from := range map[string][]byte{"renewal": without, "at once": data} {
		p.asked = nil
		archived := raise(t, from, cadestest.Detached(content), cades.LevelBLTA, s)
		after := cadestest.Must(cms.Parse(archived))
		if after.Version != 5 || len(after.Certificates) < len(before.Certificates)+2 || len(after.RevocationInfos) != len(before.RevocationInfos)+2 {
			t.Errorf("%s: version %d, %d certificates after %d, %d revocation infos after %d", name, after.Version, len(after.Certificates), len(before.Certificates), len(after.RevocationInfos), len(before.RevocationInfos))
		}
		if !slices.Equal(p.asked, asked) {
			t.Errorf("%s: asked %q, want %q", name, p.asked, asked)
		}
		// The next renewal asks about the newest archive time-stamp only.
		p.asked = nil
		raise(t, archived, cadestest.Detached(content), cades.LevelBLTA, s)
		if !slices.Equal(p.asked, asked) {
			t.Errorf("the next renewal asked %q, want %q", p.asked, asked)
		}
	}
}

// TestTwins: a CA may have two certificates of one name and key, of which only one may sign lists.
func TestTwins(t *testing.T) {
	id, content := cadestest.P256(), []byte("x")
	root := cadestest.Must(x509.ParseCertificate(id.Chain[2]))
	template := *cadestest.Must(x509.ParseCertificate(id.Chain[1]))
	template.KeyUsage, template.SerialNumber = x509.KeyUsageCertSign, big.NewInt(99)
	twin := cadestest.Must(x509.CreateCertificate(rand.Reader, &template, root, id.CAKeys[0].Public(), id.CAKeys[1]))
	p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}}
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	data = cadestest.Must(cadestest.Must(cms.Parse(data)).Add(cms.Additions{Certificates: [][]byte{twin}}))
	raise(t, data, cadestest.Detached(content), cades.LevelBLTA, services(authority(), p))
}

// TestStaleEvidence: revocation data that had ended before the time-stamp are none.
func TestStaleEvidence(t *testing.T) {
	id, content := cadestest.P256(), []byte("x")
	p := &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}}
	data := raise(t, cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content), cadestest.Detached(content), cades.LevelBT, services(authority(), p))
	e := cadestest.Must(p.Collect(t.Context(), id.Chain[0], id.Chain, time.Now()))
	e.Add(cadestest.Must(p.Collect(t.Context(), authority().Certificate().Raw, nil, time.Now())))
	list := func(until time.Time) []byte {
		return cadestest.Must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: until.Add(-time.Hour), NextUpdate: until}, cadestest.Must(x509.ParseCertificate(id.Chain[1])), id.CAKeys[0]))
	}
	for until, want := range map[time.Time]cades.Level{time.Now().Add(-time.Minute): cades.LevelBT, time.Now().Add(time.Hour): cades.LevelBLT} {
		with := cadestest.Must(cadestest.Must(cms.Parse(data)).Add(cms.Additions{Certificates: e.Certificates, RevocationInfos: append(e.CRLs, list(until))}))
		if r := cadestest.Must(levels.Inspect(with, cadestest.Detached(content)))[0]; r.Level != want || want == cades.LevelBT && !errors.Is(r.Missing, cades.ErrEvidence) {
			t.Errorf("list until %v: level %v, missing: %v", until, r.Level, r.Missing)
		}
	}
}

// foreignVectors are signatures that OpenSSL makes, in BER where it streams.
func foreignVectors(t *testing.T, content []byte) (map[string][]byte, []cadestest.Identity) {
	t.Helper()
	dir := t.TempDir()
	ids := []cadestest.Identity{cadestest.P256(), cadestest.RSA3072()}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range ids {
		write(fmt.Sprintf("cert%d.pem", i), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Chain[0]}))
		write(fmt.Sprintf("key%d.pem", i), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: cadestest.Must(x509.MarshalPKCS8PrivateKey(id.Key))}))
	}
	write("content", content)
	vectors := map[string][]byte{}
	for name, args := range map[string][]string{
		"detached":           {"-signer", "cert0.pem", "-inkey", "key0.pem"},
		"attached":           {"-signer", "cert0.pem", "-inkey", "key0.pem", "-nodetach"},
		"BER":                {"-signer", "cert0.pem", "-inkey", "key0.pem", "-nodetach", "-stream", "-indef"},
		"PSS":                {"-signer", "cert1.pem", "-inkey", "key1.pem", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest", "-nodetach"}, // OpenSSL 3.0 cannot stream it,
		"PSS, longest salt":  {"-signer", "cert1.pem", "-inkey", "key1.pem", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:max", "-nodetach"},
		"PSS, no salt":       {"-signer", "cert1.pem", "-inkey", "key1.pem", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:0", "-nodetach"},
		"RSA":                {"-signer", "cert1.pem", "-inkey", "key1.pem", "-nodetach", "-stream", "-indef"},
		"two signers":        {"-signer", "cert0.pem", "-inkey", "key0.pem", "-signer", "cert1.pem", "-inkey", "key1.pem", "-nodetach", "-stream", "-indef"},
		"two signers in DER": {"-signer", "cert0.pem", "-inkey", "key0.pem", "-signer", "cert1.pem", "-inkey", "key1.pem"},
	} {
		out := filepath.Join(dir, "out")
		cmd := exec.Command("openssl", append([]string{"cms", "-sign", "-cades", "-binary", "-md", "sha256", "-in", "content", "-outform", "DER", "-out", out}, args...)...)
		cmd.Dir = dir
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", name, said)
		}
		vectors[name] = cadestest.Must(os.ReadFile(out))
	}
	return vectors, ids
}

// TestForeign raises what OpenSSL made, to B-LTA and once more.
func TestForeign(t *testing.T) {
	content := bytes.Repeat([]byte("made elsewhere\n"), 3000)
	vectors, ids := foreignVectors(t, content)
	for name, data := range vectors {
		t.Run(name, func(t *testing.T) {
			var digests levels.Content
			if !cadestest.Must(cms.Parse(data)).Attached() {
				digests = cadestest.Detached(content)
			}
			p := &prover{ids: ids, tsas: []*tsptest.TSA{authority()}}
			s := services(authority(), p)
			s.Hash = crypto.SHA384
			for range 2 {
				data = raise(t, data, digests, cades.LevelBLTA, s)
			}
		})
	}
}
