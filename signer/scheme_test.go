package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// Credentials with other keys than that of every world.
const (
	rsaCred  credential.ID = "cred-rsa"
	p384Cred credential.ID = "cred-p384"
)

// newRSAWorld is a world with two more credentials, whose keys are RSA and on P-384.
func newRSAWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for id, key := range map[credential.ID]credential.Algorithm{rsaCred: credential.RSA3072, p384Cred: credential.ECDSAP384} {
		w.addCredentialOf(id, key)
		w.store.state.grants[[2]string{string(id), docs.Name}] = credential.Grant{}
	}
	return w
}

// isSignature reports whether sig is a signature by this scheme alone.
func isSignature(scheme credential.Scheme, key crypto.PublicKey, digest, sig []byte) bool {
	h := scheme.Hash()
	if k, ok := key.(*ecdsa.PublicKey); ok {
		return len(digest) == h.Size() && ecdsa.VerifyASN1(k, digest, sig)
	}
	k := key.(*rsa.PublicKey)
	pkcs1 := rsa.VerifyPKCS1v15(k, h, digest, sig) == nil
	pss := rsa.VerifyPSS(k, h, digest, sig, &rsa.PSSOptions{SaltLength: h.Size()}) == nil
	return pkcs1 != pss && pss == strings.Contains(string(scheme), "pss")
}

