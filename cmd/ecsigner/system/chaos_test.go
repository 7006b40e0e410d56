package system_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var chaosSeed = flag.Uint64("chaos-seed", uint64(time.Now().UnixNano()), "seed of the random moments and sizes")

// phone collects the codes of all messages by their title. Many may ask it at once.
type phone struct {
	outbox string
	mu     sync.Mutex
	read   map[string]bool   // files
	codes  map[string]string // by title
}

var quoted, nineDigits = regexp.MustCompile(`"[^"]*"`), regexp.MustCompile(`\b\d{9}\b`)

// code waits for the code of the operation with this title.
func (p *phone) code(ctx context.Context, title string) (string, error) {
	for {
		code, err := p.look(title)
		if err != nil || code != "" {
			return code, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no code for %s: %w", title, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *phone) look(title string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	files, err := os.ReadDir(p.outbox)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if p.read[f.Name()] || !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		var m struct{ Text string }
		b, err := os.ReadFile(filepath.Join(p.outbox, f.Name()))
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			return "", err
		}
		p.read[f.Name()] = true
		for _, q := range quoted.FindAllString(m.Text, -1) { // who asks, and the title
			if code := nineDigits.FindString(m.Text); code != "" { // a notice has none
				p.codes[q] = code
			}
		}
	}
	return p.codes[`"`+title+`"`], nil
}

// load is what callers do while the server is killed again and again.
type load struct {
	conn    *client.Conn
	phone   *phone
	answers atomic.Int64
	lost    atomic.Int64 // calls that ended without an answer
	enough  atomic.Bool  // the callers finish what they began
}

// done is one operation with every call that made it.
type done struct {
	create    *pb.CreateSigningOperationRequest
	authorize *pb.AuthorizeSigningOperationRequest
	created   *pb.SigningOperation
	signed    *pb.SigningOperation
}

