package model_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

var wanted = flag.Int("histories", 0, "how many histories; 0: 10,000, and 500 under the race detector")

func leaf(entry []byte) tlog.Hash { return tlog.RecordHash(entry) }

// TestHistories runs random histories, each on an installation of its own, and counts them. They are the same ones every
// time, so that a change is judged by itself; -rapid.seed leads to others.
func TestHistories(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // a history leaves much behind, and little is kept
	n := cmp.Or(*wanted, defaultHistories)
	workers := min(runtime.GOMAXPROCS(0), n)
	each := (n + workers - 1) / workers
	if err := flag.Set("rapid.checks", fmt.Sprint(each)); err != nil {
		t.Fatal(err)
	}
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // the seed and the story that is printed are enough
		t.Fatal(err)
	}
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		if err := seed.Value.Set("1"); err != nil {
			t.Fatal(err)
		}
	}
	var done, commits, calls atomic.Int64
	seen := &tally{count: map[string]int{}}
	began := time.Now()
	t.Run("all", func(t *testing.T) {
		for worker := range workers {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				dir := must(scratch())
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				h := newHouse(t, filepath.Join(dir, "house"))
				number := 0
				rapid.Check(t, func(r *rapid.T) {
					number++
					for range worker { // which has other histories than those before it, from the same seed
						rapid.Uint64().Draw(r, "not used")
					}
					plan := plans().Draw(r, "plan")
					w := h.live(t, filepath.Join(dir, fmt.Sprint(number)), plan)
					for _, line := range w.story {
						r.Log(line)
					}
					if w.failure != "" {
						r.Fatal(w.failure)
					}
					done.Add(1)
					commits.Add(int64(w.commits))
					calls.Add(int64(len(w.tasks)))
					seen.history(w)
				})
			})
		}
	})
	t.Logf("seen:\n%s", seen)
	t.Logf("%d histories with %d calls and %d commits in %v", done.Load(), calls.Load(), commits.Load(), time.Since(began).Round(time.Second))
	for _, what := range common() {
		if n >= 5000 && !t.Failed() && seen.count[what] == 0 {
			t.Errorf("none of %d histories came to %q", n, what)
		}
	}
	if !t.Failed() && done.Load() < int64(n) {
		t.Errorf("only %d histories of %d were run", done.Load(), n)
	}
}

// live runs one history.
func (h *house) live(t *testing.T, dir string, plan []command) (w *world) {
	defer func() { _ = os.RemoveAll(dir) }()
	synctest.Test(t, func(*testing.T) {
		w = must(h.world(dir))
		w.crashes = len(plan)
		defer w.leave()
		w.boot()
		for _, c := range plan {
			w.do(c)
		}
		w.settle()
		w.hold()
	})
	return w
}

// leave ends a history, also one that failed half way.
func (w *world) leave() {
	if r := recover(); r != nil {
		if _, is := r.(stopped); !is {
			panic(r)
		}
	}
	if w.process != nil {
		func() {
			defer func() { _ = recover() }() // the first fault counts
			w.crash()
		}()
	}
	w.close()
}

// command is one step of a plan. What its numbers, 0 to 15, mean depends on what there is when it is done.
type command struct {
	Do      string
	A, B, C int
	How     int // a call goes on: to its end, for some places, or up to a fault
}

// plots say how often each kind of command comes in which kind of history.
func plots() []map[string]int {
	common := map[string]int{
		"deliver": 2, "again": 3, "twice": 4, "step": 8, "fault": 4, "crash": 2, "pass": 3, "back": 1, "away": 1, "return": 2, "finish": 3,
	}
	signing := map[string]int{
		"create": 6, "authorize": 12, "interrupt": 4, "late": 2, "race": 6, "resume": 6, "code": 2, "get": 1, "cancel": 1, "sweep": 1, "grant": 1, "withdraw": 1, "revoke": 1, "revokecode": 2, "demand": 2, "unlock": 1,
	}
	issuing := map[string]int{
		"advance": 26, "overtake": 6, "stall": 3, "misstep": 4, "redeem": 1, "complete": 1, "overdue": 1, "create": 2, "authorize": 2, "resume": 1, "revoke": 1,
	}
	plot := func(own map[string]int) map[string]int {
		all := maps.Clone(common)
		maps.Copy(all, own)
		return all
	}
	all := make([]map[string]int, 16)
	for k := range all {
		all[k] = plot(signing)
		if k%5 == 1 {
			all[k] = plot(issuing)
		}
	}
	return all
}

