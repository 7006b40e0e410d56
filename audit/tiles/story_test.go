package tiles_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

const origin = "log.example.com/test"

// memory is a log in memory: the source of an export.
type memory struct {
	t       rapid.TB
	signer  *audit.NoteSigner
	vkey    string
	entries [][]byte
	hashes  []tlog.Hash
	head    []byte
	now     time.Time
	failAt  int // the read that fails, counted down; 0: none
}

var errSource = errors.New("the source failed")

func newMemory(t rapid.TB) *memory {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	signer, err := audit.NewNoteSigner(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := audit.VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return &memory{t: t, signer: signer, vkey: vkey, now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}
}

func (m *memory) fails() bool {
	m.failAt--
	return m.failAt == 0
}

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, m.hashes[i])
	}
	return out, nil
}

func (m *memory) LastHead(context.Context) ([]byte, error) { return m.head, nil }

func (m *memory) ReadEntries(_ context.Context, from int64, n int) ([][]byte, error) {
	if m.fails() {
		return nil, errSource
	}
	return m.entries[from : from+int64(n)], nil
}

// add appends events, a second apart, and signs the head.
func (m *memory) add(events ...audit.Event) {
	m.t.Helper()
	var batch [][]byte
	for _, e := range events {
		m.now = m.now.Add(time.Second)
		entry, err := audit.Encode(m.now, e)
		if err != nil {
			m.t.Fatal(err)
		}
		batch = append(batch, entry)
	}
	m.addRaw(batch...)
}

func (m *memory) addRaw(batch ...[]byte) {
	m.t.Helper()
	stored, root, err := audit.Grow(int64(len(m.entries)), m, batch)
	if err != nil {
		m.t.Fatal(err)
	}
	m.entries, m.hashes = append(m.entries, batch...), append(m.hashes, stored...)
	if m.head, err = m.signer.SignHead(context.Background(), int64(len(m.entries)), root); err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) receipt(index int) []byte {
	m.t.Helper()
	r, err := audit.NewReceipt(m, int64(len(m.entries)), int64(index), m.entries[index], m.head)
	if err != nil {
		m.t.Fatal(err)
	}
	return r.Marshal()
}

func (m *memory) export(dir string) {
	m.t.Helper()
	if _, err := tiles.NewExporter(dir, m.vkey).Export(context.Background(), m); err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) verify(dir string) (tiles.Report, error) {
	return tiles.VerifyDir(context.Background(), dir, m.vkey)
}

// holds fails the test unless the exported log verifies.
func (m *memory) holds(dir string) tiles.Report {
	m.t.Helper()
	r, err := m.verify(dir)
	if err != nil {
		m.t.Fatalf("%v: %v", err, r.Findings)
	}
	return r
}

