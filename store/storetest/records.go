package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
	"github.com/google/go-cmp/cmp"
)

func name(prefix string, n int) string { return prefix + "-" + strconv.Itoa(n) }

func digest(n int) []byte {
	d := sha256.Sum256([]byte(strconv.Itoa(n)))
	return d[:]
}

// fill sets every field to something that no other field has, so that two columns cannot be mistaken for one another.
func fill[T any](t testing.TB, seed int) T {
	t.Helper()
	var v T
	n := seed * 1000
	fillValue(t, reflect.ValueOf(&v).Elem(), &n)
	return v
}

func fillValue(t testing.TB, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if _, ok := v.Interface().(time.Time); ok {
		v.Set(reflect.ValueOf(time.Unix(1_800_000_000+int64(*n), 0).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("ї" + strconv.Itoa(*n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n) % 251)
	case reflect.Slice:
		length := 3
		if v.Type().Elem().Kind() == reflect.Uint8 {
			length = 5
		}
		v.Set(reflect.MakeSlice(v.Type(), length, length))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fillValue(t, v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a record has a field of kind %s; teach fill how to set it", v.Kind())
	}
}

// roundTrip puts records and reads them back in another transaction and in a view.
func roundTrip[T any](t *testing.T, s Store, put func(enrol.Tx, signer.Tx, T) error, get func(enrol.Tx, signer.Tx, T) (T, error), records ...T) {
	t.Helper()
	for _, want := range records {
		var back error
		if err := both(t, s, func(e enrol.Tx, o signer.Tx) error {
			if err := put(e, o, want); err != nil {
				return err
			}
			_, back = get(e, o, want)
			return back
		}); err != nil {
			t.Fatalf("putting %T: %v", want, err)
		}
		check := func(got T, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("reading %T: %v", want, err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%T changed in the store (-put +read):\n%s", want, d)
			}
		}
		if err := both(t, s, func(e enrol.Tx, o signer.Tx) error {
			check(get(e, o, want))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Enrol().View(context.Background(), func(e enrol.Tx) error {
			o, ok := e.(signer.Tx)
			if !ok {
				t.Fatal("one transaction must serve all use cases")
			}
			check(get(e, o, want))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// both runs f with the unit of work of enrolment and that of signing, which are one.
func both(t *testing.T, s Store, f func(enrol.Tx, signer.Tx) error) error {
	t.Helper()
	_, err := s.Enrol().Update(context.Background(), func(e enrol.Tx) error {
		o, ok := e.(signer.Tx)
		if !ok {
			t.Fatal("one transaction must serve all use cases")
		}
		return f(e, o)
	})
	return err
}

// living is a unit of work as the use case of a credential's life sees it.
func living(t testing.TB, e enrol.Tx) tenure.Tx {
	t.Helper()
	tx, ok := e.(tenure.Tx)
	if !ok {
		t.Fatal("one transaction must serve all use cases")
	}
	return tx
}

func testRecords(t *testing.T, _ *World, s Store) {
	challenge := fill[otp.Challenge](t, 1)
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, c otp.Challenge) error { return e.PutChallenge(c) },
		func(e enrol.Tx, _ signer.Tx, c otp.Challenge) (otp.Challenge, error) { return e.Challenge(c.ID) },
		challenge, otp.Challenge{ID: challenge.ID}, otp.Challenge{ID: "bare"})
	lock := fill[otp.Lock](t, 2)
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, l otp.Lock) error { return e.PutLock(l) },
		func(e enrol.Tx, _ signer.Tx, l otp.Lock) (otp.Lock, error) { return e.Lock(l.Account, l.Caller) },
		lock, otp.Lock{Account: lock.Account, Caller: lock.Caller}, otp.Lock{Account: lock.Account, Failures: 1})
	voucher := fill[enrol.Voucher](t, 3)
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, v enrol.Voucher) error { return e.PutVoucher(v) },
		func(e enrol.Tx, _ signer.Tx, v enrol.Voucher) (enrol.Voucher, error) { return e.Voucher(v.Hash) },
		voucher, enrol.Voucher{Hash: voucher.Hash}, enrol.Voucher{Hash: []byte{0}})
	dossier := fill[enrol.Dossier](t, 9)
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, d enrol.Dossier) error { return e.PutDossier(d) },
		func(e enrol.Tx, _ signer.Tx, d enrol.Dossier) (enrol.Dossier, error) { return e.Dossier(d.Enrolment) },
		dossier, enrol.Dossier{Enrolment: dossier.Enrolment, Document: []byte{0}}, enrol.Dossier{Enrolment: "bare", Document: []byte{1}})
	document := fill[signer.Document](t, 4)
	roundTrip(t, s,
		func(_ enrol.Tx, o signer.Tx, d signer.Document) error { return o.PutDocument(d) },
		func(_ enrol.Tx, o signer.Tx, d signer.Document) (signer.Document, error) { return o.Document(d.ID) },
		document, signer.Document{ID: document.ID})
	enrolment := fill[enrol.Enrolment](t, 5)
	enrolment.Version = 1
	second := fill[enrol.Enrolment](t, 6)
	second.ID, second.Version = enrolment.ID, 2
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, r enrol.Enrolment) error { return e.PutEnrolment(r) },
		func(e enrol.Tx, _ signer.Tx, r enrol.Enrolment) (enrol.Enrolment, error) { return e.Enrolment(r.ID) },
		enrolment, second, enrol.Enrolment{ID: enrolment.ID, Version: 3}, enrol.Enrolment{ID: "bare", Version: 1})
	record := fill[credential.Record](t, 7)
	record.Version = 1
	newer := fill[credential.Record](t, 8)
	newer.ID, newer.Version = record.ID, 2
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, r credential.Record) error { return e.PutCredential(r) },
		func(e enrol.Tx, _ signer.Tx, r credential.Record) (credential.Record, error) {
			return e.Credential(r.ID)
		},
		record, newer, credential.Record{ID: record.ID, Version: 3}, credential.Record{ID: "bare", Version: 1})
	grant := fill[credential.Grant](t, 9)
	grant.Credential = record.ID
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, g credential.Grant) error { return living(t, e).PutGrant(g) },
		func(e enrol.Tx, _ signer.Tx, g credential.Grant) (credential.Grant, error) {
			return living(t, e).Grant(g.Credential, g.Client)
		},
		grant, credential.Grant{Credential: record.ID, Client: grant.Client})
	type code struct {
		Credential credential.ID
		Challenge  otp.ID
	}
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, c code) error {
			return living(t, e).PutRevocationCode(c.Credential, c.Challenge)
		},
		func(e enrol.Tx, _ signer.Tx, c code) (code, error) {
			challenge, err := living(t, e).RevocationCode(c.Credential)
			return code{c.Credential, challenge}, err
		},
		code{record.ID, "chl-1"}, code{record.ID, "chl-2"}, code{record.ID, ""})
	renewal := fill[enrol.Renewal](t, 14)
	renewal.Enrolment = enrolment.ID
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, r enrol.Renewal) error { return e.PutRenewal(r) },
		func(e enrol.Tx, _ signer.Tx, r enrol.Renewal) (enrol.Renewal, error) { return e.Renewal(r.Enrolment) },
		renewal, enrol.Renewal{Enrolment: renewal.Enrolment}, enrol.Renewal{Enrolment: "bare"})
	testCertificateRecords(t, s)
	testOperationRecords(t, s)
	testRequestRecords(t, s)
}

