package enrol_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/tenure"
)

const (
	portal   = "portal-1"
	provider = "idp-1"
	operator = "operator-1"
)

// device is an HSM in memory that counts the keys it made.
type device struct {
	mu    sync.Mutex
	keys  int
	key   map[string]*ecdsa.PrivateKey // by the wrapped one
	signs int                          // signatures of persons
	fault func(op string) (before, after error)
}

func (d *device) fails(op string) error {
	if d.fault == nil {
		return nil
	}
	before, after := d.fault(op)
	return errors.Join(before, after)
}

func (d *device) MAC(_ context.Context, data []byte) ([]byte, error) {
	h := hmac.New(sha256.New, []byte("the device's key"))
	h.Write(data)
	return h.Sum(nil), nil
}

func (d *device) GenerateKey(_ context.Context, algorithm string) ([]byte, string, crypto.PublicKey, error) {
	if err := d.fails("generate"); err != nil {
		return nil, "", nil, err
	}
	curve := elliptic.P256()
	if algorithm == "ecdsa-p384" {
		curve = elliptic.P384()
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, "", nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys++
	wrapped := fmt.Appendf(nil, "wrapped key %d %x", d.keys, key.X.Bytes())
	if d.key == nil {
		d.key = map[string]*ecdsa.PrivateKey{}
	}
	d.key[string(wrapped)] = key
	return wrapped, "kek-1", key.Public(), nil
}

func (d *device) SignWrapped(_ context.Context, _ string, wrapped []byte, _ string, digests [][]byte) ([][]byte, error) {
	if err := d.fails("sign"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var all [][]byte
	for _, digest := range digests {
		d.signs++
		signature, err := ecdsa.SignASN1(rand.Reader, d.key[string(wrapped)], digest)
		if err != nil {
			return nil, err
		}
		all = append(all, signature)
	}
	return all, nil
}

// serviceKey is a key of the CA or the seal that can fail.
type serviceKey struct {
	crypto.Signer
	name string
	d    *device
}

func (k serviceKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.d.fails(k.name); err != nil {
		return nil, err
	}
	return k.Signer.Sign(r, digest, opts)
}

// living is the use case of the credentials that come out.
type living = tenure.Service

// world is an installation around both use cases: every credential comes from an enrolment, so the tests of package tenure
// are here too.
type world struct {
	testing.TB
	language string               // of persons, uk unless it says another
	key      credential.Algorithm // of persons, P-256 unless it says another
	*enrol.Service
	*living
	store   *fakeStore
	device  *device
	trust   *sam.Module
	issuing *ca.Authority
	config  enrol.Config
	notice  time.Duration // before the end of a certificate

	mu     sync.Mutex
	time   time.Time
	alarms []string
	calls  int
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

func (w *world) alarmed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.alarms...)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, device: &device{}, time: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	w.store = newStore(t, w.now)
	w.config = enrol.Config{
		Store: w.store, Limits: otp.DefaultLimits(), Provider: testProvider(), Terms: testTerms(), TestMode: true,
		PDS:  map[string]string{"en": "https://pki.example.com/pds_en.pdf", "pl": "https://pki.example.com/pds_pl.pdf"},
		Life: 30 * 24 * time.Hour, ProofAge: 10 * 24 * time.Hour, DeferredLife: 5 * 24 * time.Hour, Now: w.now, Rand: rand.Reader,
		Products: catalogue(), Guesses: enrol.DefaultGuessLimits(),
		Renewal: enrol.RenewalRules{Window: 60 * 24 * time.Hour, ProofAge: 400 * 24 * time.Hour},
		Alarm: func(_ context.Context, kind, subject string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.alarms = append(w.alarms, fmt.Sprintf("%s %s: %v", kind, subject, err))
		},
	}
	w.notice = 30 * 24 * time.Hour
	w.authorities()
	w.start()
	return w
}

// start makes the service as a new process would: nothing survives but store, device and certificates.
func (w *world) start() {
	w.Helper()
	trust, err := sam.Open(context.Background(), w.device, sam.Config{Installation: "test", Epoch: 1, Digits: 6, Now: w.now})
	w.must(err)
	w.trust, w.config.Trust, w.config.Memory = trust, trust, otp.NewMemory()
	w.Service, err = enrol.New(w.config)
	w.must(err)
	w.living, err = tenure.New(w.tenure())
	w.must(err)
}

// tenure is how the life of the credentials is wired.
func (w *world) tenure() tenure.Config {
	return tenure.Config{
		Store: livingStore{w.store}, Trust: w.trust, Authority: w.issuing, Origins: w.Service, Memory: w.config.Memory,
		Limits: w.config.Limits, Provider: w.config.Provider.Name, Notice: w.notice, Now: w.now, Rand: rand.Reader, Alarm: w.config.Alarm,
	}
}

// Unlock is of credentials and enrolments.
func (w *world) Unlock(ctx context.Context, caller, requestID, account, client string) error {
	return w.living.Unlock(ctx, caller, requestID, account, client)
}

// Compose makes the text of any message.
func (w *world) Compose(ctx context.Context, m sms.Message) (sms.Text, error) {
	switch m.Kind {
	case sms.KindRevoke, sms.KindRevoked, sms.KindEnding:
		return w.living.Compose(ctx, m)
	}
	return w.Service.Compose(ctx, m)
}

// snapshot returns what brings the database, and the process with it, back to how they are now.
func (w *world) snapshot() (restore func()) {
	w.Helper()
	data, events, keys := w.store.data.clone(), len(w.store.events), w.device.keys
	return func() {
		w.store.data, w.store.events, w.device.keys, w.alarms = data.clone(), w.store.events[:events:events], keys, nil
		w.start()
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) authorities() {
	w.Helper()
	ctx, begin := context.Background(), w.time.Add(-time.Hour)
	cfg := ca.Config{
		Country: "PL", Organization: "Example QTSP", OrganizationID: "VATPL-5260250274",
		RootName: "TEST Root CA 1", IssuingName: "TEST Issuing CA 1", SealName: "TEST Seal 1", TLSRootName: "TEST TLS CA 1",
		TestPrefix: true, PolicyNatural: "1.2.616.1.999999.1.1", PolicySeal: "1.2.616.1.999999.1.2",
		PDS:     map[string]string{"en": "https://pki.example.com/pds_en.pdf"},
		AIABase: "http://pki.example.com", CRLBase: "http://pki.example.com", RetentionYears: 20, QSCD: true,
		CRLLifetime: 12 * time.Hour, CARLLifetime: 90 * 24 * time.Hour, SerialPrefix: 1,
	}
	key := func(name string) serviceKey {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		w.must(err)
		return serviceKey{k, name, w.device}
	}
	rootKey, issuingKey, sealKey := key("root"), key("issuing"), key("seal")
	der, err := ca.BuildRoot(ctx, cfg, ca.Root, rootKey, begin, 20, rand.Reader)
	w.must(err)
	root, err := ca.New(cfg, ca.Root, der, nil, rootKey, rand.Reader)
	w.must(err)
	made, err := ca.BuildIssuing(ctx, root, issuingKey.Public(), begin, 10)
	w.must(err)
	issuing, err := ca.New(cfg, ca.IssuingCA, made.DER, root.Certificate(), issuingKey, rand.Reader)
	w.must(err)
	seal, err := issuing.Issue(ctx, ca.Request{
		ID: "seal", Person: "provider", Profile: ca.ServiceSeal, PublicKey: sealKey.Public(), NotBefore: begin, Years: 2,
	})
	w.must(err)
	w.config.Authority, w.issuing = issuing, issuing
	w.config.Seal = enrol.SealKey{Signer: sealKey, Chain: [][]byte{seal.DER, made.DER, der}}
}

// catalogue has a private product for each number of years, one that must name an organisation and one that may.
func catalogue() []enrol.Product {
	algorithms, kinds := []credential.Algorithm{credential.ECDSAP256, credential.ECDSAP384, credential.RSA3072}, []string{"PNO", "TIN", "PAS", "IDC"}
	return []enrol.Product{
		{Name: "qes-1y", Years: 1, Algorithms: algorithms, Identifiers: kinds, Organisation: enrol.OrganisationNone},
		{Name: "qes-2y", Years: 2, Algorithms: algorithms, Identifiers: kinds, Organisation: enrol.OrganisationNone},
		{Name: "qes-3y", Years: 3, Algorithms: algorithms, Identifiers: kinds, Organisation: enrol.OrganisationNone},
		{Name: "org-3y", Years: 3, Algorithms: algorithms, Identifiers: kinds, Organisation: enrol.OrganisationRequired},
		{Name: "narrow", Years: 1, Algorithms: algorithms[:1], Identifiers: kinds[2:3], Organisation: enrol.OrganisationOptional},
	}
}

func testProvider() agreement.Provider {
	return agreement.Provider{
		Name: "Example QTSP", RegistrationID: "VATPL-5260250274", Address: "ul. Przykładowa 1, 00-001 Warszawa",
		PolicyOID: "1.2.616.1.999999.1.1",
	}
}

func testTerms() agreement.Terms {
	return agreement.Terms{Version: "1", URL: "https://pki.example.com/terms", RetentionYears: 20}
}

// request returns a fresh request id.
func (w *world) request() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	return fmt.Sprintf("request-%d", w.calls)
}

func (w *world) voucher() string {
	w.Helper()
	codes, err := w.CreateVouchers(context.Background(), operator, w.request(), enrol.VoucherRequest{
		Product: "qes-2y", Years: 2, Count: 1, Expires: w.now().AddDate(1, 0, 0),
	})
	w.must(err)
	return codes[0]
}

func data() enrol.PersonalData {
	return enrol.PersonalData{
		GivenName: "Taras", Surname: "Shevchenko", LocalName: "Тарас Шевченко", Country: "UA", Identifier: "2935412318",
		BirthDate: "1980-05-14", Phone: "+380501234567",
	}
}

func parameters() enrol.Parameters {
	return enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256}
}

