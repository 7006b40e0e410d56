package model_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/agreement"
)

const logOrigin = "ecsigner/model"

// house is what all histories of one worker begin with: the CA, the log's key, and an installation in which some
// persons have credentials already and others are on their way.
type house struct {
	dir     string
	issuing *ca.Authority
	seal    enrol.SealKey
	head    *audit.NoteSigner
	vkey    string
	begin   time.Time
	device  *device // of the history that runs

	keys  map[string]*ecdsa.PrivateKey // that the device holds at the beginning
	model *state
	first []byte // head of the log
	size  int64  // under that head
}

// serviceKey is a key of the CA or the service, in the device of the history that runs.
type serviceKey struct {
	crypto.Signer
	name string
	h    *house
}

func (k serviceKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if d := k.h.device; d != nil {
		if err := d.service(k.name, digest); err != nil {
			return nil, err
		}
	}
	return k.Signer.Sign(r, digest, opts)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newHouse(t *testing.T, dir string) *house {
	t.Helper()
	h := &house{dir: dir, begin: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.head = must(audit.NewNoteSigner(logOrigin, key))
	h.vkey = must(audit.VerifierKey(logOrigin, public))
	h.authorities()
	synctest.Test(t, func(t *testing.T) { h.furnish(t) })
	return h
}

func (h *house) authorities() {
	ctx, begin := context.Background(), h.begin.Add(-time.Hour)
	cfg := ca.Config{
		Country: "PL", Organization: "Example QTSP", OrganizationID: "VATPL-5260250274",
		RootName: "TEST Root CA 1", IssuingName: "TEST Issuing CA 1", SealName: "TEST Seal 1", TLSRootName: "TEST TLS CA 1",
		TestPrefix: true, PolicyNatural: "1.2.616.1.999999.1.1", PolicySeal: "1.2.616.1.999999.1.2",
		PDS:     map[string]string{"en": "https://pki.example.com/pds_en.pdf"},
		AIABase: "http://pki.example.com", CRLBase: "http://pki.example.com", RetentionYears: 20, QSCD: true,
		CRLLifetime: 12 * time.Hour, CARLLifetime: 90 * 24 * time.Hour, SerialPrefix: 1,
	}
	key := func(name string, curve elliptic.Curve) serviceKey {
		return serviceKey{must(ecdsa.GenerateKey(curve, rand.Reader)), name, h}
	}
	rootKey, issuingKey, sealKey := key("root", elliptic.P384()), key("issuing", elliptic.P384()), key("seal", elliptic.P256())
	rootDER := must(ca.BuildRoot(ctx, cfg, ca.Root, rootKey, begin, 20, rand.Reader))
	root := must(ca.New(cfg, ca.Root, rootDER, nil, rootKey, rand.Reader))
	made := must(ca.BuildIssuing(ctx, root, issuingKey.Public(), begin, 10))
	h.issuing = must(ca.New(cfg, ca.IssuingCA, made.DER, root.Certificate(), issuingKey, rand.Reader))
	seal := must(h.issuing.Issue(ctx, ca.Request{
		ID: "seal", Person: "provider", Profile: ca.ServiceSeal, PublicKey: sealKey.Public(), NotBefore: begin, Years: 2,
	}))
	h.seal = enrol.SealKey{Signer: sealKey, Chain: [][]byte{seal.DER, made.DER, rootDER}}
}

// person n: 0 to 99, each with a right check digit and a phone of its own.
func person(n int) enrol.PersonalData {
	digits := []byte{'2', '9', '3', '5', '4', '1', '0' + byte(n/10), '0' + byte(n%10), '2'}
	sum := 0
	for k, weight := range []int{-1, 5, 7, 9, 4, 6, 10, 5, 7} {
		sum += weight * int(digits[k]-'0')
	}
	return enrol.PersonalData{
		GivenName: "Taras", Surname: "Shevchenko", LocalName: "Тарас Шевченко", Country: "UA",
		Identifier: string(digits) + string('0'+byte(sum%11%10)), BirthDate: "1980-05-14", Phone: "+3805012345" + string(digits[6:8]),
	}
}

// the callers.
const (
	portal   = "portal-1"
	portal2  = "portal-2"
	provider = "idp-1"
	operator = "operator-1"
	docs     = "docs-1"
	docs2    = "docs-2"
)

// furnish makes the installation that histories begin with, through the use cases themselves.
func (h *house) furnish(t *testing.T) {
	w := &world{
		house: h, dir: h.dir, random: newStream(1), clock: h.begin, model: newState(), furnishing: true, certified: map[string]int{},
	}
	w.device = newDevice(w, map[string]*ecdsa.PrivateKey{})
	h.device = w.device
	w.start()
	p, ctx := w.process, w.process.ctx
	for n := range 2 {
		id := w.lead(ctx, n, enrol.StateIssued)
		v := must(p.enrol.Get(ctx, portal, id))
		for _, client := range []string{docs, docs2}[n:] {
			if err := p.tenure.GrantAccess(ctx, operator, w.request(), v.Credential, client); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n, state := range []enrol.State{
		enrol.StateCreated, enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing, enrol.StateProven,
	} {
		w.lead(ctx, 10+n, state)
	}
	vouchers := must(p.enrol.CreateVouchers(ctx, operator, w.request(), enrol.VoucherRequest{
		Product: "qes-2y", Years: 2, Count: 3, Expires: h.begin.Add(20 * 24 * time.Hour),
	}))
	if err := p.db.Cover(ctx); err != nil {
		t.Fatal(err)
	}
	h.first, h.size = must(p.db.LastHead(ctx)), must(p.db.Size(ctx))
	h.model = must(observe(ctx, p.db, nil))
	for _, code := range vouchers {
		h.model.vouchers[code] = voucher{hash: voucherHash(code), expires: h.begin.Add(20 * 24 * time.Hour)}
	}
	h.keys = w.device.keys
	w.crash()
	w.close()
	h.device = nil
}

// lead brings a new enrolment of person n into a state by the shortest way.
func (w *world) lead(ctx context.Context, n int, state enrol.State) (id string) {
	s := w.process.enrol
	codes := must(s.CreateVouchers(ctx, operator, w.request(), enrol.VoucherRequest{
		Product: "qes-2y", Years: 2, Count: 1, Expires: w.house.begin.AddDate(1, 0, 0),
	}))
	v := must(s.Create(ctx, portal, w.request(), codes[0], "uk", ""))
	id = v.ID
	for _, step := range []func(){
		func() {
			v = must(s.SetParameters(ctx, portal, id, w.request(), enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256}))
		},
		func() { v = must(s.SetPersonalData(ctx, portal, id, w.request(), person(n))) },
		func() {
			_, _, err := s.SendPhoneCode(ctx, portal, id, w.request())
			must(0, err)
			v = must(s.ConfirmPhone(ctx, portal, id, w.request(), w.currentCode(ctx, id)))
		},
		func() { v = must(s.StartIdentityProofing(ctx, portal, id, w.request(), provider)) },
		func() { v = must(s.ReportIdentityResult(ctx, provider, w.request(), proven(v, n, w.now()))) },
		func() {
			must(s.Agreement(ctx, portal, id))
			_, _, err := s.SendAgreementCode(ctx, portal, id, w.request())
			must(0, err)
			v = must(s.AcceptAgreement(ctx, portal, id, w.request(), enrol.Acceptance{
				SHA256: v.AgreementSHA256, Consents: consents(), Code: w.currentCode(ctx, id),
			}))
		},
	} {
		if v.State == state {
			return id
		}
		step()
	}
	if v.State != state {
		panic("model: the enrolment is " + string(v.State))
	}
	return id
}

// consents are those that an agreement asks for.
func consents() []string {
	var names []string
	for _, c := range agreement.Consents("uk", "") {
		names = append(names, c.Name)
	}
	return names
}

// proven is the result that person n is who they say.
func proven(v enrol.View, n int, now time.Time) enrol.IdentityResult {
	d := person(n)
	return enrol.IdentityResult{
		Enrolment: v.ID, Reference: v.ProofingReference, Outcome: enrol.Positive,
		Person: enrol.Person{
			GivenName: d.GivenName, Surname: d.Surname, LocalName: d.LocalName, Country: d.Country,
			IdentifierType: "TIN", Identifier: d.Identifier,
		},
		BirthDate: d.BirthDate, Phone: d.Phone, Evidence: []byte("evidence"), CompletedAt: now,
	}
}

// currentCode is the code that an enrolment waits for.
func (w *world) currentCode(ctx context.Context, enrolment string) string {
	var code string
	err := w.process.db.Enrol().View(ctx, func(tx enrol.Tx) error {
		row, err := tx.Enrolment(enrolment)
		if err != nil {
			return err
		}
		ch, err := tx.Challenge(row.Challenge)
		if err != nil {
			return err
		}
		code, err = w.process.trust.Code(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
		return err
	})
	return must(code, err)
}

// move copies the installation into the directory of a new world.
func (h *house) world(dir string) (*world, error) {
	w := &world{house: h, dir: dir, random: newStream(2), clock: h.begin.Add(time.Minute), model: h.model.clone(), highest: h.begin.Add(time.Minute), certified: map[string]int{}}
	w.device = newDevice(w, maps.Clone(h.keys))
	h.device = w.device
	for _, name := range []string{"db/ecsigner.db", "heads"} {
		data, err := os.ReadFile(filepath.Join(h.dir, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return string(h[:])
}