func testCertificateRecords(t *testing.T, s Store) {
	certificate := fill[ca.Certificate](t, 10)
	issued := certificate
	issued.State, issued.DER, issued.RevokedAt = ca.Issued, nil, time.Time{}
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, c ca.Certificate) error { return e.PutCertificate(c) },
		func(e enrol.Tx, _ signer.Tx, c ca.Certificate) (ca.Certificate, error) {
			return e.Certificate(c.Serial)
		},
		certificate, issued)
	roundTrip(t, s,
		func(e enrol.Tx, _ signer.Tx, c ca.Certificate) error { return e.PutCertificate(c) },
		func(e enrol.Tx, _ signer.Tx, c ca.Certificate) (ca.Certificate, error) {
			return e.CertificateByRequest(c.RequestID)
		},
		certificate)
}

func testOperationRecords(t *testing.T, s Store) {
	// PutOperation raises the version of what it stores.
	first := fill[signer.Operation](t, 11)
	first.Version = 1
	second := fill[signer.Operation](t, 12)
	second.ID, second.Version = first.ID, 2
	put := func(_ enrol.Tx, o signer.Tx, r signer.Operation) error {
		r.Version--
		return o.PutOperation(r)
	}
	roundTrip(t, s, put,
		func(_ enrol.Tx, o signer.Tx, r signer.Operation) (signer.Operation, error) { return o.Operation(r.ID) },
		first, second, signer.Operation{ID: first.ID, Version: 3}, signer.Operation{ID: "bare", Version: 1},
		signer.Operation{ID: "empties", Version: 1, Items: []byte{}, Signatures: [][]byte{{1}, nil, {2}}})
}