// parameters are those with the key of the world's persons.
func (w *world) parameters() enrol.Parameters {
	p := parameters()
	p.Algorithm = cmp.Or(w.key, p.Algorithm)
	return p
}

// person is one enrolment on its way.
type person struct {
	*world
	id   string
	view enrol.View
}

func (p *person) got(v enrol.View, err error) {
	p.Helper()
	p.must(err)
	p.view = v
}

// reach brings a new enrolment into a state by the shortest way.
func (w *world) reach(state enrol.State) *person {
	w.Helper()
	ctx := context.Background()
	v, err := w.Create(ctx, portal, w.request(), w.voucher(), cmp.Or(w.language, "uk"), "")
	w.must(err)
	p := &person{world: w, id: v.ID, view: v}
	for _, step := range []func(){
		func() { p.got(w.SetParameters(ctx, portal, p.id, w.request(), w.parameters())) },
		func() { p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), data())) },
		func() { p.sendPhone(); p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), p.code())) },
		func() { p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider)) },
		func() { p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result())) },
		func() { p.sendAgreement(); p.got(p.accept(p.code())) },
	} {
		if p.view.State == state {
			return p
		}
		step()
	}
	if p.view.State != state {
		w.Fatalf("reached %s, want %s; alarms: %v", p.view.State, state, w.alarmed())
	}
	return p
}

