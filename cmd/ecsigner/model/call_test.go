package model_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/otp"
)

// call is one call of a client, or of the engine itself: what it does, and what the model says about it.
type call struct {
	kind, caller, target string
	request, body        string // the request id, and what it stands for
	code                 code
	run                  func(ctx context.Context, p *process) (any, error)
	// predict says what the call comes to if nothing happens from now on, by the state and the clock as they are. After a
	// call's own commit it says what the rest comes to.
	predict func(m *state, now time.Time, t *task) string
	// also says what else it may come to when something else happened meanwhile: a call looks more than once, and may meet
	// at one look what was so before another. It may be nil.
	also func(m *state, now time.Time, t *task) []string
	// commit holds a unit of work of the call against the model and applies it. It returns what is wrong with it.
	commit func(m *state, t *task, u *unit, events []audit.Event) string
	// answer holds a good answer against the model; it may be nil. It returns what is wrong with it.
	answer func(w *world, t *task) string
}

// code is what a caller gives as the code of a challenge.
type code struct {
	text string
	of   string // the challenge that it answers; empty: of none
}

func (c call) String() string {
	text := c.caller + ": " + c.kind
	if c.target != "" {
		text += " " + c.target
	}
	switch {
	case c.code.of != "":
		text += ", code of " + c.code.of
	case c.code.text != "":
		text += ", wrong code"
	}
	if c.request != "" {
		text += ", request " + c.request
	}
	return text
}

// request returns a new request id.
func (w *world) request() string {
	w.sequence++
	return fmt.Sprintf("request-%d-%d", len(w.house.keys), w.sequence)
}

// look notes what the model foresees for a task now. The caller holds w.mu.
func (w *world) look(t *task) {
	if t.ended {
		return
	}
	now := w.now()
	if len(t.times) == 0 || !t.times[len(t.times)-1].Equal(now) {
		t.times = append(t.times, now)
	}
	if w.device.away() {
		t.faults[deviceAway] = true
	}
	t.expected[t.predict(w.model, now, t)] = true
	if len(t.states) > 0 && t.also != nil {
		for _, label := range t.also(w.model, now, t) {
			t.expected[label] = true
		}
	}
	if w.highest.Sub(now) > 5*time.Second || w.model.latest.Sub(now) > 5*time.Second {
		t.faults[clockBehind] = true // enrolment decides nothing then, once it has seen the later time
	}
	t.states[w.model.stateOf(t.target)] = true
}

// lookAll notes it for all that are on their way. The caller holds w.mu.
func (w *world) lookAll() {
	for _, t := range w.tasks {
		w.look(t)
	}
}

func (s *state) stateOf(target string) string {
	if o, ok := s.operations[target]; ok {
		return string(o.state)
	}
	if e, ok := s.enrolments[target]; ok {
		return string(e.state)
	}
	return string(s.credentials[target].status)
}

// committed is told of each commit, in order. The caller holds w.mu.
func (w *world) committed(t *task, u *unit) {
	if w.furnishing {
		return
	}
	if u.empty() {
		return // it looked, and found that there is nothing to do
	}
	events := make([]audit.Event, len(u.commit.Entries))
	kinds := make([]string, len(events))
	for i, entry := range u.commit.Entries {
		at, e, err := audit.Decode(entry)
		if err != nil {
			w.fail("entry %d: %v", u.commit.First+int64(i), err)
			return
		}
		events[i], kinds[i] = e, audit.Kind(e)
		w.model.latest = later(w.model.latest, at)
	}
	text := strings.Join(kinds, " ")
	w.story = append(w.story, fmt.Sprintf("  #%d: commit %s", numberOf(t), text))
	if t == nil {
		w.fail("a commit %q that no call made", text)
		return
	}
	t.commits = append(t.commits, text)
	w.commits++
	if slices.Contains(kinds, "integrity.alarm") {
		w.fail("#%d %s: integrity alarm: %+v", t.number, t.call, events)
		return
	}
	if wrong := w.apply(t, u, events); wrong != "" {
		w.fail("#%d %s: commit %q: %s; foreseen was %v", t.number, t.call, text, wrong, labels(t.expected))
	}
	if t.phase == phaseOutdated {
		w.sharedByIssuing(tooOld)
	}
	w.lookAll()
}

// sharedByIssuing notes what those meet who wait for an issuing that somebody else does: it happens once for all of them.
// The caller holds w.mu.
func (w *world) sharedByIssuing(what string) {
	for _, t := range w.tasks {
		if waits := t.kind == "resume" || t.kind == "accept"; waits && !t.ended {
			t.faults[what] = true
		}
	}
}

func numberOf(t *task) int {
	if t == nil {
		return -1
	}
	return t.number
}

func labels(m map[string]bool) []string {
	var all []string
	for l := range m {
		all = append(all, l)
	}
	slices.Sort(all)
	return all
}