// by digests data.
func by(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// TestEverySchemeInEveryFormat signs, by each scheme of each key and by its default, everything that there is under one code:
// an uploaded PDF, hashes and an uploaded document as CAdES, a hash raw, and a PDF that stays.
func TestEverySchemeInEveryFormat(t *testing.T) {
	w := newRSAWorld(t)
	original := pdftest.Signable()[0].Data
	stays := []byte("a document that stays with the caller")
	for _, tt := range []struct {
		id          credential.ID
		asked, want credential.Scheme
		cms         cades.Algorithm
	}{
		{cred, "", credential.ECDSASHA256, cades.ECDSAWithSHA256},
		{p384Cred, "", credential.ECDSASHA384, cades.ECDSAWithSHA384},
		{p384Cred, credential.ECDSASHA384, credential.ECDSASHA384, cades.ECDSAWithSHA384},
		{rsaCred, "", credential.PSSSHA256, cades.PSSWithSHA256},
		{rsaCred, credential.PSSSHA256, credential.PSSSHA256, cades.PSSWithSHA256},
		{rsaCred, credential.PSSSHA384, credential.PSSSHA384, cades.PSSWithSHA384},
		{rsaCred, credential.PSSSHA512, credential.PSSSHA512, cades.PSSWithSHA512},
		{rsaCred, credential.PKCS1SHA256, credential.PKCS1SHA256, cades.RSAWithSHA256},
		{rsaCred, credential.PKCS1SHA384, credential.PKCS1SHA384, cades.RSAWithSHA384},
		{rsaCred, credential.PKCS1SHA512, credential.PKCS1SHA512, cades.RSAWithSHA512},
	} {
		t.Run(fmt.Sprint(tt.id, " by ", tt.asked), func(t *testing.T) {
			w.t = t
			hash := tt.want.Hash()
			d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(original))
			w.must(err)
			chain := w.store.state.credentials[tt.id].Chain
			leaf, err := x509.ParseCertificate(chain[0])
			w.must(err)
			p, err := pades.Prepare(ctx, bytes.NewReader(original), int64(len(original)), pades.Options{
				SigningTime: w.clock(), Chain: chain, Algorithm: tt.cms,
			})
			w.must(err)
			v, err := w.s.Create(ctx, docs, "request "+t.Name(), signer.CreateRequest{
				Credential: tt.id, Title: "Договір", Language: "uk", Algorithm: tt.asked,
				Items: []signer.ItemRequest{
					{Document: d.ID, Format: signer.PAdESBB},
					{Hash: by(hash, stays), Format: signer.CAdESBB},
					{Document: d.ID, Format: signer.CAdESBB},
					{Document: d.ID, Format: signer.CAdESAttached},
					{Hash: p.DocumentDigest(), Format: signer.PAdESHash, Room: p.Reserved()},
					{Hash: by(hash, stays), Format: signer.Raw},
				},
			})
			w.must(err)
			events := w.store.log()
			if e, ok := events[len(events)-2].(audit.SigningRequested); !ok || e.Algorithm != string(tt.want) || v.Algorithm != tt.want {
				t.Errorf("the log has %#v, the view %q", events[len(events)-2], v.Algorithm)
			}
			// The person is shown the SHA-256 of what was uploaded, and hashes as they were given.
			for i, shown := range [][]byte{d.SHA256, by(hash, stays), d.SHA256, d.SHA256, p.DocumentDigest(), by(hash, stays)} {
				if !bytes.Equal(v.Items[i].Digest, shown) {
					t.Errorf("of item %d the person is shown %x, not %x", i, v.Items[i].Digest, shown)
				}
			}
			v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
			w.must(err)
			for i, it := range v.Items {
				if len(it.DTBSR) != hash.Size() || !isSignature(tt.want, leaf.PublicKey, it.DTBSR, it.Signature) {
					t.Errorf("item %d is no %s signature", i, tt.want)
				}
			}
			if !bytes.Equal(v.Items[5].DTBSR, by(hash, stays)) {
				t.Error("a raw signature is over something else than the hash")
			}
			for i, content := range map[int][]byte{1: by(hash, stays), 2: by(hash, original), 3: by(hash, original), 4: p.DocumentDigest()} {
				cms, err := cades.Parse(v.Items[i].Result)
				w.must(err)
				if err := cms.Verify(content); err != nil || cms.Algorithm != tt.cms {
					t.Errorf("CMS %d is %v, %v", i, cms.Algorithm, err)
				}
			}
			attached, err := w.s.Artifact(ctx, docs, v.ID, 3, true, 0)
			w.must(err)
			whole, err := io.ReadAll(io.NewSectionReader(attached, 0, attached.Size))
			w.must(err)
			if !bytes.Contains(whole, original) {
				t.Error("the attached CMS lacks its content")
			}
			for from, tail := range map[string][]byte{"PAdES": v.Items[0].Result, "PAdES over a hash": w.embedded(p, v.Items[4].Result)} {
				signed := append(bytes.Clone(original), tail...)
				found, err := longterm.Verify(ctx, bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
				w.must(err)
				if len(found) != 1 || found[0].Err != nil || found[0].CMS.Algorithm != tt.cms {
					t.Errorf("%s reads as %+v", from, found)
				}
			}
		})
	}
}

// embedded is what stands behind a PDF with this CMS.
func (w *world) embedded(p *pades.Prepared, cms []byte) []byte {
	w.t.Helper()
	tail, err := p.EmbedCMS(cms)
	w.must(err)
	return tail
}

// TestHashOfAnotherLength: a given hash has the length of those that the scheme signs, exactly, or nothing is asked of anybody.
func TestHashOfAnotherLength(t *testing.T) {
	w := newRSAWorld(t)
	for id, key := range map[credential.ID]credential.Algorithm{
		cred: credential.ECDSAP256, p384Cred: credential.ECDSAP384, rsaCred: credential.RSA3072,
	} {
		for _, scheme := range append(key.Schemes(), "") {
			size := scheme.DigestSize()
			if scheme == "" {
				size = key.Schemes()[0].DigestSize()
			}
			for _, format := range []signer.Format{signer.Raw, signer.CAdESBB, signer.PAdESHash} {
				for _, n := range []int{0, 1, 31, 32, 33, 47, 48, 49, 63, 64, 65, 128} {
					good := make([]byte, size)
					_, err := w.s.Create(ctx, docs, fmt.Sprint(id, scheme, format, n), signer.CreateRequest{
						Credential: id, Title: "x", Language: "en", Algorithm: scheme,
						Items: []signer.ItemRequest{{Hash: good, Format: format}, {Hash: make([]byte, n), Format: format}},
					})
					if n == size {
						w.must(err)
						continue
					}
					var field *signer.FieldError
					if !errors.As(err, &field) || field.Field != "items[1].hash" || !errors.Is(err, signer.ErrInput) ||
						n > 0 && !strings.Contains(field.Text, fmt.Sprintf("hashes of %d bytes, got %d", size, n)) {
						t.Errorf("%s by %q as %s, a hash of %d bytes: %v", id, scheme, format, n, err)
					}
				}
			}
		}
	}
}

// TestTrustDocumentExchanged: what lies in the spool is no longer what arrived. Whatever the hash of the scheme, the SHA-256 that
// the person is shown is that of the bytes which are signed, or nothing is.
func TestTrustDocumentExchanged(t *testing.T) {
	for _, scheme := range append(credential.RSA3072.Schemes(), credential.ECDSASHA384) {
		for _, format := range []signer.Format{signer.PAdESBB, signer.CAdESBB, signer.CAdESAttached} {
			w := newRSAWorld(t)
			d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(pdftest.Signable()[0].Data))
			w.must(err)
			w.spool.files[d.ID] = pdftest.Signable()[1].Data
			w.restart(1) // what was remembered of the document is gone
			id := rsaCred
			if scheme == credential.ECDSASHA384 {
				id = p384Cred
			}
			_, err = w.s.Create(ctx, docs, "request", signer.CreateRequest{
				Credential: id, Title: "x", Language: "en", Algorithm: scheme, Items: []signer.ItemRequest{{Document: d.ID, Format: format}},
			})
			if !errors.Is(err, signer.ErrIntegrity) || len(w.alarms) == 0 {
				t.Errorf("%s by %s: %v, alarms %v", format, scheme, err, w.alarms)
			}
		}
	}
}