func (p *person) sendPhone() enrol.CodeSent {
	p.Helper()
	_, sent, err := p.SendPhoneCode(context.Background(), portal, p.id, p.request())
	p.must(err)
	return sent
}

func (p *person) newPhone() enrol.CodeSent {
	p.Helper()
	_, sent, err := p.NewPhoneCode(context.Background(), portal, p.id, p.request())
	p.must(err)
	return sent
}

// sendAgreement shows the agreement, as nobody can accept what they have not seen, and sends its code.
func (p *person) sendAgreement() enrol.CodeSent {
	p.Helper()
	_, err := p.Agreement(context.Background(), portal, p.id)
	p.must(err)
	_, sent, err := p.SendAgreementCode(context.Background(), portal, p.id, p.request())
	p.must(err)
	return sent
}

func (p *person) accept(code string) (enrol.View, error) {
	return p.AcceptAgreement(context.Background(), portal, p.id, p.request(), p.acceptance(code))
}

// acceptance is what a portal hands on of a person who agrees to everything that must be agreed to.
func (p *person) acceptance(code string) enrol.Acceptance {
	return enrol.Acceptance{SHA256: p.view.AgreementSHA256, Consents: required(), Code: code}
}

func required() []string { return []string{"data", "obligations", "device", "records"} }

func (p *person) result() enrol.IdentityResult {
	d := data()
	return enrol.IdentityResult{
		Enrolment: p.id, Reference: p.view.ProofingReference, Outcome: enrol.Positive,
		Person: enrol.Person{
			GivenName: d.GivenName, Surname: d.Surname, LocalName: d.LocalName, Country: d.Country,
			IdentifierType: "TIN", Identifier: d.Identifier,
		},
		BirthDate: d.BirthDate, Phone: d.Phone, Evidence: []byte("evidence"), CompletedAt: p.now(),
	}
}

// text composes the newest message in the outbox, as the sender would.
func (w *world) text() (sms.Text, error) {
	w.Helper()
	var m sms.Message
	w.store.write(func(t *tables) { m = t.outbox[len(t.outbox)-1] })
	return w.Compose(context.Background(), m)
}

// code reads the newest text on the phone.
func (p *person) code() string {
	p.Helper()
	text, err := p.text()
	p.must(err)
	if text.To != data().Phone {
		p.Errorf("sent to %s", text.To)
	}
	fields := strings.FieldsFunc(text.Body, func(r rune) bool { return r < '0' || r > '9' })
	if len(fields) == 0 || len(fields[0]) != 6 {
		p.Fatalf("no code in %q", text.Body)
	}
	return fields[0]
}

// wrong returns a code that is not the given one.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// newest composes the newest message, or says that there is none that could be sent.
func (w *world) newest() (text sms.Text, err error) {
	var all []sms.Message
	w.store.write(func(t *tables) { all = t.outbox })
	if len(all) == 0 {
		return sms.Text{}, errors.New("no message")
	}
	return w.text()
}