// apply has the call judge its commit, and what is the same for all: request ids and messages.
func (w *world) apply(t *task, u *unit, events []audit.Event) string {
	if wrong := t.commit(w.model, t, u, events); wrong != "" {
		return wrong
	}
	for _, r := range u.requests {
		key := [2]string{r.caller, r.id}
		if r.caller != t.caller || r.id != t.request {
			return fmt.Sprintf("answers request %v", key)
		}
		if _, known := w.model.requests[key]; known {
			return fmt.Sprintf("answers request %v again", key)
		}
		w.model.requests[key] = request{t.body, r.result}
	}
	for _, m := range u.messages {
		w.model.outbox[m.ID] = message{string(m.Kind), m.Subject, m.Challenge}
	}
	return ""
}

// faultless are the refusals after which nothing at all may have been recorded.
func faultless() []string {
	return []string{notFound, reused, noCredential, outOfOrder, tooMany, locked, input, inProgress, revoked, expired, clockBehind, notYet, otherAgreement, resent, noConsent, different}
}

// shared tells whether an issuing may end like another that was on the way in the same process: one process issues for an
// enrolment once at a time, and who comes second waits for what the first comes to.
func (w *world) shared(t *task, label string) bool {
	issues := func(t *task) bool { return t.kind == "resume" || t.kind == "accept" }
	return issues(t) && slices.ContainsFunc(w.tasks, func(other *task) bool {
		return other != t && other.process == t.process && issues(other) && other.faults[label]
	})
}

// answered is told when a call has got its answer. The caller holds w.mu.
func (w *world) answered(t *task) {
	label := labelOf(t.err)
	w.story = append(w.story, fmt.Sprintf("  #%d: %s", t.number, label))
	if !t.expected[label] && !t.faults[label] && !w.shared(t, label) {
		w.fail("#%d %s: answered %q (%v); foreseen was %v, faults %v", t.number, t.call, label, t.err, labels(t.expected), labels(t.faults))
		return
	}
	if slices.Contains(faultless(), label) && len(t.commits) > 0 && t.caller != "engine" {
		w.fail("#%d %s: refused with %q, but recorded %q", t.number, t.call, label, t.commits)
	}
	if strings.HasPrefix(label, "code ") && (len(t.commits) != 1 || !strings.HasPrefix(t.commits[0], "code.refused")) {
		w.fail("#%d %s: refused with %q, and recorded %q", t.number, t.call, label, t.commits)
	}
	if label == ok && t.answer != nil {
		if wrong := t.answer(w, t); wrong != "" {
			w.fail("#%d %s: %s", t.number, t.call, wrong)
		}
	}
}

// some reports whether what was said holds at one of the times that the clock showed during the call.
func (t *task) some(holds func(now time.Time) bool) bool { return slices.ContainsFunc(t.times, holds) }

// asked is what the model says about a request id: known and used for the same, or for something else.
func (s *state) asked(t *task) (r request, known, same bool) {
	r, known = s.requests[[2]string{t.caller, t.request}]
	return r, known, r.body == t.body
}

// try is what one try of a challenge comes to.
func (s *state) try(id string, match bool, now time.Time) string {
	c := s.challenges[id]
	switch {
	case c.spent:
		return "spent"
	case c.voided:
		return "voided"
	case !now.Before(c.expires):
		return "expired"
	case s.isLocked(c.account, c.caller):
		return "locked"
	case c.attempts >= limits().Tries:
		return "exhausted"
	case match:
		return "accepted"
	}
	return "rejected"
}

func (s *state) isLocked(account, caller string) bool {
	return s.locks[[2]string{account, ""}].locked || s.locks[[2]string{account, caller}].locked
}

// refusal holds the commit of a refused code against the model and applies it.
func (s *state) refusal(t *task, u *unit, events []audit.Event, id string) string {
	e, is := events[0].(audit.CodeRefused)
	if !is || !t.expected["code "+e.Result] {
		return "this was not to be refused so"
	}
	c := s.challenges[id]
	if e.Challenge != id || e.Caller != t.caller || e.Subject != t.target {
		return "another code was refused"
	}
	if e.Result != "rejected" {
		if e.Attempt != 0 || len(events) != 1 || len(u.challenges)+len(u.locks) != 0 {
			return "more than the refusal was recorded"
		}
		return ""
	}
	if c.attempts++; int(e.Attempt) != c.attempts || c.attempts > limits().Tries || c.spent || c.voided {
		return fmt.Sprintf("attempt %d was counted as %d", c.attempts, e.Attempt)
	}
	s.challenges[id] = c
	var scopes string
	for _, k := range []struct {
		caller, scope string
		limit         int
		window        time.Duration
	}{{c.caller, "caller", limits().CallerLock, 0}, {"", "account", limits().AccountLock, limits().AccountWindow}} {
		key := [2]string{c.account, k.caller}
		l := s.locks[key]
		written := slices.IndexFunc(u.locks, func(w otp.Lock) bool { return w.Account == key[0] && w.Caller == key[1] })
		if written < 0 {
			return "a failure was not counted"
		}
		l.failures++
		if since := u.locks[written].Since; !since.Equal(l.since) { // a window begins, if it may
			if !t.some(since.Equal) || !l.since.IsZero() && (k.window == 0 || since.Sub(l.since) < k.window) {
				return "failures are forgotten"
			}
			l.since, l.failures = since, 1
		}
		if l.failures >= k.limit {
			l.locked, scopes = true, k.scope
		}
		s.locks[key] = l
	}
	if scopes == "" && len(events) == 1 {
		return ""
	}
	if len(events) == 2 {
		if e, is := events[1].(audit.CodeLocked); is && e.Scope == scopes && e.Credential == c.account && e.Caller == c.caller {
			return ""
		}
	}
	return fmt.Sprintf("this was to lock %q", scopes)
}

