package enrol_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/enrol"
)

var errCrash = errors.New("the process died")

// crash makes every call from the n-th on fail, as if the process had died there. With lost, the n-th call had its
// effect before. It returns the name of the call that was hit, "" while there was none.
func (w *world) crash(n int, lost bool) (hit func() string) {
	var mu sync.Mutex
	calls, name := 0, ""
	fault := func(op string) (before, after error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		switch {
		case calls < n:
			return nil, nil
		case calls == n:
			name = op
			if lost {
				return nil, errCrash
			}
		}
		return errCrash, nil
	}
	w.store.fault, w.device.fault = fault, fault
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return name
	}
}

func (w *world) repair() { w.store.fault, w.device.fault = nil, nil }

// A crash at every call of store, device, CA and seal, before and after its effect: Resume completes the issuing, the
// person is not asked again, and there is one key, one certificate, one credential, one notice.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	restore := w.snapshot()
	for _, lost := range []bool{false, true} {
		for n := 1; ; n++ {
			restore()
			hit := w.crash(n, lost)
			_, err := p.accept(code)
			w.repair()
			w.start()
			if hit() == "" {
				w.must(err)
				if n < 10 {
					t.Fatalf("only %d calls", n-1)
				}
				break
			}
			name := fmt.Sprintf("crash at call %d (%s, lost %v)", n, hit(), lost)
			now, err := w.Get(ctx, portal, p.id)
			w.must(err)
			switch now.State {
			case enrol.StateProven: // nothing happened: the code was not spent
				_, err = p.accept(code)
			default:
				_, err = w.Resume(ctx)
			}
			w.must(err)
			now, err = w.Get(ctx, portal, p.id)
			w.must(err)
			if now.State != enrol.StateIssued {
				t.Fatalf("%s: %s", name, now.State)
			}
			if c := w.store.data.certificates[now.Serial]; c.State != ca.Issued || c.RequestID != p.id || len(w.store.data.certificates) != 1 {
				t.Errorf("%s: certificate %s for %s", name, c.State, c.RequestID)
			}
			if _, err := w.Credential(ctx, now.Credential, ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, kind := range []string{
				"key.generated", "certificate.intended", "certificate.issued", "agreement.accepted", "agreement.sealed", "notice.sent",
			} {
				if got := w.store.count(kind); got != 1 {
					t.Errorf("%s: %d × %s", name, got, kind)
				}
			}
		}
	}
}

func TestConcurrentResumesIssueOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	w.crash(8, false)
	_, _ = p.accept(code)
	w.repair()
	if v, err := w.Get(ctx, portal, p.id); err != nil || v.State != enrol.StateIssuing {
		t.Fatalf("%v, %v", v.State, err)
	}
	other, err := enrol.New(w.config) // another process on the same store
	w.must(err)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s := w.Service
			if i%2 == 0 {
				s = other
			}
			if _, err := s.Resume(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p.got(w.Get(ctx, portal, p.id))
	if p.view.State != enrol.StateIssued || len(w.store.data.certificates) != 1 || len(w.store.data.credentials) != 1 ||
		w.store.count("key.generated") != 1 || w.store.count("certificate.issued") != 1 || w.store.count("agreement.sealed") != 1 {
		t.Errorf("%s, %d certificates, %d credentials", p.view.State, len(w.store.data.certificates), len(w.store.data.credentials))
	}
	if n, err := w.Resume(ctx); n != 0 || err != nil {
		t.Errorf("nothing is left: %d, %v", n, err)
	}
}

// The device is away: the person's acceptance stands, the operator is told, and it is completed later.
func TestDeviceAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	restore := w.snapshot()
	for _, name := range []string{"generate", "issuing", "seal"} {
		restore()
		w.device.fault = func(op string) (before, after error) {
			if op == name {
				return errors.New("the device is away"), nil
			}
			return nil, nil
		}
		request := w.request()
		v, err := w.AcceptAgreement(ctx, portal, p.id, request, p.acceptance(code))
		if err != nil || v.State != enrol.StateIssuing || v.NextAction != enrol.ActionAwaitCredential || len(w.alarmed()) != 1 {
			t.Errorf("%s: %v, %v, %v", name, v.State, err, w.alarmed())
		}
		if _, err := w.Cancel(ctx, portal, p.id, w.request()); !errors.Is(err, enrol.ErrState) {
			t.Errorf("%s: an accepted agreement was cancelled: %v", name, err)
		}
		w.repair()
		v, err = w.AcceptAgreement(ctx, portal, p.id, request, p.acceptance("000000"))
		if err != nil || v.State != enrol.StateIssued {
			t.Errorf("%s: the same request again: %v, %v", name, v.State, err)
		}
	}
}

// The caller hangs up: what was accepted is issued all the same.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	ctx, cancel := context.WithCancel(context.Background())
	w.device.fault = func(op string) (before, after error) {
		if op == "seal" {
			cancel()
		}
		return nil, nil
	}
	v, err := w.AcceptAgreement(ctx, portal, p.id, w.request(), p.acceptance(code))
	if err != nil || v.State != enrol.StateIssued {
		t.Errorf("%v, %v", v.State, err)
	}
}

// Steps are numbered from 1 without a gap, and each but none besides has its failpoint.
func TestStepsAreNumbered(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("issue.go")
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(pattern string) []int {
		var list []int
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(source, -1) {
			n, err := strconv.Atoi(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, n)
		}
		return list
	}
	steps, points := numbers(`(?m)^\s*// step (\d+):`), numbers(`failpoint\("issue", (\d+)\)`)
	if len(steps) < 5 || fmt.Sprint(steps) != fmt.Sprint(points) {
		t.Errorf("steps %v, failpoints %v", steps, points)
	}
	for i, n := range steps {
		if n != i+1 {
			t.Errorf("step %d stands at place %d", n, i+1)
		}
	}
}