func put(t rapid.TB, path string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func digest(format string, args ...any) []byte {
	d := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return d[:]
}

func digests(n int, format string, args ...any) (list [][]byte) {
	for i := range n {
		list = append(list, digest("%d "+format, append([]any{i}, args...)...))
	}
	return list
}

// Where the events of issuing stand.
const (
	voucherMade = iota
	enrolmentMade
	changed1
	changed2
	changed3
	phoneCode
	phoneAnswer
	phoneConfirmed
	changed4
	identityStarted
	changed5
	identityReported
	prepared
	changed6
	agreementCode
	agreementRefusal
	agreementAnswer
	accepted
	changed7
	sealed
	keyMade
	intended
	changed8
	issued
	bound
	changed9
	granted
	issuingLength
)

// issuing is the story of credential i, from voucher to access.
func issuing(i int) []audit.Event {
	enr, cred, ch := fmt.Sprintf("enr-%d", i), fmt.Sprintf("cred-%d", i), fmt.Sprintf("agree-%d", i)
	serial, agreement, phone := fmt.Sprintf("%04x", i+1), digest("agreement %d", i), fmt.Sprintf("phone-%d", i)
	version := uint64(0)
	change := func(state string) audit.Event {
		version++
		return audit.EnrolmentChanged{Enrolment: enr, Version: version, State: state, Caller: "portal", Record: digest("record %d %d", i, version)}
	}
	return []audit.Event{
		audit.VoucherCreated{Voucher: fmt.Sprintf("%x", digest("voucher %d", i)), Product: "natural", Caller: "operator"},
		audit.EnrolmentCreated{Enrolment: enr, Voucher: fmt.Sprintf("%x", digest("voucher %d", i)), Caller: "portal"},
		change("created"),
		change("parameters"),
		change("data"),
		audit.CodeRequested{Challenge: phone, Purpose: "phone", Subject: enr, Caller: "portal"},
		audit.CodeAccepted{Challenge: phone, Purpose: "phone", Subject: enr, Caller: "portal", Attempt: 1},
		audit.PhoneConfirmed{Enrolment: enr, Challenge: phone, PhoneCommitment: digest("phone %d", i)},
		change("phone"),
		audit.IdentityStarted{Enrolment: enr, Provider: "identity"},
		change("proofing"),
		audit.IdentityReported{Enrolment: enr, Outcome: "positive", Evidence: digest("evidence %d", i), Caller: "identity"},
		audit.AgreementPrepared{Enrolment: enr, Document: agreement, Version: "1", Language: "uk"},
		change("proven"),
		audit.CodeRequested{Challenge: ch, Purpose: "agreement", Subject: enr, Caller: "portal"},
		audit.CodeRefused{Challenge: ch, Purpose: "agreement", Subject: enr, Caller: "portal", Result: "rejected", Attempt: 1},
		audit.CodeAccepted{Challenge: ch, Purpose: "agreement", Subject: enr, Caller: "portal", Attempt: 2},
		audit.AgreementAccepted{Enrolment: enr, Challenge: ch, Document: agreement, Means: "sms-code"},
		change("issuing"),
		audit.AgreementSealed{Enrolment: enr, Document: agreement, Sealed: digest("sealed %d", i)},
		audit.KeyGenerated{Enrolment: enr, Credential: cred, KEK: "kek-1", SPKI: digest("spki"), Wrapped: digest("key")},
		audit.CertificateIntended{Enrolment: enr, Serial: serial, TBS: digest("tbs %d", i)},
		change("issuing"),
		audit.CertificateIssued{Enrolment: enr, Credential: cred, Serial: serial, Certificate: digest("cert %d", i)},
		audit.BindingChanged{Credential: cred, Version: 1, Status: "active", Binding: digest("binding %d", i)},
		change("issued"),
		audit.AccessGranted{Credential: cred, Client: "documents", Caller: "operator"},
	}
}

// signing is the story of operation i with credential cred over n digests.
func signing(i, cred, n int) []audit.Event {
	op, ch, c := fmt.Sprintf("op-%d", i), fmt.Sprintf("sign-%d", i), fmt.Sprintf("cred-%d", cred)
	dtbsr := digests(n, "dtbsr %d", i)
	return []audit.Event{
		audit.SigningRequested{Operation: op, Credential: c, Caller: "documents", BindingVersion: 1, Algorithm: "ecdsa-p256-sha256", DTBSR: dtbsr},
		audit.CodeRequested{Challenge: ch, Purpose: "sign", Subject: op, Caller: "documents", Credential: c},
		audit.CodeAccepted{Challenge: ch, Purpose: "sign", Subject: op, Caller: "documents", Attempt: 1},
		audit.SigningActivated{
			Operation: op, Credential: c, Caller: "documents", BindingVersion: 1, DTBSR: dtbsr,
			Means: "sms-code", Challenge: ch, Activation: digest("activation %d", i),
		},
		audit.SigningSigned{Operation: op, Credential: c, BindingVersion: 1, DTBSR: dtbsr, Signatures: digests(n, "signature %d", i)},
	}
}

// dirOf exports a log of one credential and the given number of signings, with receipts for some.
func dirOf(t *testing.T, signings int) (*memory, string) {
	t.Helper()
	m, dir := newMemory(t), t.TempDir()
	m.add(issuing(0)...)
	for i := range signings {
		m.add(signing(i, 0, 1+i%3)...)
		if i < 5 || i == signings-1 {
			put(t, filepath.Join(dir, "receipts", fmt.Sprintf("%d.tlog-proof", i)), m.receipt(len(m.entries)-1))
		}
		if i%16 == 0 {
			m.export(dir)
		}
	}
	m.export(dir)
	return m, dir
}