func TestSchemeOfAnotherKeyRefused(t *testing.T) {
	w := newRSAWorld(t)
	h := sha256.Sum256([]byte("x"))
	for id, schemes := range map[credential.ID][]credential.Scheme{
		cred:     {credential.PSSSHA256, credential.PKCS1SHA256, credential.ECDSASHA384, "none"},
		p384Cred: {credential.ECDSASHA256, credential.PSSSHA384, credential.PKCS1SHA384, "none"},
		rsaCred:  {credential.ECDSASHA256, credential.ECDSASHA384, credential.Scheme(credential.RSA3072), "none"},
	} {
		for _, scheme := range schemes {
			_, err := w.s.Create(ctx, docs, "refused", signer.CreateRequest{
				Credential: id, Title: "x", Language: "en", Algorithm: scheme, Items: []signer.ItemRequest{{Hash: h[:], Format: signer.Raw}},
			})
			var field *signer.FieldError
			if !errors.As(err, &field) || field.Field != "algorithm" || !errors.Is(err, signer.ErrInput) {
				t.Errorf("%s with %s: %v", id, scheme, err)
			}
		}
	}
}

// TestTrustSchemeIsAuthorised: a person authorised PSS with SHA-384. Whoever writes the database cannot make PKCS #1 or another
// hash of it, neither in the record nor with an operation of his own whose seal is genuine, nor put in digests of another
// length; nor can the same request id ask for another scheme.
func TestTrustSchemeIsAuthorised(t *testing.T) {
	request := func(s credential.Scheme) signer.CreateRequest {
		return signer.CreateRequest{
			Credential: rsaCred, Title: "x", Language: "en", Algorithm: s,
			Items: []signer.ItemRequest{{Hash: by(s.Hash(), []byte("x")), Format: signer.Raw}},
		}
	}
	type attack func(w *world, o *signer.Operation)
	record := func(change func(o *sam.Operation)) attack {
		return func(w *world, o *signer.Operation) {
			var sealed sam.Operation
			w.must(sealed.UnmarshalBinary(o.Sealed.Record))
			change(&sealed)
			var err error
			o.Sealed.Record, err = sealed.MarshalBinary()
			w.must(err)
		}
	}
	// An operation of the attacker's own, with or without the items that belong to it.
	other := func(s credential.Scheme, items bool) attack {
		return func(w *world, o *signer.Operation) {
			v, err := w.s.Create(ctx, docs, "other", request(s))
			w.must(err)
			own := w.store.state.operations[v.ID]
			o.Sealed = own.Sealed
			if items {
				o.Items = own.Items
			}
		}
	}
	for name, attack := range map[string]attack{
		"record, other padding": record(func(o *sam.Operation) { o.Algorithm = credential.PKCS1SHA384 }),
		"record, other hash":    record(func(o *sam.Operation) { o.Algorithm = credential.PSSSHA512 }),
		"record, other hash and digest": record(func(o *sam.Operation) {
			o.Algorithm, o.Digests = credential.PSSSHA256, [][]byte{by(crypto.SHA256, []byte("x"))}
		}),
		"another operation, other padding":             other(credential.PKCS1SHA384, false),
		"another operation, other hash":                other(credential.PSSSHA512, false),
		"another operation, other padding, with items": other(credential.PKCS1SHA384, true),
		"another operation, other hash, with items":    other(credential.PSSSHA256, true),
		"items with a digest of another length": func(w *world, o *signer.Operation) {
			items, err := signer.UnmarshalItems(o.Items)
			w.must(err)
			items[0].DTBSR = by(crypto.SHA512, []byte("x"))
			o.Items = signer.MarshalItems(items)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRSAWorld(t)
			v, err := w.s.Create(ctx, docs, "mine", request(credential.PSSSHA384))
			w.must(err)
			for _, s := range []credential.Scheme{credential.PKCS1SHA384, credential.PSSSHA512, ""} {
				r := request(credential.PSSSHA384)
				r.Algorithm = s
				if _, err := w.s.Create(ctx, docs, "mine", r); !errors.Is(err, signer.ErrRequestReused) {
					t.Errorf("the same request id with scheme %q: %v", s, err)
				}
			}
			code := w.code(v.ID)
			o := w.store.state.operations[v.ID]
			attack(w, &o)
			w.store.state.operations[v.ID] = o
			if _, err := w.s.Authorize(ctx, docs, v.ID, code); !errors.Is(err, signer.ErrIntegrity) || w.device.count() != 0 || len(w.alarms) == 0 {
				t.Errorf("error %v, %d signatures, alarms %v", err, w.device.count(), w.alarms)
			}
		})
	}
}

