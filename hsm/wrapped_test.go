package hsm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// holder is a holder of the PIN with a PKCS #11 library and a session of his own.
type holder struct {
	*pkcs11.Ctx
	s pkcs11.SessionHandle
}

func newHolder(t testing.TB, d *hsm.Device) holder {
	t.Helper()
	p := hsmtest.SharedModule(t).Raw()
	s, err := p.OpenSession(d.Slot(), pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.CloseSession(s); err != nil {
			t.Error(err)
		}
	})
	return holder{p, s}
}

func (h holder) find(t testing.TB, template ...*pkcs11.Attribute) []pkcs11.ObjectHandle {
	t.Helper()
	if err := h.FindObjectsInit(h.s, template); err != nil {
		t.Fatal(err)
	}
	var all []pkcs11.ObjectHandle
	for {
		some, _, err := h.FindObjects(h.s, 100)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, some...); len(some) == 0 {
			break
		}
	}
	if err := h.FindObjectsFinal(h.s); err != nil {
		t.Fatal(err)
	}
	return all
}

func attr(typ uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(typ, value) }

func mechanism(m uint, parameter []byte) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, parameter)}
}

func wrapPad() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_WRAP_PAD, nil)}
}

// unwrapTemplate is the template that the KEK allows, with changes.
func unwrapTemplate(changes ...*pkcs11.Attribute) []*pkcs11.Attribute {
	template := []*pkcs11.Attribute{
		attr(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		attr(pkcs11.CKA_TOKEN, false), attr(pkcs11.CKA_SENSITIVE, true), attr(pkcs11.CKA_EXTRACTABLE, false),
	}
	for _, c := range changes {
		template = slices.DeleteFunc(template, func(a *pkcs11.Attribute) bool { return a.Type == c.Type })
		if c.Value != nil {
			template = append(template, c)
		}
	}
	return template
}

// TestTheft: who holds the PIN and the database cannot read a signatory's key.
func TestTheft(t *testing.T) {
	for name, keyType := range map[string]uint{hsm.ECDSAP256: pkcs11.CKK_EC, hsm.RSA3072: pkcs11.CKK_RSA} {
		t.Run(name, func(t *testing.T) { tryTheft(t, name, attr(pkcs11.CKA_KEY_TYPE, keyType)) })
	}
}

func tryTheft(t *testing.T, algorithm string, keyType *pkcs11.Attribute) {
	unwrapTemplate := func(changes ...*pkcs11.Attribute) []*pkcs11.Attribute {
		return unwrapTemplate(append([]*pkcs11.Attribute{keyType}, changes...)...)
	}
	d := hsmtest.New(t)
	wrapped, _, _, err := d.GenerateKey(context.Background(), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	thief := newHolder(t, d)
	kek := thief.find(t, attr(pkcs11.CKA_LABEL, hsmtest.KEK))[0]
	key, err := thief.UnwrapKey(thief.s, wrapPad(), kek, wrapped, unwrapTemplate())
	if err != nil {
		t.Fatalf("what SignWrapped does must work: %v", err)
	}
	secret := unwrapTemplate(attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET))
	unwrap := func(m []*pkcs11.Mechanism, template ...*pkcs11.Attribute) func() error {
		return func() error {
			_, err := thief.UnwrapKey(thief.s, m, kek, wrapped, template)
			return err
		}
	}
	set := func(o pkcs11.ObjectHandle, a *pkcs11.Attribute) func() error {
		return func() error { return thief.SetAttributeValue(thief.s, o, []*pkcs11.Attribute{a}) }
	}
	copied := func(o pkcs11.ObjectHandle, a ...*pkcs11.Attribute) func() error {
		return func() error {
			_, err := thief.CopyObject(thief.s, o, a)
			return err
		}
	}
	value := func(o pkcs11.ObjectHandle, typ uint) func() error {
		return func() error {
			v, err := thief.GetAttributeValue(thief.s, o, []*pkcs11.Attribute{attr(typ, nil)})
			if err == nil && len(v[0].Value) == 0 {
				return errors.New("no value")
			}
			return err
		}
	}
	wrapUnder := func(o pkcs11.ObjectHandle) func() error {
		return func() error {
			own, err := thief.CreateObject(thief.s, []*pkcs11.Attribute{
				attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
				attr(pkcs11.CKA_VALUE, make([]byte, 32)), attr(pkcs11.CKA_WRAP, true), attr(pkcs11.CKA_TOKEN, false),
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = thief.WrapKey(thief.s, wrapPad(), own, o)
			return err
		}
	}
	init := func(f func(pkcs11.SessionHandle, []*pkcs11.Mechanism, pkcs11.ObjectHandle) error, m []*pkcs11.Mechanism) func() error {
		return func() error { return f(thief.s, m, kek) }
	}
	seal := thief.find(t, attr(pkcs11.CKA_LABEL, hsm.SealLabel))[0]
	cbc := mechanism(pkcs11.CKM_AES_CBC, make([]byte, 16))
	for name, steal := range map[string]func() error{
		"unwrap, not sensitive":            unwrap(wrapPad(), unwrapTemplate(attr(pkcs11.CKA_SENSITIVE, false))...),
		"unwrap, sensitive left out":       unwrap(wrapPad(), unwrapTemplate(attr(pkcs11.CKA_SENSITIVE, nil))...),
		"unwrap, extractable":              unwrap(wrapPad(), unwrapTemplate(attr(pkcs11.CKA_EXTRACTABLE, true))...),
		"unwrap, extractable left out":     unwrap(wrapPad(), unwrapTemplate(attr(pkcs11.CKA_EXTRACTABLE, nil))...),
		"unwrap, both":                     unwrap(wrapPad(), unwrapTemplate(attr(pkcs11.CKA_SENSITIVE, false), attr(pkcs11.CKA_EXTRACTABLE, true))...),
		"unwrap twice named":               unwrap(wrapPad(), append(unwrapTemplate(), attr(pkcs11.CKA_EXTRACTABLE, true))...),
		"unwrap as data":                   unwrap(wrapPad(), attr(pkcs11.CKA_CLASS, pkcs11.CKO_DATA), attr(pkcs11.CKA_TOKEN, false)),
		"unwrap as readable secret":        unwrap(wrapPad(), slices.Concat(secret[:1], []*pkcs11.Attribute{attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), attr(pkcs11.CKA_SENSITIVE, false), attr(pkcs11.CKA_EXTRACTABLE, true)})...),
		"unwrap by another mechanism":      unwrap(cbc, unwrapTemplate()...),
		"KEK: set DECRYPT":                 set(kek, attr(pkcs11.CKA_DECRYPT, true)),
		"KEK: set ENCRYPT":                 set(kek, attr(pkcs11.CKA_ENCRYPT, true)),
		"KEK: set MODIFIABLE":              set(kek, attr(pkcs11.CKA_MODIFIABLE, true)),
		"KEK: set EXTRACTABLE":             set(kek, attr(pkcs11.CKA_EXTRACTABLE, true)),
		"KEK: set UNWRAP_TEMPLATE":         set(kek, attr(pkcs11.CKA_UNWRAP_TEMPLATE, nil)),
		"KEK: copy":                        copied(kek, attr(pkcs11.CKA_TOKEN, false)),
		"KEK: copy with DECRYPT":           copied(kek, attr(pkcs11.CKA_DECRYPT, true)),
		"KEK: copy extractable":            copied(kek, attr(pkcs11.CKA_EXTRACTABLE, true)),
		"KEK: read":                        value(kek, pkcs11.CKA_VALUE),
		"KEK: wrap it":                     wrapUnder(kek),
		"KEK: decrypt":                     init(thief.DecryptInit, cbc),
		"KEK: encrypt":                     init(thief.EncryptInit, cbc),
		"KEK: decrypt by ECB":              init(thief.DecryptInit, mechanism(pkcs11.CKM_AES_ECB, nil)),
		"unwrapped key: read":              value(key, pkcs11.CKA_VALUE),
		"unwrapped key: set SENSITIVE":     set(key, attr(pkcs11.CKA_SENSITIVE, false)),
		"unwrapped key: set EXTRACTABLE":   set(key, attr(pkcs11.CKA_EXTRACTABLE, true)),
		"unwrapped key: copy readable":     copied(key, attr(pkcs11.CKA_SENSITIVE, false)),
		"unwrapped key: copy, extractable": copied(key, attr(pkcs11.CKA_EXTRACTABLE, true)),
		"unwrapped key: read RSA's d":      value(key, pkcs11.CKA_PRIVATE_EXPONENT),
		"unwrapped key: read RSA's p":      value(key, pkcs11.CKA_PRIME_1),
		"unwrapped key: wrap it":           wrapUnder(key),
		"seal key: read":                   value(seal, pkcs11.CKA_VALUE),
		"seal key: copy":                   copied(seal, attr(pkcs11.CKA_TOKEN, false)),
		"seal key: set EXTRACTABLE":        set(seal, attr(pkcs11.CKA_EXTRACTABLE, true)),
		"seal key: wrap it":                wrapUnder(seal),
	} {
		if err := steal(); err == nil {
			t.Errorf("%s: succeeded", name)
		} else if errors.Is(err, pkcs11.Error(pkcs11.CKR_ARGUMENTS_BAD)) || errors.Is(err, pkcs11.Error(pkcs11.CKR_TEMPLATE_INCOMPLETE)) {
			t.Errorf("%s: not refused, but asked wrongly: %v", name, err)
		}
	}
	// As a secret it may be unwrapped, but not read.
	if h, err := thief.UnwrapKey(thief.s, wrapPad(), kek, wrapped, secret); err == nil {
		if err := value(h, pkcs11.CKA_VALUE)(); err == nil {
			t.Error("a key unwrapped as a secret was read")
		}
	}
}

// TestServiceKeyTheft: nor can he read or copy a service key.
func TestServiceKeyTheft(t *testing.T) {
	d := hsmtest.New(t)
	thief := newHolder(t, d)
	for _, name := range []string{hsm.ECDSAP256, hsm.ECDSAP384, hsm.Ed25519} {
		if _, err := d.CreateServiceKey(context.Background(), name, name); err != nil {
			t.Fatal(err)
		}
		key := thief.find(t, attr(pkcs11.CKA_LABEL, name), attr(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))[0]
		if v, err := thief.GetAttributeValue(thief.s, key, []*pkcs11.Attribute{attr(pkcs11.CKA_VALUE, nil)}); err == nil && len(v[0].Value) > 0 {
			t.Errorf("%s: read", name)
		}
		for _, a := range []*pkcs11.Attribute{attr(pkcs11.CKA_SENSITIVE, false), attr(pkcs11.CKA_EXTRACTABLE, true), attr(pkcs11.CKA_LABEL, "other")} {
			if thief.SetAttributeValue(thief.s, key, []*pkcs11.Attribute{a}) == nil {
				t.Errorf("%s: attribute %x set", name, a.Type)
			}
			if _, err := thief.CopyObject(thief.s, key, []*pkcs11.Attribute{a}); err == nil {
				t.Errorf("%s: copied with attribute %x", name, a.Type)
			}
		}
	}
}

// TestWrappedKeyRefused: nothing but the very bytes that were wrapped is taken, none of it reaches
// C_Sign, and none of it makes the device look broken.
func TestWrappedKeyRefused(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	ctx := context.Background()
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _, err := d.GenerateKey(ctx, hsm.ECDSAP384)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, _, _, err := d.GenerateKey(ctx, hsm.RSA3072)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CreateKEK(ctx, "kek-2025-9"); err != nil {
		t.Fatal(err)
	}
	rsa2048 := wrapRSA(t, d, kek, 2048)
	type blob struct {
		name, kek string
		bytes     []byte
	}
	bad := []blob{
		{"other curve", kek, other},
		{"RSA", kek, rsaKey},
		{"other KEK", "kek-2025-9", wrapped},
		{"empty", kek, nil},
		{"one block", kek, wrapped[:8]},
		{"zeros", kek, make([]byte, 80)},
		{"longer", kek, append(slices.Clone(wrapped), make([]byte, 8)...)},
		{"odd length", kek, wrapped[:79]},
		{"huge", kek, make([]byte, 1<<20)},
		{"secret key", kek, wrapSecret(t, d, kek)},
	}
	for i := range wrapped {
		b := slices.Clone(wrapped)
		b[i] ^= 1 << (i % 8)
		bad = append(bad, blob{fmt.Sprintf("byte %d", i), kek, b})
	}
	for n := 16; n < len(wrapped); n += 8 {
		bad = append(bad, blob{fmt.Sprintf("cut to %d", n), kek, wrapped[:n]})
	}
	for _, b := range bad {
		if _, err := d.SignWrapped(ctx, b.kek, b.bytes, hsm.ECDSAP256, digests(1)); !errors.Is(err, hsm.ErrWrappedKey) || errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s: %v", b.name, err)
		}
	}
	for _, id := range []string{"", "seal", "kek-2024-1", "kek-x"} {
		if _, err := d.SignWrapped(ctx, id, wrapped, hsm.ECDSAP256, digests(1)); !errors.Is(err, hsm.ErrAbsent) {
			t.Errorf("KEK %q: %v", id, err)
		}
	}
	for _, ds := range [][][]byte{nil, {}, {nil}, {make([]byte, 31)}, {make([]byte, 32), make([]byte, 48)}} {
		if _, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, ds); !errors.Is(err, hsm.ErrDigest) {
			t.Errorf("digests %v: %v", ds, err)
		}
	}
	for _, name := range []string{hsm.PKCS1SHA256, hsm.PSSSHA256} {
		if _, _, _, err := d.GenerateKey(ctx, name); !errors.Is(err, hsm.ErrAlgorithm) {
			t.Errorf("a key of type %s: %v", name, err)
		}
		if _, err := d.CreateServiceKey(ctx, name, name); !errors.Is(err, hsm.ErrAlgorithm) {
			t.Errorf("a service key of type %s: %v", name, err)
		}
		if _, err := d.SignWrapped(ctx, kek, wrapped, name, digests(1)); !errors.Is(err, hsm.ErrWrappedKey) {
			t.Errorf("%s with an EC key: %v", name, err)
		}
		if _, err := d.SignWrapped(ctx, kek, rsa2048, name, digests(1)); !errors.Is(err, hsm.ErrWrappedKey) {
			t.Errorf("%s with a key of 2048 bits: %v", name, err)
		}
	}
	if _, err := d.SignWrapped(ctx, kek, rsaKey, hsm.RSA3072, digests(1)); !errors.Is(err, hsm.ErrAlgorithm) {
		t.Errorf("a signature without a scheme: %v", err)
	}
	for _, name := range []string{"", "rsa-2048", hsm.Ed25519} {
		_, _, _, genErr := d.GenerateKey(ctx, name)
		_, signErr := d.SignWrapped(ctx, kek, wrapped, name, digests(1))
		if !errors.Is(genErr, hsm.ErrAlgorithm) || !errors.Is(signErr, hsm.ErrAlgorithm) {
			t.Errorf("algorithm %q: %v, %v", name, genErr, signErr)
		}
	}
	if n := f.count("Sign"); n != 0 {
		t.Errorf("%d calls of C_Sign", n)
	}
	if m.Generation() != 1 {
		t.Error("bad keys made the device look lost")
	}
	sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, digests(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(public, digests(1), sigs); err != nil {
		t.Error(err)
	}
}

// wrapSecret wraps a symmetric key under the KEK.
func wrapSecret(t testing.TB, d *hsm.Device, kek string) []byte {
	t.Helper()
	h := newHolder(t, d)
	secret, err := h.GenerateKey(h.s, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, nil), []*pkcs11.Attribute{
		attr(pkcs11.CKA_VALUE_LEN, 64), attr(pkcs11.CKA_TOKEN, false), attr(pkcs11.CKA_EXTRACTABLE, true),
	})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := h.WrapKey(h.s, wrapPad(), h.find(t, attr(pkcs11.CKA_LABEL, kek))[0], secret)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// wrapRSA makes an RSA key of any length and wraps it under the KEK.
func wrapRSA(t testing.TB, d *hsm.Device, kek string, bits int) []byte {
	t.Helper()
	h := newHolder(t, d)
	_, key, err := h.GenerateKeyPair(h.s, mechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil),
		[]*pkcs11.Attribute{attr(pkcs11.CKA_MODULUS_BITS, bits), attr(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})},
		[]*pkcs11.Attribute{attr(pkcs11.CKA_TOKEN, false), attr(pkcs11.CKA_EXTRACTABLE, true)})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := h.WrapKey(h.s, wrapPad(), h.find(t, attr(pkcs11.CKA_LABEL, kek))[0], key)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func TestNewestKEK(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	old, _, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ create, newest string }{
		{"kek-2026-2", "kek-2026-2"},
		{"kek-2025-99", "kek-2026-2"},
		{"kek-2026-10", "kek-2026-10"},
		{"kek-2027-1", "kek-2027-1"},
	} {
		if err := d.CreateKEK(ctx, step.create); err != nil {
			t.Fatal(err)
		}
		_, kek, _, err := d.GenerateKey(ctx, hsm.ECDSAP256)
		if err != nil || kek != step.newest {
			t.Errorf("after %s: %s, %v; want %s", step.create, kek, err, step.newest)
		}
	}
	for _, id := range []string{"", "kek", "kek-2026", "kek-2026-0", "kek-26-1", "kek-2026-01", "KEK-2026-1", "kek-2026-1 ", "seal"} {
		if err := d.CreateKEK(ctx, id); err == nil {
			t.Errorf("KEK %q created", id)
		}
	}
	if err := d.CreateKEK(ctx, hsmtest.KEK); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("second %s: %v", hsmtest.KEK, err)
	}
	sigs, err := d.SignWrapped(ctx, hsmtest.KEK, old, hsm.ECDSAP256, digests(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(public, digests(3), sigs); err != nil {
		t.Error(err)
	}
}

// TestNoResidue: after 200 keys and as many signatures, with every step failing now and then, token and
// sessions hold what they held before.
func TestNoResidue(t *testing.T) {
	f, _, d := faultyDevice(t, 3)
	ctx := context.Background()
	h := newHolder(t, d)
	before := len(h.find(t))
	steps := []string{"GenerateKeyPair", "WrapKey", "UnwrapKey", "GetAttributeValue", "DestroyObject", "SignInit", "Sign"}
	done := 0
	for i := range 200 {
		if i%2 == 0 { // a step fails, at its first to third call
			step, codes := steps[i/2%len(steps)], make([]uint, i/2/len(steps)%3)
			f.set(func() { f.once = map[string][]uint{step: append(codes, pkcs11.CKR_FUNCTION_REJECTED)} })
		}
		wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
		if err != nil {
			continue
		}
		ds := digests(3)
		sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, ds)
		if err != nil {
			continue
		}
		if err := verify(public, ds, sigs); err != nil {
			t.Error(err)
		}
		done++
	}
	if done < 100 || done > 190 {
		t.Errorf("%d of 200 rounds worked", done)
	}
	if after := len(h.find(t)); after != before {
		t.Errorf("%d objects before, %d after", before, after)
	}
}