// uniform draws a number below n, a power of two, without rapid's bias for small ones.
func uniform(r *rapid.T, n int) int {
	x := 0
	for bit := 1; bit < n; bit <<= 1 {
		if rapid.Bool().Draw(r, "bit") {
			x |= bit
		}
	}
	return x
}

// plans draws what happens in a history.
func plans() *rapid.Generator[[]command] {
	of := func(plot map[string]int) *rapid.Generator[[]command] {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(plot)) {
			for range plot[name] {
				names = append(names, name)
			}
		}
		one := rapid.Custom(func(r *rapid.T) command {
			return command{names[uniform(r, 1024)%len(names)], uniform(r, 16), uniform(r, 16), uniform(r, 16), uniform(r, 16)}
		})
		// Lists of lists: rapid draws some six items a list, and shrinks by leaving items out.
		return rapid.Map(rapid.SliceOfN(rapid.SliceOfN(one, 1, 8), 1, 8), func(l [][]command) []command { return slices.Concat(l...) })
	}
	var all []*rapid.Generator[[]command]
	for _, plot := range plots() {
		all = append(all, of(plot))
	}
	return rapid.Custom(func(r *rapid.T) []command { return all[uniform(r, len(all))].Draw(r, "commands") })
}

func pick[T any](list []T, n int) T { return list[n%len(list)] }

// do does one command; one that has no meaning now does nothing.
func (w *world) do(c command) {
	if w.process == nil {
		w.device.back() // a process does not start without it
		w.boot()
	}
	actions()[c.Do](w, c)
	w.check()
}

