package sam

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"pgregory.net/rapid"
)

// device is a software stand-in for the HSM that counts signatures.
type device struct {
	key     []byte
	keys    map[string]*ecdsa.PrivateKey
	asked   string // algorithm of the last signatures
	signed  int
	macs    int
	failMAC bool
}

func newDevice() *device {
	return &device{key: []byte("a seal key of the test, 32 bytes"), keys: map[string]*ecdsa.PrivateKey{}}
}

func (d *device) MAC(_ context.Context, data []byte) ([]byte, error) {
	if d.failMAC {
		return nil, errors.New("device is gone")
	}
	d.macs++
	h := hmac.New(sha256.New, d.key)
	h.Write(data)
	return h.Sum(nil), nil
}

func (d *device) GenerateKey(context.Context, string) ([]byte, string, crypto.PublicKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", nil, err
	}
	w := fmt.Sprintf("wrapped-%d", len(d.keys))
	d.keys[w] = k
	return []byte(w), "kek-1", &k.PublicKey, nil
}

func (d *device) SignWrapped(_ context.Context, _ string, wrapped []byte, algorithm string, digests [][]byte) ([][]byte, error) {
	d.asked = algorithm
	var out [][]byte
	for _, g := range digests {
		d.signed++
		s, err := ecdsa.SignASN1(rand.Reader, d.keys[string(wrapped)], g)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

var testTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

type world struct {
	t       *testing.T
	device  *device
	module  *Module
	now     time.Time
	binding credential.Binding
	op      Operation
	release Release
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, device: newDevice(), now: testTime}
	w.module = w.open("test installation", 1)
	ctx := context.Background()
	wrapped, kek, _, err := w.device.GenerateKey(ctx, "ecdsa-p256")
	must(t, err)
	h := sha256.Sum256(wrapped)
	phone := PhoneCommitment([]byte("salt"), "+380501234567")
	w.binding = credential.Binding{
		ID: "cred-1", Signatory: "s-1", Algorithm: credential.ECDSAP256, SPKI: []byte("spki"), Certificate: []byte("cert"),
		WrappedKey: h[:], KEK: kek, Phone: phone, Factors: []string{credential.FactorSMSCode}, SCAL: credential.SCAL1,
		Status: credential.Active, Version: 3,
	}
	d1, d2 := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))
	w.op = Operation{
		ID: "op-1", Caller: "docs", Credential: "cred-1", BindingVersion: 3, Algorithm: credential.ECDSASHA256,
		Digests: [][]byte{d1[:], d2[:]}, Title: "Договір", CallerName: "Docs Ltd", Language: "uk",
		Documents: [][]byte{d1[:], d2[:]}, Details: []byte("details"), Expires: w.now.Add(10 * time.Minute),
	}
	w.release = Release{WrappedKey: wrapped, Digests: w.op.Digests}
	w.seal(w.binding, w.op, Challenge{}, w.now.Add(2*time.Minute))
	return w
}

func (w *world) open(installation string, epoch uint64) *Module {
	w.t.Helper()
	m, err := Open(context.Background(), w.device, Config{
		Installation: installation, Epoch: epoch, Digits: 6, Now: func() time.Time { return w.now },
	})
	must(w.t, err)
	return m
}