func testRequestRecords(t *testing.T, s Store) {
	type request struct {
		Caller, ID  string
		Fingerprint []byte
		Result      string
	}
	full := fill[request](t, 13)
	roundTrip(t, s,
		func(_ enrol.Tx, o signer.Tx, r request) error {
			return o.PutRequest(r.Caller, r.ID, r.Fingerprint, r.Result)
		},
		func(e enrol.Tx, _ signer.Tx, r request) (request, error) {
			fingerprint, result, err := e.Request(r.Caller, r.ID)
			return request{r.Caller, r.ID, fingerprint, result}, err
		},
		full, request{Caller: full.Caller, ID: "another", Fingerprint: []byte{1}})
}

func testAbsent(t *testing.T, _ *World, s Store) {
	reads := func(e enrol.Tx, o signer.Tx) map[string]error {
		found := map[string]error{}
		note := func(what string, err error) { found[what] = err }
		_, err := e.Challenge("x")
		note("challenge", err)
		_, err = e.Voucher([]byte("x"))
		note("voucher", err)
		_, err = e.Dossier("x")
		note("dossier", err)
		_, err = e.Enrolment("x")
		note("enrolment", err)
		_, err = e.Credential("x")
		note("credential", err)
		_, err = e.Renewal("x")
		note("renewal", err)
		_, err = living(t, e).Grant("x", "y")
		note("grant", err)
		_, err = e.Certificate("x")
		note("certificate", err)
		_, err = e.CertificateByRequest("x")
		note("certificate by request", err)
		_, err = o.Operation("x")
		note("operation", err)
		_, err = o.Document("x")
		note("document", err)
		return found
	}
	if err := both(t, s, func(e enrol.Tx, o signer.Tx) error {
		for what, err := range reads(e, o) {
			for _, want := range []error{signer.ErrNotFound, enrol.ErrNotFound, otp.ErrNotFound, ca.ErrNotFound} {
				if !errors.Is(err, want) {
					t.Errorf("absent %s: got %v, which is not %v", what, err, want)
				}
			}
		}
		if l, err := o.Lock("a", "b"); err != nil || l != (otp.Lock{Account: "a", Caller: "b"}) {
			t.Errorf("absent lock: got %+v, %v; want an open one", l, err)
		}
		if fingerprint, result, err := o.Request("a", "b"); err != nil || fingerprint != nil || result != "" {
			t.Errorf("absent request: got %x, %q, %v; want nothing", fingerprint, result, err)
		}
		if err := living(t, e).DeleteGrant("a", "b"); err != nil {
			t.Errorf("withdrawing an absent grant: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	err := both(t, s, func(e enrol.Tx, _ signer.Tx) error {
		return living(t, e).PutGrant(credential.Grant{Credential: "x", Client: "y"})
	})
	if !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("grant on an absent credential: got %v, want ErrNotFound", err)
	}
	if _, err := s.Receipt(context.Background(), 0); err == nil {
		t.Error("a receipt of an entry that does not exist")
	}
	if err := s.Outbox().Done(context.Background(), "x"); err != nil {
		t.Errorf("an absent message cannot be done: %v", err)
	}
	if err := s.Outbox().Defer(context.Background(), sms.Message{ID: "x"}); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("deferring an absent message: got %v, want ErrNotFound", err)
	}
}