// actions are the commands.
func actions() map[string]func(w *world, c command) {
	return map[string]func(w *world, c command){
		"create": func(w *world, c command) {
			id := w.credential(c.A)
			client := pick(clients(), c.B)
			if granted := strings.Fields(w.model.credentials[id].grants); len(granted) > 0 && c.B < 14 {
				client = pick(granted, c.B)
			}
			w.call(c, w.create(client, id, w.request(), fmt.Sprintf("title %d", c.C%3), 1+c.C%3))
		},
		"authorize": func(w *world, c command) {
			if id, o, is := w.operation(c.A); is {
				client := o.caller
				if c.C == 15 {
					client = docs2
				}
				w.call(c, w.authorize(client, id, w.code(id, o.challenge, c.B)))
			}
		},
		"resume": func(w *world, c command) { // the caller of an interrupted signature insists
			if id, o, is := w.operation(c.A); is && o.state == signer.StateSigning {
				if c.B < 12 && w.now().Before(o.lease) {
					w.pass(o.lease.Sub(w.now()))
				}
				w.call(c, w.authorize(o.caller, id, code{}))
			}
		},
		"interrupt": func(w *world, c command) { // something happens to a signature between its activation and its record
			if id, o, is := w.operation(c.A); is && o.state == signer.StateRequested {
				t := w.begin(w.authorize(o.caller, id, w.code(id, o.challenge, 0)))
				for t.where != "" && t.phase == "" {
					w.step(t, proceed)
				}
				for range c.C % 8 {
					w.step(t, proceed)
				}
				w.step(t, fault(c.B))
			}
		},
		"late": func(w *world, c command) { // the code comes in the last seconds of an operation, and the sweeper after them
			id, o, is := w.operation(c.A)
			if !is || o.state != signer.StateRequested || w.now().After(o.expires) {
				return
			}
			w.pass(o.expires.Sub(w.now()) - 3*time.Second)
			w.finish(w.begin(w.sendCode(o.caller, id, w.request(), true)))
			t := w.begin(w.authorize(o.caller, id, w.code(id, w.model.operations[id].challenge, c.B)))
			for range 6 + c.C {
				w.step(t, proceed)
			}
			w.pass(pick([]time.Duration{5 * time.Second, leaseLife, 2 * time.Minute, 3 * time.Minute}, c.How))
			w.finish(w.begin(w.sweep()))
		},
		"twice": func(w *world, c command) { // the same request again, while the first one is on its way
			before := len(w.tasks)
			first := c
			first.How, first.B = 10, c.B%10
			if c.How%2 == 0 {
				actions()["advance"](w, first)
			} else {
				actions()[pick([]string{"create", "code", "cancel", "revokecode", "demand", "unlock", "grant", "revoke"}, c.C)](w, first)
			}
			for _, t := range slices.Clone(w.tasks[before:]) {
				for range 1 + c.C/2 {
					w.step(t, proceed)
				}
				w.finish(w.begin(t.call))
			}
		},
		"race": func(w *world, c command) { // two calls about the same thing, one of which stops on the way
			id, o, is := w.operation(c.A)
			if !is {
				return
			}
			var slow *task
			switch c.How % 4 {
			case 0:
				slow = w.begin(w.create(o.caller, o.credential, w.request(), "race", 1))
			case 1:
				slow = w.begin(w.sendCode(o.caller, id, w.request(), c.C%2 == 0))
			default:
				slow = w.begin(w.authorize(o.caller, id, w.code(id, o.challenge, c.A)))
			}
			for range c.C {
				w.step(slow, proceed)
			}
			if quick := w.rival(id, o, c.B); c.How < 12 {
				w.finish(w.begin(quick))
			} else {
				w.step(w.begin(quick), proceed)
			}
		},
		"code": func(w *world, c command) {
			if id, o, is := w.operation(c.A); is {
				w.call(c, w.sendCode(o.caller, id, w.request(), c.B < 8))
			}
		},
		"get": func(w *world, c command) {
			if id, _, is := w.operation(c.A); is {
				w.call(c, w.get(pick(clients(), c.B), id))
			}
		},
		"cancel": func(w *world, c command) {
			if id, o, is := w.operation(c.A); is {
				w.call(c, w.cancel(o.caller, id, w.request()))
			}
		},
		"sweep":    func(w *world, c command) { w.call(c, w.sweep()) },
		"deliver":  func(w *world, c command) { w.call(c, w.deliver()) },
		"grant":    func(w *world, c command) { w.call(c, w.grant(w.credential(c.A), pick(clients(), c.B), w.request())) },
		"withdraw": func(w *world, c command) { w.call(c, w.withdraw(w.credential(c.A), pick(clients(), c.B), w.request())) },
		"revoke": func(w *world, c command) {
			if c.B < 8 {
				w.call(c, w.revoke(w.credential(c.A), w.request()))
			}
		},
		"revokecode": func(w *world, c command) {
			w.call(c, w.revocationCode(pick([]string{portal, portal, portal, portal2}, c.B), w.credential(c.A), w.request(), c.C == 0))
		},
		"demand": func(w *world, c command) {
			id := w.credential(c.A)
			given := w.code(id, w.model.credentials[id].code, c.B)
			w.call(c, w.revokeByCode(portal, id, w.request(), given))
		},
		"unlock": func(w *world, c command) {
			w.call(c, w.unlock(w.credential(c.A), pick(append(clients(), ""), c.B), w.request()))
		},
		"stall": func(w *world, c command) { // the device goes away behind the acceptance, perhaps for longer than a proof lasts
			id := w.enrolment(c.A)
			e := w.model.enrolments[id]
			if e.state != enrol.StateProven || !e.shown || e.challenge == "" {
				w.advance(c, true)
				return
			}
			t := w.begin(w.accept(e.caller, id, w.request(), e.agreement, w.code(id, e.challenge, 0)))
			for t.where != "" && t.phase == "" {
				w.step(t, proceed)
			}
			for range c.C {
				w.step(t, proceed)
			}
			w.device.leave()
			w.finish(t)
			w.pass(pick([]time.Duration{time.Minute, 11 * 24 * time.Hour, 24 * time.Hour, 11 * 24 * time.Hour}, c.How))
			w.device.back()
			w.call(c, w.resume())
		},
		"overtake": func(w *world, c command) { // a step stops on the way, and another is quicker
			first := c
			first.How, first.B = 10, c.B%12
			before := len(w.tasks)
			w.advance(first, true)
			if len(w.tasks) > before {
				for t := range slices.Values(w.tasks[before:]) {
					for range c.C {
						w.step(t, proceed)
					}
				}
			}
			second := c
			second.A, second.C, second.How = 0, c.How, 0
			w.advance(second, c.B < 4)
		},
		"advance": func(w *world, c command) { w.advance(c, c.B < 13) },
		"misstep": func(w *world, c command) { w.advance(c, false) },
		"redeem": func(w *world, c command) {
			w.call(c, w.redeem(pick([]string{portal, portal, portal2}, c.A), w.request(), pick(slices.Sorted(maps.Keys(w.model.vouchers)), c.B)))
		},
		"complete": func(w *world, c command) { w.call(c, w.resume()) },
		"overdue":  func(w *world, c command) { w.call(c, w.endOverdue()) },
		"again":    func(w *world, c command) { w.again(c) },
		"step": func(w *world, c command) {
			if t, is := w.parked(c.A); is {
				for range 1 + c.B {
					w.step(t, proceed)
				}
			}
		},
		"finish": func(w *world, c command) {
			if t, is := w.parked(c.A); is {
				w.finish(t)
			}
		},
		"fault": func(w *world, c command) {
			if t, is := w.parked(c.A); is {
				w.step(t, fault(c.B))
			}
		},
		"crash":  func(w *world, _ command) { w.crash() },
		"away":   func(w *world, _ command) { w.device.leave() },
		"return": func(w *world, _ command) { w.device.back() },
		"pass":   func(w *world, c command) { w.pass(pick(steps(), c.A)) },
		"back": func(w *world, c command) {
			w.pass(-pick([]time.Duration{time.Microsecond, time.Second, 4 * time.Second, 6 * time.Second, time.Minute}, c.A))
		},
	}
}