// TestForeignKEK: a holder of the PIN puts a newer KEK there, one that he can read with. No key is wrapped
// under it, or unwrapped.
func TestForeignKEK(t *testing.T) {
	base := []*pkcs11.Attribute{
		attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), attr(pkcs11.CKA_LABEL, "kek-2999-1"),
		attr(pkcs11.CKA_TOKEN, true), attr(pkcs11.CKA_WRAP, true), attr(pkcs11.CKA_UNWRAP, true),
		attr(pkcs11.CKA_MODIFIABLE, false), attr(pkcs11.CKA_COPYABLE, false),
	}
	closed := []*pkcs11.Attribute{
		attr(pkcs11.CKA_SENSITIVE, true), attr(pkcs11.CKA_EXTRACTABLE, false),
		attr(pkcs11.CKA_ENCRYPT, false), attr(pkcs11.CKA_DECRYPT, false), attr(pkcs11.CKA_VALUE_LEN, 32),
	}
	with := func(a *pkcs11.Attribute) []*pkcs11.Attribute {
		all := slices.DeleteFunc(slices.Concat(base, closed), func(x *pkcs11.Attribute) bool { return x.Type == a.Type })
		return append(all, a)
	}
	generate := func(template []*pkcs11.Attribute) func(holder) error {
		return func(h holder) error {
			_, err := h.GenerateKey(h.s, mechanism(pkcs11.CKM_AES_KEY_GEN, nil), template)
			return err
		}
	}
	for name, forge := range map[string]func(holder) error{
		"of known value": func(h holder) error {
			_, err := h.CreateObject(h.s, append(slices.Clone(base),
				attr(pkcs11.CKA_VALUE, make([]byte, 32)), attr(pkcs11.CKA_ENCRYPT, false), attr(pkcs11.CKA_DECRYPT, false),
				attr(pkcs11.CKA_SENSITIVE, true), attr(pkcs11.CKA_EXTRACTABLE, false)))
			return err
		},
		"that decrypts":         generate(with(attr(pkcs11.CKA_DECRYPT, true))),
		"that encrypts":         generate(with(attr(pkcs11.CKA_ENCRYPT, true))),
		"that is readable":      generate(with(attr(pkcs11.CKA_SENSITIVE, false))),
		"that is extractable":   generate(with(attr(pkcs11.CKA_EXTRACTABLE, true))),
		"that can be changed":   generate(with(attr(pkcs11.CKA_MODIFIABLE, true))),
		"that can be copied":    generate(with(attr(pkcs11.CKA_COPYABLE, true))),
		"that unwraps anything": generate(slices.Concat(base, closed)),
	} {
		t.Run(name, func(t *testing.T) {
			d := hsmtest.New(t)
			if err := forge(newHolder(t, d)); err != nil {
				t.Fatal(err)
			}
			if _, kek, _, err := d.GenerateKey(context.Background(), hsm.ECDSAP256); !errors.Is(err, hsm.ErrUnsupported) {
				t.Errorf("generated under %q: %v", kek, err)
			}
			if _, err := d.SignWrapped(context.Background(), "kek-2999-1", make([]byte, 80), hsm.ECDSAP256, digests(1)); !errors.Is(err, hsm.ErrUnsupported) {
				t.Errorf("unwrapped: %v", err)
			}
		})
	}
}