// answered repeats a call until it is answered: after a lost connection, and while the lease of a run that the kill
// interrupted lasts. Any other refusal is an error: nothing that the callers do is wrong.
func (l *load) answered(ctx context.Context, call func() error) error {
	for {
		err := call()
		var explained bool
		for _, d := range status.Convert(err).Details() {
			_, is := d.(*errdetails.ErrorInfo)
			explained = explained || is
		}
		switch {
		case err == nil:
			l.answers.Add(1)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case status.Code(err) == codes.Unavailable && !explained:
			l.lost.Add(1)
		case reason(err) != "SIGNING_IN_PROGRESS":
			return fmt.Errorf("refused with %s: %w", reason(err), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// caller signs one operation after the other, until it is enough.
func (l *load) caller(ctx context.Context, name, credential string, random *rand.Rand) (all []done, err error) {
	for !l.enough.Load() {
		title := fmt.Sprintf("%s %d", name, len(all))
		texts := make([]string, 1+random.IntN(3))
		for k := range texts {
			texts[k] = fmt.Sprintf("%s, text %d", title, k)
		}
		d := done{create: hashes(credential, title, texts...)}
		if err := l.answered(ctx, func() error {
			a, err := l.conn.Signing.CreateSigningOperation(ctx, d.create)
			d.created = a.GetOperation()
			return err
		}); err != nil {
			return all, fmt.Errorf("creating %s: %w", title, err)
		}
		code, err := l.phone.code(ctx, title)
		if err != nil {
			return all, err
		}
		d.authorize = &pb.AuthorizeSigningOperationRequest{RequestId: client.RequestID(), OperationId: d.created.GetId(), Code: code}
		if err := l.answered(ctx, func() error {
			a, err := l.conn.Signing.AuthorizeSigningOperation(ctx, d.authorize)
			d.signed = a.GetOperation()
			return err
		}); err != nil {
			return all, fmt.Errorf("authorising %s: %w", title, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// TestKilledUnderLoad kills the server at random moments under callers who insist. Whatever was answered stays as it
// was, everything is finished, once, and the key signed no more than the log allows.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds, callers, persons = 8, 8, 4
	t.Logf("-chaos-seed %d", *chaosSeed)
	random := rand.New(rand.NewPCG(*chaosSeed, 0))
	i := system.New(t, build.Program(t, failpoints), "--digits", "9")
	spies := []string{startSpied(t, i)}
	var credentials []string
	for n := range persons {
		credentials = append(credentials, i.Credential(n))
	}
	objects := tokenObjects(t, i)
	mark := logSize(t, i)

	l := &load{conn: i.Documents(), phone: &phone{outbox: i.Path("outbox"), read: map[string]bool{}, codes: map[string]string{}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	results := make([][]done, callers)
	var all sync.WaitGroup
	for n := range callers {
		random := rand.New(rand.NewPCG(*chaosSeed, uint64(n)+1))
		all.Go(func() {
			var err error
			if results[n], err = l.caller(ctx, fmt.Sprintf("caller %d", n), credentials[n%persons], random); err != nil {
				fail(err)
			}
		})
	}
	for range rounds {
		enough := l.answers.Load() + 5 + random.Int64N(100)
		await(t, "the callers get answers", func() bool { return l.answers.Load() >= enough || ctx.Err() != nil })
		lost := l.lost.Load()
		i.Kill()
		spies = append(spies, filepath.Join(t.TempDir(), "spy"))
		i.Start("PKCS11SPY="+softHSM, "PKCS11SPY_OUTPUT="+spies[len(spies)-1])
		l.conn.ResetConnectBackoff()
		if l.lost.Load() == lost && ctx.Err() == nil {
			t.Error("the kill interrupted nobody")
		}
	}
	l.enough.Store(true)
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
	var work []done
	for _, r := range results {
		work = append(work, r...)
	}
	entries := logFrom(i, mark)
	t.Logf("%d operations; %d calls lost their answer; %d operations were resumed", len(work), l.lost.Load(), count(entries, "signing.resumed"))
	unchanged(t, l, work)
	evidence(t, i, work, entries, signedDigests(t, spies...))
	codesAreSpent(t, i, l, results)
	if now := tokenObjects(t, i); !maps.Equal(now, objects) {
		t.Errorf("the token holds other objects than before: %d, were %d", len(now), len(objects))
	}
	endRun(t, i)
}

// unchanged asks for everything again, with the same requests.
func unchanged(t *testing.T, l *load, work []done) {
	t.Helper()
	for _, err := range parallel(len(work), func(k int) error {
		d := work[k]
		if c, s := d.created, d.signed; c.GetId() != s.GetId() || !proto.Equal(c.GetCreateTime(), s.GetCreateTime()) {
			return fmt.Errorf("created as %v, signed as %v", c, s)
		}
		created, err := l.conn.Signing.CreateSigningOperation(t.Context(), d.create)
		if err != nil || !proto.Equal(created.GetOperation(), d.signed) {
			return fmt.Errorf("created again: %v, %w; was %v", created, err, d.signed)
		}
		signed, err := l.conn.Signing.AuthorizeSigningOperation(t.Context(), d.authorize)
		if err != nil || !proto.Equal(signed.GetOperation(), d.signed) {
			return fmt.Errorf("authorised again: %v, %w; was %v", signed, err, d.signed)
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
}

// evidence holds the signatures against certificate, log and token.
func evidence(t *testing.T, i *system.Installation, work []done, entries []entry, signed map[string]int) {
	t.Helper()
	once := []string{"signing.requested", "signing.activated", "signing.signed"}
	for _, kind := range append(once, "code.requested", "code.accepted") {
		if n := count(entries, kind); n != len(work) {
			t.Errorf("%d entries %s for %d operations", n, kind, len(work))
		}
	}
	for _, kind := range []string{"code.refused", "signing.withheld", "signing.closed", "integrity.alarm"} {
		if n := count(entries, kind); n != 0 {
			t.Errorf("%d entries %s", n, kind)
		}
	}
	for _, d := range work {
		vkey, certificate := public(t, i, d.signed.GetCredentialId())
		judge(t, vkey, certificate, d.signed)
		id := d.signed.GetId()
		for _, kind := range once {
			if n := count(entries, kind, "operation", id); n != 1 {
				t.Errorf("%s stands %d times in the log about %s", kind, n, id)
			}
		}
		runs := 1 + count(entries, "signing.resumed", "operation", id)
		for k, item := range d.signed.GetItems() {
			if n := signed[string(item.GetDtbsr())]; n < 1 || n > runs {
				t.Errorf("the key signed item %d of %s %d times in %d runs", k, id, n, runs)
			}
		}
	}
}

// codesAreSpent tries codes that were accepted on new operations of the same persons.
func codesAreSpent(t *testing.T, i *system.Installation, l *load, results [][]done) {
	t.Helper()
	for n, r := range results {
		if len(r) == 0 {
			continue
		}
		credential, title := r[0].create.GetCredentialId(), fmt.Sprintf("afterwards %d", n)
		// The same text as before: not even for the same content a code works twice.
		again := hashes(credential, title, "afterwards")
		again.Items = r[0].create.GetItems()
		a, err := l.conn.Signing.CreateSigningOperation(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		id := a.GetOperation().GetId()
		for _, d := range []done{r[0], r[len(r)-1]} {
			if _, err := i.Authorize(id, d.authorize.GetCode()); reason(err) != "CODE_REJECTED" {
				t.Errorf("a code that was accepted for %s, tried on another operation: %v", d.signed.GetTitle(), err)
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("it did not come"))
		code, err := l.phone.code(ctx, title)
		cancel()
		if err == nil {
			_, err = i.Authorize(id, code)
		}
		if err != nil {
			t.Errorf("the right code after two wrong ones: %v", err)
		}
	}
}