// acceptance holds the spending of a code against the model and applies it.
func (s *state) acceptance(t *task, e audit.CodeAccepted, id string) string {
	c := s.challenges[id]
	if e.Challenge != id || t.code.of != id || e.Caller != t.caller || e.Subject != t.target || c.subject != t.target {
		return "another code was accepted"
	}
	if c.spent || c.voided || c.attempts >= limits().Tries || s.isLocked(c.account, c.caller) || !t.some(c.expires.After) {
		return fmt.Sprintf("this code was not to be accepted: %+v", c)
	}
	c.attempts, c.spent = c.attempts+1, true
	if int(e.Attempt) != c.attempts {
		return fmt.Sprintf("attempt %d was counted as %d", c.attempts, e.Attempt)
	}
	s.challenges[id] = c
	if key := [2]string{c.account, c.caller}; s.locks[key].failures > 0 {
		s.locks[key] = lock{}
	}
	return ""
}

// turn says what asking for a code comes to: whether the present one is sent again, or a new one is due.
func (s *state) turn(previous, account, caller string, fresh bool, now time.Time) (label string, again bool) {
	c := s.challenges[previous]
	switch {
	case s.isLocked(account, caller):
		return locked, false
	case previous == "":
		return ok, false
	case !fresh && !c.spent && !c.voided && now.Before(c.expires) && c.attempts < limits().Tries:
		if c.sent > limits().Resends {
			return resent, false
		}
		return ok, true
	case c.number >= limits().Codes:
		return tooMany, false
	}
	return ok, false
}

// sent applies that a code goes out, and returns the challenge that is the subject's current one now.
func (s *state) sent(t *task, u *unit, event audit.Event, previous, account, purpose string, fresh bool) (current, wrong string) {
	switch e := event.(type) {
	case audit.CodeResent:
		c := s.challenges[previous]
		if !t.some(func(now time.Time) bool {
			label, again := s.turn(previous, account, t.caller, fresh, now)
			return label == ok && again
		}) {
			return previous, "the code was not to be sent again"
		}
		c.sent++
		s.challenges[previous] = c
		if e.Challenge != previous || int(e.Sent) != c.sent || e.Subject != t.target || e.Purpose != purpose || e.Caller != t.caller || len(u.messages) != 1 ||
			u.messages[0].Challenge != previous || string(u.messages[0].Kind) != purpose || u.messages[0].Subject != t.target {
			return previous, fmt.Sprintf("something else was sent again: %+v, %+v", e, u.messages)
		}
		return previous, ""
	case audit.CodeRequested:
		if !t.some(func(now time.Time) bool {
			label, again := s.turn(previous, account, t.caller, fresh, now)
			return label == ok && !again
		}) {
			return previous, "no new code was to be sent"
		}
		if e.Subject != t.target || e.Purpose != purpose || e.Caller != t.caller {
			return previous, fmt.Sprintf("another code was sent: %+v", e)
		}
		return e.Challenge, s.newChallenge(t, u, e, previous, account, purpose, purpose)
	}
	return previous, "not what sends a code"
}

// newChallenge applies that a code is sent for a subject whose current challenge was another.
func (s *state) newChallenge(t *task, u *unit, e audit.CodeRequested, previous, account, purpose, kind string) string {
	number := 1
	if previous != "" {
		c := s.challenges[previous]
		number = c.number + 1
		c.voided = true
		s.challenges[previous] = c
	}
	if s.isLocked(account, t.caller) || number > limits().Codes {
		return "no code was to be sent"
	}
	made := u.challenges[len(u.challenges)-1]
	if string(made.ID) != e.Challenge || s.challenges[e.Challenge].subject != "" {
		return "the challenge is not new"
	}
	if !t.some(func(now time.Time) bool { return now.Add(limits().Life).Equal(made.Expires) }) {
		return "the code lives too long"
	}
	s.challenges[e.Challenge] = challenge{
		subject: t.target, account: account, caller: t.caller, purpose: purpose, number: number, sent: 1, expires: made.Expires,
	}
	if len(u.messages) != 1 || u.messages[0].Challenge != e.Challenge || string(u.messages[0].Kind) != kind || u.messages[0].Subject != t.target {
		return fmt.Sprintf("messages %+v", u.messages)
	}
	return ""
}