// TestRSAHundredItems: as many as one code may carry, each signed once, in order.
func TestRSAHundredItems(t *testing.T) {
	w := newRSAWorld(t)
	r := signer.CreateRequest{Credential: rsaCred, Title: "Договір", Language: "uk"}
	for i := range 100 {
		h := sha256.Sum256([]byte{byte(i)})
		r.Items = append(r.Items, signer.ItemRequest{Hash: h[:], Format: signer.Raw})
	}
	v, err := w.s.Create(ctx, docs, "hundred", r)
	w.must(err)
	v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	key, err := rsaKey()
	w.must(err)
	for i, it := range v.Items {
		if !isSignature(credential.PSSSHA256, &key.PublicKey, r.Items[i].Hash, it.Signature) {
			t.Errorf("item %d", i)
		}
	}
	if w.device.count() != 100 {
		t.Errorf("%d signatures made", w.device.count())
	}
}

// Under a scheme with SHA-384 CAdES comes to every level as well: of a hash nothing but that is known, and of an uploaded
// document the item holds the SHA-256, which the signature does not.
func TestLevelsWithSHA384(t *testing.T) {
	w := newRaising(t)
	w.addCredentialOf(cred, credential.ECDSAP384)
	w.reissue()
	content := []byte("content")
	d, err := w.s.Upload(ctx, docs, "upload", "a.txt", bytes.NewReader(content))
	w.must(err)
	v, err := w.s.Create(ctx, docs, "create", signer.CreateRequest{Credential: cred, Title: "t", Language: "en", Items: []signer.ItemRequest{
		{Hash: by(crypto.SHA384, content), Format: signer.CAdESBB, Level: cades.LevelBLTA},
		{Document: d.ID, Format: signer.CAdESBB, Level: cades.LevelBLTA},
		{Document: d.ID, Format: signer.CAdESAttached, Level: cades.LevelBLTA},
	}})
	w.must(err)
	v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	w.settle(0)
	for i := range v.Items {
		for l := cades.LevelBB; l <= cades.LevelBLTA; l++ {
			of := augment.Digest(crypto.SHA384, by(crypto.SHA384, content))
			if i == 2 {
				of = nil
			}
			reports, err := levels.Inspect(w.artefact(v, i, true, l), of)
			if err != nil || len(reports) != 1 || reports[0].Level != l || reports[0].Invalid != nil {
				t.Errorf("item %d at %v: %+v, %v, %v", i, l, reports, err, w.reasons)
			}
		}
	}
}