func testVersions(t *testing.T, _ *World, s Store) {
	try := func(what string, want error, f func(enrol.Tx, signer.Tx) error) {
		t.Helper()
		if err := both(t, s, f); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	for _, c := range []struct {
		version uint64
		want    error
	}{{2, enrol.ErrConflict}, {1, nil}, {1, enrol.ErrConflict}, {3, enrol.ErrConflict}, {2, nil}, {2, enrol.ErrConflict}, {0, enrol.ErrConflict}} {
		try(name("enrolment", int(c.version)), c.want, func(e enrol.Tx, _ signer.Tx) error {
			return e.PutEnrolment(enrol.Enrolment{ID: "a", Version: c.version})
		})
		try(name("credential", int(c.version)), c.want, func(e enrol.Tx, _ signer.Tx) error {
			return e.PutCredential(credential.Record{ID: "a", Version: c.version})
		})
		if c.version > 0 {
			want := c.want
			if want != nil {
				want = signer.ErrConflict
			}
			try(name("operation", int(c.version)), want, func(_ enrol.Tx, o signer.Tx) error {
				return o.PutOperation(signer.Operation{ID: "a", Version: c.version - 1})
			})
		}
	}
	try("touching an older version", enrol.ErrConflict, func(e enrol.Tx, _ signer.Tx) error {
		return e.TouchEnrolment(enrol.Enrolment{ID: "a", Version: 1})
	})
	try("touching what is absent", enrol.ErrConflict, func(e enrol.Tx, _ signer.Tx) error {
		return e.TouchEnrolment(enrol.Enrolment{ID: "b", Version: 1})
	})
	want := fill[enrol.Enrolment](t, 1)
	want.Version = 1
	try("touching", nil, func(e enrol.Tx, _ signer.Tx) error {
		if err := e.PutEnrolment(want); err != nil {
			return err
		}
		touched := fill[enrol.Enrolment](t, 2)
		touched.ID, touched.Version = want.ID, 1
		if err := e.TouchEnrolment(touched); err != nil {
			return err
		}
		got, err := e.Enrolment(want.ID)
		touched.Sealed, touched.State, touched.Caller, touched.Created = want.Sealed, want.State, want.Caller, want.Created
		touched.Proofing = want.Proofing
		if d := cmp.Diff(touched, got); d != "" {
			t.Errorf("touching changed what is sealed, or not the rest (-want +got):\n%s", d)
		}
		return err
	})
}

func testUnique(t *testing.T, _ *World, s Store) {
	base := ca.Certificate{Serial: "01", Issuer: []byte("i"), Subject: []byte("s"), RequestID: "r1", Person: "p1", SPKI: [32]byte{1}}
	for _, c := range []struct {
		what string
		with func(*ca.Certificate)
		want error
	}{
		{"the first", func(*ca.Certificate) {}, nil},
		{"the same again", func(*ca.Certificate) {}, nil},
		{"another person's subject", func(c *ca.Certificate) { c.Serial, c.RequestID, c.Person, c.SPKI = "02", "r2", "p2", [32]byte{2} }, ca.ErrSubjectTaken},
		{"the subject under another issuer", func(c *ca.Certificate) {
			c.Serial, c.RequestID, c.Person, c.SPKI, c.Issuer = "03", "r3", "p2", [32]byte{2}, []byte("j")
		}, nil},
		{"another person's key", func(c *ca.Certificate) { c.Serial, c.RequestID, c.Person, c.Subject = "04", "r4", "p3", []byte("t") }, ca.ErrKeyTaken},
		{"the request of another serial number", func(c *ca.Certificate) { c.Serial = "05" }, ca.ErrRequestTaken},
		{"the person's next certificate", func(c *ca.Certificate) { c.Serial, c.RequestID = "06", "r6" }, nil},
	} {
		certificate := base
		c.with(&certificate)
		if err := both(t, s, func(e enrol.Tx, _ signer.Tx) error { return e.PutCertificate(certificate) }); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
	for i, want := range []error{nil, signer.ErrConflict} {
		if err := both(t, s, func(_ enrol.Tx, o signer.Tx) error { return o.PutRequest("c", "r", digest(i), "x") }); !errors.Is(err, want) {
			t.Errorf("request id, time %d: got %v, want %v", i, err, want)
		}
		if err := both(t, s, func(_ enrol.Tx, o signer.Tx) error { return o.Enqueue(sms.Message{ID: "m"}) }); !errors.Is(err, want) {
			t.Errorf("message id, time %d: got %v, want %v", i, err, want)
		}
	}
	if err := both(t, s, func(_ enrol.Tx, o signer.Tx) error { return o.PutRequest("d", "r", digest(1), "x") }); err != nil {
		t.Errorf("the request id of another caller: %v", err)
	}
}

// putAll runs one unit of work with an event for the log.
func putAll(t testing.TB, s Store, f func(enrol.Tx) error) audit.Commit {
	t.Helper()
	c, err := s.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
		tx.Append(Created(0))
		return f(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