// steps of the clock: about the lives of leases, activations, codes, operations, enrolments.
func steps() []time.Duration {
	return []time.Duration{
		time.Second, leaseLife, leaseLife + time.Second, 2*time.Minute + time.Second, 5 * time.Minute, 5*time.Minute - time.Second,
		operationLife, 20 * time.Minute, 24 * time.Hour, 10 * time.Microsecond, leaseLife, 6 * 24 * time.Hour, 11 * 24 * time.Hour, 31 * 24 * time.Hour,
	}
}

func clients() []string { return []string{docs, docs, docs2} }

// call starts a call. Half of them run through at once, the others stop on the way; some then meet a fault.
func (w *world) call(c command, made call) {
	t := w.begin(made)
	switch {
	case c.How < 8:
		w.finish(t)
	case c.How < 11:
	default:
		for range 2 * c.C {
			w.step(t, proceed)
		}
		if c.How > 12 {
			w.step(t, fault(c.B))
		}
	}
}

func fault(n int) verdict { return pick([]verdict{die, die, refuse, lose, vanish, rehearsed}, n) }

// rival is another call about an operation.
func (w *world) rival(id string, o operation, n int) call {
	request := w.request()
	switch n / 2 {
	case 0:
		return w.revoke(o.credential, request)
	case 1:
		return w.withdraw(o.credential, o.caller, request)
	case 2:
		return w.cancel(o.caller, id, request)
	case 3:
		return w.sendCode(o.caller, id, request, true)
	case 4:
		return w.authorize(o.caller, id, w.code(id, o.challenge, 15))
	case 5:
		w.pass(operationLife + signer.ActivationLife + leaseLife)
		return w.sweep()
	}
	return w.authorize(o.caller, id, w.code(id, o.challenge, 0))
}