// seal makes a release whose seals are all genuine; a zero field of c is filled in.
func (w *world) seal(b credential.Binding, o Operation, c Challenge, notAfter time.Time) {
	w.t.Helper()
	ctx := context.Background()
	var err error
	w.release.Binding, err = w.module.SealBinding(ctx, b)
	must(w.t, err)
	w.release.Operation, err = w.module.SealOperation(ctx, o)
	must(w.t, err)
	if c.Purpose == "" {
		c = Challenge{ID: "ch-1", Purpose: PurposeSign, Subject: w.release.Operation.Seal, Nonce: []byte("n"), Phone: b.Phone, Expires: w.now.Add(5 * time.Minute)}
	}
	w.release.Challenge, err = w.module.SealChallenge(ctx, c)
	must(w.t, err)
	w.release.Activation, err = w.module.seal(ctx, kindActivation, &Activation{
		Operation: w.release.Operation.Seal, Challenge: w.release.Challenge.Seal, Means: []string{credential.FactorSMSCode}, NotAfter: notAfter,
	})
	must(w.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignReleasesExactlyTheAuthorisedDigests(t *testing.T) {
	w := newWorld(t)
	got, err := w.module.Sign(context.Background(), w.release)
	must(t, err)
	if len(got) != 2 || w.device.signed != 2 {
		t.Fatalf("%d signatures, %d C_Sign calls, want 2 and 2", len(got), w.device.signed)
	}
	for i, s := range got {
		if !ecdsa.VerifyASN1(&w.device.keys["wrapped-0"].PublicKey, w.op.Digests[i], s) {
			t.Errorf("signature %d does not verify", i)
		}
	}
}

// TestTrustDatabaseWriterCannotSign changes what a database writer can reach, one thing at a time. Every row must be
// refused before the key is unwrapped.
func TestTrustDatabaseWriterCannotSign(t *testing.T) {
	other := sha256.Sum256([]byte("another document"))
	for _, tt := range []struct {
		name   string
		attack func(w *world)
		want   error
	}{
		{"digest swapped in the call", func(w *world) { w.release.Digests = [][]byte{w.op.Digests[1], w.op.Digests[0]} }, ErrNotAuthorised},
		{"digest added", func(w *world) { w.release.Digests = append(bytesOf(w.op.Digests), other[:]) }, ErrNotAuthorised},
		{"digest dropped", func(w *world) { w.release.Digests = w.op.Digests[:1] }, ErrNotAuthorised},
		{"digest changed in the record", func(w *world) {
			w.release.Operation.Record = bytes.Replace(w.release.Operation.Record, w.op.Digests[0], other[:], 1)
			w.release.Digests = [][]byte{other[:], w.op.Digests[1]}
		}, ErrSeal},
		{"title changed", func(w *world) {
			w.release.Operation.Record = bytes.Replace(w.release.Operation.Record, []byte("Договір"), []byte("Рахунок"), 1)
		}, ErrSeal},
		{"status set to active", func(w *world) {
			b := w.binding
			b.Status = credential.Revoked
			s, err := w.module.SealBinding(context.Background(), b)
			must(w.t, err)
			s.Record, err = w.binding.MarshalBinary()
			must(w.t, err)
			w.release.Binding = s
		}, ErrSeal},
		{"revoked", func(w *world) {
			b := w.binding
			b.Status = credential.Revoked
			w.seal(b, w.op, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"revoked binding put back", func(w *world) { w.module.Raise("cred-1", 4) }, ErrStale},
		{"wrapped key of another person", func(w *world) { w.release.WrappedKey = []byte("wrapped-9") }, ErrNotAuthorised},
		{"operation of another credential", func(w *world) {
			o := w.op
			o.Credential = "cred-2"
			w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"operation of an older binding", func(w *world) {
			o := w.op
			o.BindingVersion = 2
			w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"challenge of another operation", func(w *world) {
			w.seal(w.binding, w.op, Challenge{ID: "x", Purpose: PurposeSign, Subject: []byte("other"), Phone: w.binding.Phone, Expires: w.now}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"challenge of another purpose", func(w *world) {
			w.seal(w.binding, w.op, Challenge{ID: "x", Purpose: PurposeAgreement, Subject: w.release.Operation.Seal, Phone: w.binding.Phone}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"code sent to another phone", func(w *world) {
			w.seal(w.binding, w.op, Challenge{ID: "x", Purpose: PurposeSign, Subject: w.release.Operation.Seal, Phone: []byte("other")}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"scheme changed in the record", func(w *world) {
			w.chooseRSA(credential.PSSSHA256)
			o := w.op
			o.Algorithm = credential.PKCS1SHA256
			var err error
			w.release.Operation.Record, err = o.MarshalBinary()
			must(w.t, err)
		}, ErrSeal},
		{"operation put in whole, with another scheme", func(w *world) {
			w.chooseRSA(credential.PSSSHA256)
			o := w.op
			o.Algorithm = credential.PKCS1SHA256
			var err error
			w.release.Operation, err = w.module.SealOperation(context.Background(), o)
			must(w.t, err)
		}, ErrNotAuthorised},
		{"scheme of another type of key", func(w *world) {
			o := w.op
			o.Algorithm = credential.PSSSHA256
			w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"scheme swapped for one of another hash, in the record", func(w *world) {
			w.chooseRSA(credential.PSSSHA256)
			o := w.op
			o.Algorithm = credential.PSSSHA512
			var err error
			w.release.Operation.Record, err = o.MarshalBinary()
			must(w.t, err)
		}, ErrSeal},
		{"operation put in whole, with a scheme of another hash and digests to match", func(w *world) {
			w.chooseRSA(credential.PSSSHA256)
			o := w.op
			o.Algorithm, o.Digests = credential.PSSSHA384, digestsOf(48)
			w.release.Digests = o.Digests
			var err error
			w.release.Operation, err = w.module.SealOperation(context.Background(), o)
			must(w.t, err)
		}, ErrNotAuthorised},
		{"scheme of another curve", func(w *world) {
			o := w.op
			o.Algorithm, o.Digests = credential.ECDSASHA384, digestsOf(48)
			w.release.Digests = o.Digests
			w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"key of another curve", func(w *world) {
			w.binding.Algorithm = credential.ECDSAP384
			w.seal(w.binding, w.op, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"a digest of 31 bytes", func(w *world) { w.chooseDigests(credential.ECDSAP256, credential.ECDSASHA256, 31) }, ErrNotAuthorised},
		{"digests of SHA-384 by ECDSA with SHA-256", func(w *world) { w.chooseDigests(credential.ECDSAP256, credential.ECDSASHA256, 48) }, ErrNotAuthorised},
		{"digests of SHA-256 by ECDSA with SHA-384", func(w *world) { w.chooseDigests(credential.ECDSAP384, credential.ECDSASHA384, 32) }, ErrNotAuthorised},
		{"digests of SHA-512 by ECDSA with SHA-384", func(w *world) { w.chooseDigests(credential.ECDSAP384, credential.ECDSASHA384, 64) }, ErrNotAuthorised},
		{"digests of SHA-256 by PSS with SHA-384", func(w *world) { w.chooseDigests(credential.RSA3072, credential.PSSSHA384, 32) }, ErrNotAuthorised},
		{"digests of SHA-384 by PSS with SHA-512", func(w *world) { w.chooseDigests(credential.RSA3072, credential.PSSSHA512, 48) }, ErrNotAuthorised},
		{"digests of SHA-512 by PKCS #1 with SHA-256", func(w *world) { w.chooseDigests(credential.RSA3072, credential.PKCS1SHA256, 64) }, ErrNotAuthorised},
		{"one digest of another length among right ones", func(w *world) {
			w.chooseDigests(credential.RSA3072, credential.PKCS1SHA512, 64)
			w.op.Digests = [][]byte{w.op.Digests[0], digestsOf(48)[0]}
			w.release.Digests = w.op.Digests
			w.seal(w.binding, w.op, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"an empty digest and no scheme", func(w *world) { w.chooseDigests(credential.RSA3072, "", 0) }, ErrNotAuthorised},
		{"no scheme", func(w *world) {
			o := w.op
			o.Algorithm = ""
			w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		}, ErrNotAuthorised},
		{"name of a type of key as scheme", func(w *world) { w.chooseRSA(credential.Scheme(credential.RSA3072)) }, ErrNotAuthorised},
		{"activation made up", func(w *world) { w.release.Activation.Seal = make([]byte, 32) }, ErrSeal},
		{"activation absent", func(w *world) { w.release.Activation = credential.Sealed{} }, ErrSeal},
		{"activation prolonged", func(w *world) { w.now = w.now.Add(3 * time.Minute) }, ErrExpired},
		{"operation seal used as activation", func(w *world) { w.release.Activation = w.release.Operation }, ErrSeal},
		{"sealed by another installation", func(w *world) { w.module = w.open("other installation", 1) }, ErrSeal},
		{"sealed in an earlier epoch", func(w *world) { w.module = w.open("test installation", 2) }, ErrSeal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.attack(w)
			_, err := w.module.Sign(context.Background(), w.release)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if w.device.signed != 0 {
				t.Error("the key was used")
			}
		})
	}
}

func bytesOf(b [][]byte) [][]byte { return append([][]byte(nil), b...) }

// TestEverySealedByteCounts flips each byte of each record and seal.
func TestEverySealedByteCounts(t *testing.T) {
	w := newWorld(t)
	for name, s := range map[string]*credential.Sealed{
		"binding": &w.release.Binding, "operation": &w.release.Operation, "challenge": &w.release.Challenge, "activation": &w.release.Activation,
	} {
		for _, part := range []*[]byte{&s.Record, &s.Seal} {
			whole := *part
			for i := range whole {
				*part = bytes.Clone(whole)
				(*part)[i] ^= 1
				if _, err := w.module.Sign(context.Background(), w.release); !errors.Is(err, ErrSeal) {
					t.Fatalf("%s: byte %d changed: error %v, want %v", name, i, err, ErrSeal)
				}
			}
			*part = whole
		}
	}
	if _, err := w.module.Sign(context.Background(), w.release); err != nil {
		t.Fatalf("restored records are refused: %v", err)
	}
}

func TestCodeBelongsToOneChallenge(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	code, err := w.module.Code(ctx, w.release.Challenge)
	must(t, err)
	if len(code) != 6 {
		t.Errorf("code of %d digits, want 6", len(code))
	}
	again, err := w.module.Code(ctx, w.release.Challenge)
	must(t, err)
	if again != code {
		t.Error("the same challenge has two codes")
	}
	ok, err := w.module.Match(ctx, w.release.Challenge, code)
	must(t, err)
	if !ok {
		t.Error("the right code does not match")
	}
	same := 0
	for i := range 200 {
		s, err := w.module.SealChallenge(ctx, Challenge{ID: fmt.Sprint(i), Purpose: PurposeSign, Subject: []byte("s"), Nonce: []byte{byte(i)}, Expires: w.now})
		must(t, err)
		if ok, _ := w.module.Match(ctx, s, code); ok {
			same++
		}
	}
	if same > 2 {
		t.Errorf("the code answers %d of 200 foreign challenges", same)
	}
	broken := w.release.Challenge
	broken.Seal = make([]byte, 32)
	if _, err := w.module.Code(ctx, broken); !errors.Is(err, ErrSeal) {
		t.Errorf("code for a broken seal: %v", err)
	}
}

func TestActivateRefusesForeignChallenge(t *testing.T) {
	w := newWorld(t)
	o := w.op
	o.ID = "op-2"
	other, err := w.module.SealOperation(context.Background(), o)
	must(t, err)
	if _, err := w.module.Activate(context.Background(), other, w.release.Challenge, nil, w.now); !errors.Is(err, ErrNotAuthorised) {
		t.Errorf("error %v, want %v", err, ErrNotAuthorised)
	}
}

func issuing() Enrolment {
	p := Person{GivenName: "Taras", Surname: "Shevchenko", Country: "UA", IdentifierType: "TIN", Identifier: "2935412318"}
	return Enrolment{
		ID: "enr-1", Version: 7, State: StateIssuing, Algorithm: credential.ECDSAP256, Person: p, Phone: []byte("phone"), Confirmed: "ch-1",
		Identity:  Identity{Outcome: Positive, Person: p, Phone: []byte("phone"), At: testTime},
		Agreement: make([]byte, 32), AcceptedBy: "ch-2", AcceptedAt: testTime, Credential: "cred-1", At: testTime,
	}
}

func TestTrustNoKeyWithoutProofAndAgreement(t *testing.T) {
	for name, attack := range map[string]func(e *Enrolment){
		"not issuing":         func(e *Enrolment) { e.State = StateProven },
		"identity negative":   func(e *Enrolment) { e.Identity.Outcome = Negative },
		"identity missing":    func(e *Enrolment) { e.Identity = Identity{} },
		"phone unconfirmed":   func(e *Enrolment) { e.Confirmed = "" },
		"phone not proven":    func(e *Enrolment) { e.Identity.Phone = []byte("other") },
		"other person proven": func(e *Enrolment) { e.Identity.Person.Surname = "Franko" },
		"not accepted":        func(e *Enrolment) { e.AcceptedBy = "" },
		"no agreement":        func(e *Enrolment) { e.Agreement = nil },
		"no credential":       func(e *Enrolment) { e.Credential = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := issuing()
			attack(&e)
			s, err := w.module.SealEnrolment(context.Background(), e)
			must(t, err)
			n := len(w.device.keys)
			if _, err := w.module.Generate(context.Background(), s); !errors.Is(err, ErrNotAuthorised) || len(w.device.keys) != n {
				t.Errorf("error %v, %d keys made", err, len(w.device.keys)-n)
			}
		})
	}
	w := newWorld(t)
	s, err := w.module.SealEnrolment(context.Background(), issuing())
	must(t, err)
	if _, err := w.module.Generate(context.Background(), s); err != nil {
		t.Errorf("a complete enrolment is refused: %v", err)
	}
	s.Record = bytes.Replace(s.Record, []byte("2935412318"), []byte("3184710691"), 2)
	if _, err := w.module.Generate(context.Background(), s); !errors.Is(err, ErrSeal) {
		t.Errorf("a changed enrolment: %v, want %v", err, ErrSeal)
	}
}

// renewal returns an accepted and signed renewal of the world's credential, the enrolment that led to that, and its binding.
func renewal(w *world) (e, original Enrolment, b credential.Binding) {
	original = issuing()
	original.State, original.Signatory, original.Caller = StateIssued, w.binding.Signatory, "portal"
	b = w.binding
	b.ID, b.Phone = original.Credential, original.Phone
	e = original
	e.State, e.ID, e.Credential, e.Renews = StateIssuing, "enr-2", "cred-2", b.ID
	e.ProofEnds, e.Signed, e.SignedAs = e.AcceptedAt.Add(time.Hour), make([]byte, 32), "op-1"
	return e, original, b
}

func TestTrustNoRenewalOutOfNothing(t *testing.T) {
	for name, attack := range map[string]func(e, original *Enrolment, b *credential.Binding){
		"agreement not signed":        func(e, _ *Enrolment, _ *credential.Binding) { e.Signed = nil },
		"signed by no operation":      func(e, _ *Enrolment, _ *credential.Binding) { e.SignedAs = "" },
		"agreement not accepted":      func(e, _ *Enrolment, _ *credential.Binding) { e.AcceptedBy = "" },
		"proof too old":               func(e, _ *Enrolment, _ *credential.Binding) { e.ProofEnds = e.AcceptedAt.Add(-time.Second) },
		"renews another credential":   func(e, _ *Enrolment, _ *credential.Binding) { e.Renews = "cred-9" },
		"credential revoked":          func(_, _ *Enrolment, b *credential.Binding) { b.Status = credential.Revoked },
		"credential suspended":        func(_, _ *Enrolment, b *credential.Binding) { b.Status = credential.Suspended },
		"credential of somebody else": func(_, _ *Enrolment, b *credential.Binding) { b.Signatory = "s-9" },
		"another phone":               func(_, _ *Enrolment, b *credential.Binding) { b.Phone = []byte("other") },
		"original of somebody else":   func(_, o *Enrolment, _ *credential.Binding) { o.Credential = "cred-9" },
		"original not issued":         func(_, o *Enrolment, _ *credential.Binding) { o.State = StateCancelled },
		"original is a renewal":       func(_, o *Enrolment, _ *credential.Binding) { o.Renews = "cred-0" },
		"original not proven":         func(_, o *Enrolment, _ *credential.Binding) { o.Identity.Outcome = Negative },
		"other evidence":              func(e, _ *Enrolment, _ *credential.Binding) { e.Identity.Evidence = []byte("other") },
		"later proof":                 func(e, _ *Enrolment, _ *credential.Binding) { e.Identity.At = e.Identity.At.Add(time.Hour) },
		"other person": func(e, _ *Enrolment, _ *credential.Binding) {
			e.Person.Surname, e.Identity.Person.Surname = "Franko", "Franko"
		},
		"other portal":                  func(e, _ *Enrolment, _ *credential.Binding) { e.Caller = "portal-2" },
		"organisation that nobody knew": func(e, _ *Enrolment, _ *credential.Binding) { e.ForOrg = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e, original, b := renewal(w)
			attack(&e, &original, &b)
			if keys, err := w.renew(e, original, b); !errors.Is(err, ErrNotAuthorised) || keys != 0 {
				t.Errorf("error %v, %d keys made", err, keys)
			}
		})
	}
	w := newWorld(t)
	e, original, b := renewal(w)
	if keys, err := w.renew(e, original, b); err != nil || keys != 1 {
		t.Errorf("a complete renewal is refused: %v", err)
	}
	s, err := w.module.SealEnrolment(context.Background(), e)
	must(t, err)
	if _, err := w.module.Generate(context.Background(), s); !errors.Is(err, ErrNotAuthorised) {
		t.Errorf("a renewal without the renewed credential: %v", err)
	}
	w.module.Raise(b.ID, b.Version+1)
	if _, err := w.renew(e, original, b); !errors.Is(err, ErrStale) {
		t.Errorf("with a binding that was replaced: %v", err)
	}
}

// renew seals the records of a renewal and has its key made.
func (w *world) renew(e, original Enrolment, b credential.Binding) (keys int, err error) {
	w.t.Helper()
	ctx := context.Background()
	var r Renewing
	r.Enrolment, err = w.module.SealEnrolment(ctx, e)
	must(w.t, err)
	r.Original, err = w.module.SealEnrolment(ctx, original)
	must(w.t, err)
	r.Binding, err = w.module.SealBinding(ctx, b)
	must(w.t, err)
	before := len(w.device.keys)
	_, err = w.module.GenerateRenewal(ctx, r)
	return len(w.device.keys) - before, err
}

func TestLostDeviceRefuses(t *testing.T) {
	w := newWorld(t)
	w.module = w.open("test installation", 1) // remembers nothing
	w.device.failMAC = true
	if _, err := w.module.Sign(context.Background(), w.release); err == nil || errors.Is(err, ErrSeal) {
		t.Errorf("error %v, want the device's", err)
	}
	if _, err := Open(context.Background(), w.device, Config{Installation: "i", Digits: 6, Now: time.Now}); err == nil {
		t.Error("opened without subkeys")
	}
}

// The device is asked once for each record, however often its seal is checked; a wrong seal is wrong each time, and what
// the device did not answer is asked again.
func TestDeviceIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.module = w.open("test installation", 1)
	forged := w.release.Binding
	forged.Seal = make([]byte, len(forged.Seal))
	w.device.failMAC = true
	if _, err := w.module.OpenBinding(ctx, w.release.Binding); err == nil || errors.Is(err, ErrSeal) {
		t.Errorf("without the device: %v", err)
	}
	w.device.failMAC, w.device.macs = false, 0
	for range 3 {
		if _, err := w.module.OpenBinding(ctx, w.release.Binding); err != nil {
			t.Error(err)
		}
		if _, err := w.module.OpenBinding(ctx, forged); !errors.Is(err, ErrSeal) {
			t.Errorf("forged: %v", err)
		}
	}
	if w.device.macs != 1 {
		t.Errorf("the device was asked %d times", w.device.macs)
	}
	for n := range maxMACs + 10 {
		if _, err := w.module.deviceMAC(ctx, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.module.macs); n > maxMACs {
		t.Errorf("%d answers are remembered", n)
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.String()
		raw := rapid.Custom(func(t *rapid.T) []byte {
			if b := rapid.SliceOf(rapid.Byte()).Draw(t, "b"); len(b) > 0 {
				return b
			}
			return nil
		})
		o := Operation{
			ID: str.Draw(t, "id"), Caller: str.Draw(t, "caller"), Title: str.Draw(t, "title"), BindingVersion: rapid.Uint64().Draw(t, "v"),
			Digests: rapid.SliceOf(raw).Draw(t, "digests"), Details: raw.Draw(t, "details"), Expires: time.UnixMicro(rapid.Int64().Draw(t, "t")).UTC(),
		}
		data, err := o.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back Operation
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if again, _ := back.MarshalBinary(); !bytes.Equal(again, data) {
			t.Fatal("not the same after a round trip")
		}
	})
}

func FuzzRecords(f *testing.F) {
	e := issuing()
	f.Add(e.encode(enrolmentV1))
	e.Renews, e.ProofEnds = "cred-1", testTime
	f.Add(e.encode(renewalV2))
	e.Renews = ""
	o := Operation{ID: "o", Digests: [][]byte{{1}}}
	f.Add(o.encode(operationV1))
	f.Add((&Challenge{ID: "c"}).encode(challengeV1))
	for _, r := range []interface{ MarshalBinary() ([]byte, error) }{&e, &o, &Challenge{ID: "c"}, &Activation{Means: []string{"m"}}} {
		b, err := r.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range []interface {
			MarshalBinary() ([]byte, error)
			UnmarshalBinary([]byte) error
		}{&Enrolment{}, &Operation{}, &Challenge{}, &Activation{}, &credential.Binding{}} {
			if r.UnmarshalBinary(data) != nil {
				continue
			}
			again, err := r.MarshalBinary()
			if first := data[:min(len(data), 32)]; bytes.Contains(first, []byte(" v1")) {
				switch r := r.(type) {
				case *Enrolment:
					again = r.encode(enrolmentV1)
				case *Operation:
					again = r.encode(operationV1)
				case *Challenge:
					again = r.encode(challengeV1)
				}
			}
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%T accepts two encodings of one record", r)
			}
		}
	})
}

// TestFirstOperationsAreRead: what was open before records had digits can be finished. The digests are of bytes that the
// program made which knew only the first formats.
func TestFirstOperationsAreRead(t *testing.T) {
	o := Operation{
		ID: "op-1", Caller: "docs", Credential: "cred-1", BindingVersion: 3, Algorithm: "ecdsa-p256", Digests: [][]byte{{1}}, Title: "t",
		CallerName: "n", Language: "uk", Documents: [][]byte{{2}}, Details: []byte{3}, Expires: time.Unix(1, 0).UTC(),
	}
	c := Challenge{ID: "ch-1", Purpose: PurposeSign, Subject: []byte{1}, Nonce: []byte{2}, Phone: []byte{3}, Expires: time.Unix(1, 0).UTC()}
	for _, r := range []struct {
		first, made string
		second      interface{ UnmarshalBinary([]byte) error }
		want        any
	}{
		{string(o.encode(operationV1)), "bc6f87ae0effb83f4492c278d6fa21de7800b060b08738f8a7de84de760fe914", &Operation{}, &o},
		{string(c.encode(challengeV1)), "da6f86d68a191e69a535bc89b71bee3a5f36ff3212745d96875e84ddc21f8ab5", &Challenge{}, &c},
	} {
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(r.first))); got != r.made {
			t.Errorf("the first format changed: %s", got)
		}
		must(t, r.second.UnmarshalBinary([]byte(r.first)))
		if !reflect.DeepEqual(r.second, r.want) {
			t.Errorf("read as %+v, want %+v", r.second, r.want)
		}
		if err := r.second.UnmarshalBinary([]byte(strings.Replace(r.first, " v1", " v2", 1))); !errors.Is(err, ErrEncoding) {
			t.Errorf("a record of the first format under the name of the second: %v", err)
		}
	}
}

// TestDigitsAreSealed: a code is as long as its challenge says, and one that is shorter than its operation asks for
// releases nothing, whatever the installation is configured to.
func TestDigitsAreSealed(t *testing.T) {
	w := newWorld(t)
	for digits, want := range map[uint8]int{0: 6, 6: 6, 8: 8, 9: 9} {
		s, err := w.module.SealChallenge(context.Background(), Challenge{ID: "c", Purpose: PurposeSign, Subject: []byte("s"), Digits: digits})
		must(t, err)
		if code, err := w.module.Code(context.Background(), s); err != nil || len(code) != want {
			t.Errorf("%d digits: %q, %v", digits, code, err)
		}
	}
	o := w.op
	o.Digits = 8
	for digits, want := range map[uint8]error{0: ErrNotAuthorised, 7: ErrNotAuthorised, 8: nil} {
		w.seal(w.binding, o, Challenge{}, w.now.Add(time.Minute))
		c := Challenge{ID: "c", Purpose: PurposeSign, Subject: w.release.Operation.Seal, Phone: w.binding.Phone, Digits: digits}
		w.seal(w.binding, o, c, w.now.Add(time.Minute))
		if _, err := w.module.Sign(context.Background(), w.release); !errors.Is(err, want) {
			t.Errorf("a code of %d digits for an operation that asks for 8: %v", digits, err)
		}
	}
}

// A number has one pseudonym a day, which says nothing to who lacks the key.
func TestRecipient(t *testing.T) {
	w := newWorld(t)
	day := time.Date(2026, 11, 25, 23, 59, 59, 0, time.UTC)
	name := w.module.Recipient("+380501234567", day)
	if again := w.open("test installation", 2).Recipient("+380501234567", day.Add(-23*time.Hour)); again != name || len(name) != 32 {
		t.Errorf("%s, and after a restart in another epoch %s", name, again)
	}
	for what, other := range map[string]string{
		"another day":          w.module.Recipient("+380501234567", day.Add(time.Second)),
		"another number":       w.module.Recipient("+380501234568", day),
		"another installation": w.open("other", 1).Recipient("+380501234567", day),
	} {
		if other == name {
			t.Errorf("%s has the same pseudonym", what)
		}
	}
}

// TestFirstFormatIsRead: enrolments that began before the second format can be finished.
func TestFirstFormatIsRead(t *testing.T) {
	e := issuing()
	first := e.encode(enrolmentV1)
	const made = "aa44e3393ae86143d019372fe02064b85a4b53bc014dee18b0d41a73f3a8b7af" // by the program that knew only the first
	if got := fmt.Sprintf("%x", sha256.Sum256(first)); got != made {
		t.Fatalf("the first format changed: %s", got)
	}
	var read Enrolment
	must(t, read.UnmarshalBinary(first))
	again, err := read.MarshalBinary()
	must(t, err)
	want, err := e.MarshalBinary()
	must(t, err)
	if !bytes.Equal(again, want) || bytes.Equal(again, first) {
		t.Error("a record of the first format does not become the same record of the second")
	}
	mixed := bytes.Replace(bytes.Clone(first), []byte(enrolmentV1), []byte(enrolmentV2), 1)
	if err := read.UnmarshalBinary(mixed); !errors.Is(err, ErrEncoding) {
		t.Errorf("a record of the first format under the name of the second: %v", err)
	}
}

// TestTrustSignedOnce puts an operation back to before its signatures were recorded: the authorised digests are not
// signed a second time. Another operation is not concerned.
func TestTrustSignedOnce(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.module.Finish("op-2", w.now.Add(2*time.Minute))
	if _, err := w.module.Sign(ctx, w.release); err != nil {
		t.Fatal(err)
	}
	w.module.Finish("op-1", w.now.Add(2*time.Minute))
	if _, err := w.module.Sign(ctx, w.release); !errors.Is(err, ErrStale) {
		t.Errorf("signed again: %v", err)
	}
	for n := range 1000 { // what ended long ago is forgotten, what may still be resumed is not
		w.now = w.now.Add(time.Millisecond)
		w.module.Finish(fmt.Sprint("former-", n), w.now.Add(-time.Hour))
	}
	if n := len(w.module.finished); n > 258 {
		t.Errorf("%d operations are remembered", n)
	}
	if _, err := w.module.Sign(ctx, w.release); !errors.Is(err, ErrStale) {
		t.Errorf("signed again: %v", err)
	}
}

// A destroyed key signs nothing, however genuine everything else is that was put back.
func TestTrustDestroyedKey(t *testing.T) {
	w := newWorld(t)
	other := sha256.Sum256([]byte("another key"))
	w.module.Bury(other[:])
	if _, err := w.module.Sign(context.Background(), w.release); err != nil {
		t.Fatal(err)
	}
	signed := w.device.signed
	w.module.Bury(w.binding.WrappedKey)
	if _, err := w.module.Sign(context.Background(), w.release); !errors.Is(err, ErrStale) || w.device.signed != signed {
		t.Errorf("%v, %d signatures", err, w.device.signed-signed)
	}
	if !w.module.Buried(w.binding.WrappedKey) || w.module.Buried(nil) {
		t.Error("it is not known which keys were destroyed")
	}
}
