package doctor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
)

// token is a device in memory that does what it should.
type token struct {
	keys    map[string]*ecdsa.PrivateKey // by wrapped key
	objects []hsm.Object
}

func (t *token) Inspect(context.Context) ([]hsm.Object, error) { return t.objects, nil }

func (t *token) MAC(_ context.Context, data []byte) ([]byte, error) {
	h := hmac.New(sha256.New, []byte("seal"))
	h.Write(data)
	return h.Sum(nil), nil
}

func (t *token) GenerateKey(_ context.Context, name string) ([]byte, string, crypto.PublicKey, error) {
	if name != "ecdsa-p256" {
		return nil, "", nil, hsm.ErrAlgorithm
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", nil, err
	}
	wrapped := make([]byte, 64)
	_, _ = rand.Read(wrapped)
	t.keys[string(wrapped)] = key
	return wrapped, "kek-2026-1", key.Public(), nil
}

func (t *token) SignWrapped(_ context.Context, _ string, wrapped []byte, _ string, digests [][]byte) ([][]byte, error) {
	key := t.keys[string(wrapped)]
	if key == nil {
		return nil, hsm.ErrWrappedKey
	}
	var all [][]byte
	for _, d := range digests {
		if len(d) != 32 {
			return nil, hsm.ErrDigest
		}
		sig, err := key.Sign(rand.Reader, d, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		all = append(all, sig)
	}
	return all, nil
}

// sound is an installation in memory in which every row that looks at trust core, device and log passes.
func sound(t *testing.T) *system {
	t.Helper()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	device := &token{keys: map[string]*ecdsa.PrivateKey{}, objects: []hsm.Object{{Label: "kek-2026-1"}, {Label: "seal"}}}
	calls := &counted{Device: device}
	trust, err := sam.Open(t.Context(), calls, sam.Config{Installation: "test", Epoch: 1, Digits: 6, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	story := newStory()
	story.latest, story.epoch = now.Add(-time.Minute), 1
	for range 5 {
		story.times = append(story.times, now.Add(-time.Minute))
	}
	s := &system{
		cfg: config.Config{Test: true, Codes: config.Codes{Digits: 6, Life: 5 * time.Minute, Tries: 3, CallerLock: 5, AccountLock: 10}},
		now: now, device: device, trust: trust, calls: calls, size: 5, story: story, enrolments: map[string]enrol.Enrolment{}, deviceEpoch: 1,
	}
	s.signed.Size, s.published.report.Head.Size, s.published.end = 5, 5, 5
	return s
}

// liar is a trust core with one fault.
type liar struct {
	core
	verify, sign, finish, code bool
	calls                      *counted
}

func (l liar) Verify(ctx context.Context, r sam.Release) error {
	if l.verify {
		return nil
	}
	return l.core.Verify(ctx, r)
}

func (l liar) Sign(ctx context.Context, r sam.Release) ([][]byte, error) {
	if l.sign {
		_, _ = l.calls.SignWrapped(ctx, "kek-2026-1", r.WrappedKey, "ecdsa-p256", r.Digests)
		return nil, errors.New("refused too late")
	}
	return l.core.Sign(ctx, r)
}

func (l liar) Finish(operation string, until time.Time) {
	if !l.finish {
		l.core.Finish(operation, until)
	}
}

func (l liar) Code(ctx context.Context, c credential.Sealed) (string, error) {
	if l.code {
		return "123456", nil
	}
	return l.core.Code(ctx, c)
}

func (l liar) Match(ctx context.Context, c credential.Sealed, code string) (bool, error) {
	if l.code {
		return code == "123456", nil
	}
	return l.core.Match(ctx, c, code)
}

// lax is a device that accepts whatever it is given.
type lax struct{ *token }

func (d lax) GenerateKey(ctx context.Context, _ string) ([]byte, string, crypto.PublicKey, error) {
	return d.token.GenerateKey(ctx, "ecdsa-p256")
}

func (d lax) SignWrapped(_ context.Context, _ string, _ []byte, _ string, digests [][]byte) ([][]byte, error) {
	return digests, nil
}

// faults break a sound system so that a row fails. The others are broken in the real program, by its system tests.
var faults = []struct {
	row, name string
	change    func(t *testing.T, s *system)
}{
	{row: "1", name: "a key can be read", change: func(_ *testing.T, s *system) {
		s.device.(*token).objects[1].Problems = []string{"its value can be read"}
	}},
	{row: "1", name: "no key at all", change: func(_ *testing.T, s *system) { s.device.(*token).objects = nil }},
	{row: "2", name: "the device unwraps anything", change: func(_ *testing.T, s *system) { s.device = lax{s.device.(*token)} }},
	{row: "3", name: "the device makes any key", change: func(_ *testing.T, s *system) { s.device = lax{s.device.(*token)} }},
	{row: "9", name: "one factor claims SCAL2", change: func(t *testing.T, s *system) { claim(t, s, credential.FactorSMSCode) }},
	{row: "9", name: "the same factor twice claims SCAL2", change: func(t *testing.T, s *system) {
		claim(t, s, credential.FactorSMSCode, credential.FactorSMSCode)
	}},
	{row: "12", name: "anything is accepted", change: func(_ *testing.T, s *system) { s.trust = liar{core: s.trust, verify: true} }},
	{row: "13", name: "the device is asked first", change: func(_ *testing.T, s *system) {
		s.trust = liar{core: s.trust, sign: true, calls: s.calls}
	}},
	{row: "14", name: "the log has findings", change: func(_ *testing.T, s *system) { s.published.err = errors.New("signed twice") }},
	{row: "15", name: "what is finished is signed again", change: func(_ *testing.T, s *system) {
		s.trust = liar{core: s.trust, finish: true}
	}},
	{row: "16", name: "codes are written to files in production", change: func(_ *testing.T, s *system) {
		s.cfg.Test, s.cfg.Messages.Provider = false, "file"
	}},
	{row: "17", name: "an activation that ended is accepted", change: func(_ *testing.T, s *system) {
		s.trust = liar{core: s.trust, verify: true}
	}},
	{row: "17", name: "codes live long", change: func(_ *testing.T, s *system) { s.cfg.Codes.Life = time.Hour }},
	{row: "18", name: "a lock was taken away", change: func(_ *testing.T, s *system) {
		s.story.locked[[2]string{"cred-1", "shop"}] = true
	}},
	{row: "18", name: "failures do not lock", change: func(_ *testing.T, s *system) {
		s.locks = []otp.Lock{{Account: "cred-1", Caller: "shop", Failures: 5}}
	}},
	{row: "18", name: "guessing is easy", change: func(_ *testing.T, s *system) { s.cfg.Codes.AccountLock = 1000 }},
	{row: "19", name: "every challenge has the same code", change: func(_ *testing.T, s *system) { s.trust = liar{core: s.trust, code: true} }},
	{row: "19", name: "two codes live", change: func(_ *testing.T, s *system) {
		s.challenges = []otp.Challenge{{Subject: "op-1", Seal: []byte{1}}, {Subject: "op-1", Seal: []byte{2}}}
	}},
	{row: "A", name: "the database cannot be read", change: func(_ *testing.T, s *system) { s.copied = errors.New("damaged") }},
	{row: "B", name: "old entries have no head", change: func(_ *testing.T, s *system) { s.signed.Size = 4 }},
	{row: "B", name: "no head was ever signed", change: func(_ *testing.T, s *system) { s.noHead = errors.New("none") }},
	{row: "C", name: "old entries are not in the directory", change: func(_ *testing.T, s *system) { s.published.end = 4 }},
	{row: "C", name: "old entries are in the tail only", change: func(_ *testing.T, s *system) { s.published.report.Head.Size = 4 }},
	{row: "D", name: "the clock is behind", change: func(_ *testing.T, s *system) { s.story.latest = s.now.Add(time.Minute) }},
	{row: "E", name: "there is no disk", change: func(_ *testing.T, s *system) { s.cfg.Data = "/nowhere" }},
	{row: "H", name: "the token is older than the log", change: func(_ *testing.T, s *system) { s.story.epoch = 2 }},
}

// claim adds a credential that claims SCAL2.
func claim(t *testing.T, s *system, factors ...string) {
	t.Helper()
	sealed, err := s.trust.SealBinding(t.Context(), credential.Binding{
		ID: "cred-1", Algorithm: credential.ECDSAP256, Factors: factors, SCAL: credential.SCAL2, Status: credential.Active, Version: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.credentials = []credential.Record{{ID: "cred-1", Sealed: sealed}}
}

func resultOf(t *testing.T, s *system, id string) Result {
	t.Helper()
	all := rows()
	at := slices.IndexFunc(all, func(r row) bool { return r.id == id })
	if at < 0 {
		t.Fatalf("there is no row %s", id)
	}
	return s.examine(t.Context(), all[at:at+1])[0]
}

func TestEachRowCanFail(t *testing.T) {
	for _, f := range faults {
		s := sound(t)
		if before := resultOf(t, s, f.row); before.Outcome == Fail && f.row != "16" && f.row != "E" {
			t.Errorf("row %s fails in a sound system: %s", f.row, before.Found)
		}
		f.change(t, s)
		if r := resultOf(t, s, f.row); r.Outcome != Fail || r.Found == "" || r.Do == "" {
			t.Errorf("%s: row %s says %+v", f.name, f.row, r)
		}
	}
}

// TestTwoFactorsMaySayTwo: the honest claim passes.
func TestTwoFactorsMaySayTwo(t *testing.T) {
	s := sound(t)
	claim(t, s, credential.FactorSMSCode, "passkey")
	if r := resultOf(t, s, "9"); r.Outcome != Pass {
		t.Errorf("%+v", r)
	}
}

// TestRowsAreComplete: rows 1 to 20 stand in order with their clauses; each that could fail is broken by a test, here or in
// the real program; each test that a row names exists; and what cannot be shown never passes.
func TestRowsAreComplete(t *testing.T) {
	broken := map[string]bool{}
	for _, f := range faults {
		broken[f.row] = true
	}
	real, err := os.ReadFile("../system/doctor_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\brow: "(\w+)"`).FindAllStringSubmatch(string(real), -1) {
		broken[m[1]] = true
	}
	want := "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 A B C D E F G H"
	var ids []string
	for _, r := range rows() {
		ids = append(ids, r.id)
		if r.requirement == "" || r.clause == "" {
			t.Errorf("row %s says too little", r.id)
		}
		if r.do == "" {
			if f := r.check(t.Context(), sound(t)); f.outcome == Pass || f.outcome == Fail {
				t.Errorf("row %s is %s and does not say what to do", r.id, f.outcome)
			}
		} else if !broken[r.id] {
			t.Errorf("no test breaks row %s", r.id)
		}
	}
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("the rows are %s", got)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"../../../*/*_test.go", "../../../*/*/*_test.go", "../*/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(b)
		}
	}
	for _, f := range sources {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(b), -1) {
			if !strings.Contains(tests.String(), "\nfunc "+name+"(") {
				t.Errorf("%s names %s; there is no such test", f, name)
			}
		}
	}
}