// advance does the next step of an enrolment, or any other step.
func (w *world) advance(c command, right bool) {
	id := w.enrolment(c.A)
	e := w.model.enrolments[id]
	n := map[enrol.State]int{
		enrol.StateCreated: 0, enrol.StateParameters: 1, enrol.StateData: 3, enrol.StatePhone: 4, enrol.StateProofing: 5,
		enrol.StateDeferred: 5, enrol.StateProven: 7, enrol.StateIssuing: 8, enrol.StateIssued: 9, enrol.StateReview: 12,
	}[e.state]
	given := w.code(id, e.challenge, c.B)
	if given.text == "" {
		given.text = "12345"
	}
	if current := w.model.challenges[e.challenge]; (n == 3 || n == 7) && (e.challenge == "" || current.voided || !w.now().Before(current.expires)) {
		n-- // first the code
	}
	if e.state == enrol.StateProven && !e.shown && c.B != 12 {
		n = 13
	}
	if !right {
		n = c.C % 14
	}
	caller := e.caller
	if !right && c.B == 15 {
		caller = portal2
	}
	for k, step := range []func(requestID string) call{
		func(r string) call { return w.parameters(caller, id, r) },
		func(r string) call { return w.data(caller, id, r, 20+c.C) },
		func(r string) call { return w.enrolmentCode(caller, id, r, false, c.C == 0) },
		func(r string) call { return w.confirm(caller, id, r, given) },
		func(r string) call { return w.prove(caller, id, r) },
		func(r string) call {
			outcome := isPositive
			if c.C > 8 {
				outcome = pick([]int{isNegative, isDifferent, isDeferred, isDifferent, isDeferred, isDifferent, isDeferred}, c.C)
			}
			who := e.person
			if c.A == 15 {
				who++
			}
			return w.report(id, r, e.reference, who, outcome, w.now().Add(-time.Minute*time.Duration(max(0, c.B-11))))
		},
		func(r string) call { return w.enrolmentCode(caller, id, r, true, c.C == 0) },
		func(r string) call {
			agreement := e.agreement
			if c.C == 15 {
				agreement = "another"
			}
			return w.accept(caller, id, r, agreement, given)
		},
		func(string) call { return w.resume() },
		func(r string) call { return w.grant(e.credential, docs, r) },
		func(r string) call { return w.giveUp(caller, id, r) },
		func(r string) call { return w.unlock(id, pick([]string{"", portal}, c.B), r) },
		func(r string) call {
			return w.acceptProven(caller, id, r, map[bool]string{true: e.report, false: "another"}[c.C != 14])
		},
		func(string) call { return w.fetch(caller, id) },
	} {
		if k == n {
			w.call(c, step(w.request()))
		}
	}
}

// enrolment is one of the enrolments that are not finished; mostly the one that was advanced last.
func (w *world) enrolment(n int) string {
	ids := slices.Sorted(maps.Keys(w.model.enrolments))
	if n < 8 {
		for _, t := range slices.Backward(w.tasks) {
			if e, is := w.model.enrolments[t.target]; is && e.state != enrol.StateCancelled && e.state != enrol.StateRejected {
				return t.target
			}
		}
	}
	open := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return w.model.enrolments[id].state == enrol.StateIssued })
	return pick(append(open, ids...), n)
}

// again repeats an earlier call: with the same request id, as after a lost answer.
func (w *world) again(c command) {
	if len(w.tasks) > 0 {
		former := pick(w.tasks, c.A).call
		w.call(c, former)
	}
}

