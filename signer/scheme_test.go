package signer_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

const rsaCred credential.ID = "cred-rsa"

// newRSAWorld is a world with a second credential, whose key is RSA.
func newRSAWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.addCredentialOf(rsaCred, credential.RSA3072)
	w.store.state.grants[[2]string{string(rsaCred), docs.Name}] = credential.Grant{}
	return w
}

// isSignature reports whether sig is a signature by this scheme alone.
func isSignature(scheme credential.Scheme, key *rsa.PublicKey, digest, sig []byte) bool {
	pkcs1 := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, sig) == nil
	pss := rsa.VerifyPSS(key, crypto.SHA256, digest, sig, &rsa.PSSOptions{SaltLength: 32}) == nil
	return pkcs1 == (scheme == credential.RSAPKCS1) && pss == (scheme == credential.RSAPSS)
}

// TestRSAInEveryFormat signs a PDF, a hash as CAdES and a hash raw under one code, by each scheme and by the default.
func TestRSAInEveryFormat(t *testing.T) {
	w := newRSAWorld(t)
	original := pdftest.Signable()[0].Data
	d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(original))
	w.must(err)
	h := sha256.Sum256([]byte("a document that stays with the caller"))
	leaf, err := x509.ParseCertificate(w.store.state.credentials[rsaCred].Chain[0])
	w.must(err)
	key := leaf.PublicKey.(*rsa.PublicKey)
	for _, tt := range []struct {
		asked, want credential.Scheme
		cms         cades.Algorithm
	}{
		{"", credential.RSAPSS, cades.PSSWithSHA256},
		{credential.RSAPSS, credential.RSAPSS, cades.PSSWithSHA256},
		{credential.RSAPKCS1, credential.RSAPKCS1, cades.RSAWithSHA256},
	} {
		v, err := w.s.Create(ctx, docs, "request "+string(tt.asked), signer.CreateRequest{
			Credential: rsaCred, Title: "Договір", Language: "uk", Algorithm: tt.asked,
			Items: []signer.ItemRequest{{Document: d.ID, Format: signer.PAdESBB}, {Hash: h[:], Format: signer.CAdESBB}, {Hash: h[:], Format: signer.Raw}},
		})
		w.must(err)
		events := w.store.log()
		if e, ok := events[len(events)-2].(audit.SigningRequested); !ok || e.Algorithm != string(tt.want) || v.Algorithm != tt.want {
			t.Errorf("asked for %q: the log has %#v, the view %q", tt.asked, events[len(events)-2], v.Algorithm)
		}
		v, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
		w.must(err)
		for i, it := range v.Items {
			if !isSignature(tt.want, key, it.DTBSR, it.Signature) {
				t.Errorf("asked for %q: item %d is no %s signature", tt.asked, i, tt.want)
			}
		}
		cms, err := cades.Parse(v.Items[1].Result)
		w.must(err)
		if err := cms.Verify(h[:]); err != nil || cms.Algorithm != tt.cms {
			t.Errorf("asked for %q: CAdES is %v, %v", tt.asked, cms.Algorithm, err)
		}
		signed := append(bytes.Clone(original), v.Items[0].Result...)
		found, err := longterm.Verify(ctx, bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
		w.must(err)
		if len(found) != 1 || found[0].Err != nil || found[0].CMS.Algorithm != tt.cms {
			t.Errorf("asked for %q: PAdES reads as %+v", tt.asked, found)
		}
	}
}

func TestSchemeOfAnotherKeyRefused(t *testing.T) {
	w := newRSAWorld(t)
	h := sha256.Sum256([]byte("x"))
	for id, schemes := range map[credential.ID][]credential.Scheme{
		cred:    {credential.RSAPSS, credential.RSAPKCS1, "none"},
		rsaCred: {credential.ECDSASHA256, credential.Scheme(credential.RSA3072), "none"},
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

// TestTrustSchemeIsAuthorised: a person authorised PSS. Whoever writes the database cannot make PKCS #1 of it, neither in the
// record nor with an operation of his own whose seal is genuine; nor can the same request id ask for another scheme.
func TestTrustSchemeIsAuthorised(t *testing.T) {
	h := sha256.Sum256([]byte("x"))
	request := func(s credential.Scheme) signer.CreateRequest {
		return signer.CreateRequest{
			Credential: rsaCred, Title: "x", Language: "en", Algorithm: s, Items: []signer.ItemRequest{{Hash: h[:], Format: signer.Raw}},
		}
	}
	for name, attack := range map[string]func(w *world, o *signer.Operation){
		"record": func(w *world, o *signer.Operation) {
			var sealed sam.Operation
			w.must(sealed.UnmarshalBinary(o.Sealed.Record))
			sealed.Algorithm = credential.RSAPKCS1
			var err error
			o.Sealed.Record, err = sealed.MarshalBinary()
			w.must(err)
		},
		"record and seal of another operation": func(w *world, o *signer.Operation) {
			v, err := w.s.Create(ctx, docs, "other", request(credential.RSAPKCS1))
			w.must(err)
			o.Sealed = w.store.state.operations[v.ID].Sealed
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRSAWorld(t)
			v, err := w.s.Create(ctx, docs, "mine", request(credential.RSAPSS))
			w.must(err)
			if _, err := w.s.Create(ctx, docs, "mine", request(credential.RSAPKCS1)); !errors.Is(err, signer.ErrRequestReused) {
				t.Errorf("the same request id with another scheme: %v", err)
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
		if !isSignature(credential.RSAPSS, &key.PublicKey, r.Items[i].Hash, it.Signature) {
			t.Errorf("item %d", i)
		}
	}
	if w.device.count() != 100 {
		t.Errorf("%d signatures made", w.device.count())
	}
}