// pass moves the clock.
func (w *world) pass(d time.Duration) {
	w.note("the clock moves by %v", d)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tasks {
		t.alone = t.alone && t.ended
	}
	w.timing.Lock()
	w.clock = w.clock.Add(d)
	w.highest = later(w.highest, w.clock)
	w.setBack = w.setBack || w.model.latest.Sub(w.clock) > 5*time.Second
	w.timing.Unlock()
	w.lookAll()
}

// parked is one of the calls that wait.
func (w *world) parked(n int) (*task, bool) {
	var waiting []*task
	for _, t := range w.tasks {
		if t.where != "" {
			waiting = append(waiting, t)
		}
	}
	if len(waiting) == 0 {
		return nil, false
	}
	return pick(waiting, n), true
}

func (w *world) credential(n int) string {
	return pick(slices.Sorted(maps.Keys(w.model.credentials)), n)
}

// operation is one of the operations in the model, the newest for 0.
func (w *world) operation(n int) (string, operation, bool) {
	var ids []string
	for _, t := range slices.Backward(w.tasks) {
		if _, is := w.model.operations[t.target]; is && !slices.Contains(ids, t.target) {
			ids = append(ids, t.target)
		}
	}
	if len(ids) == 0 {
		return "", operation{}, false
	}
	id := pick(ids, n/5)
	return id, w.model.operations[id], true
}

// code is what a caller gives for a challenge: mostly the right one, a wrong one, none, or that of another challenge.
func (w *world) code(subject, current string, n int) code {
	switch {
	case n < 10 && current != "":
		return code{must(readCode(w.process, current)), current}
	case n == 10:
		return code{}
	case n == 11:
		for _, id := range slices.Sorted(maps.Keys(w.model.challenges)) {
			if id != current && w.model.challenges[id].subject == subject {
				return code{must(readCode(w.process, id)), id}
			}
		}
	}
	return code{text: "000000000"}
}

// common are things that thousands of histories come to; a test that no longer reaches them proves nothing.
func common() []string {
	return []string{
		"authorize: activation expired", "authorize: clock is behind", "authorize: code exhausted", "authorize: code expired",
		"authorize: code locked", "authorize: code rejected", "authorize: credential cannot be used", "authorize: device",
		"authorize: in progress", "authorize: lost", "authorize: not found", "authorize: not in this state", "authorize: store",
		"authorize: unknown", "authorize: withheld", "authorize: wrong input", "accept: device", "accept: lost", "accept: another agreement",
		"commit code.accepted signing.activated", "commit signing.resumed", "commit signing.signed notice.sent", "commit signing.withheld",
		"commit signing.closed", "commit code.refused code.locked", "commit code.resent", "commit certificate.revoked binding.changed key.destroyed notice.sent",
		"commit enrolment.created enrolment.changed", "commit voucher.refused", "commit identity.started enrolment.changed",
		"commit identity.reported agreement.prepared enrolment.changed", "commit identity.reported enrolment.changed notice.sent",
		"commit identity.reported enrolment.changed enrolment.closed", "commit enrolment.changed enrolment.closed notice.sent",
		"commit code.accepted phone.confirmed enrolment.changed", "commit code.accepted agreement.accepted consents.given enrolment.changed",
		"commit agreement.sealed", "commit key.generated certificate.intended enrolment.changed",
		"commit certificate.issued binding.changed enrolment.changed notice.sent",
	}
}

// tally counts what histories came to.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (s *tally) history(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range w.tasks {
		kind, _, _ := strings.Cut(t.kind, " ")
		if t.lost {
			s.count[kind+": lost"]++
		} else {
			s.count[kind+": "+labelOf(t.err)]++
		}
		for _, c := range t.commits {
			s.count["commit "+c]++
		}
	}
}

func (s *tally) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(s.count)) {
		fmt.Fprintf(&b, "%7d %s\n", s.count[k], k)
	}
	return b.String()
}
