package tiles

import "github.com/ecsigner/ecsigner/audit"

type challengeStory struct {
	subject, purpose, caller string
	account                  string // whom failures lock
	attempts                 uint64
	accepted                 bool
}

// codeRequested makes a challenge the only one of its subject and purpose.
func (r *rules) codeRequested(e audit.CodeRequested) {
	if how := r.endOf(e.Subject); how != 0 {
		r.must(false, "a code was requested for %s after it was %s", e.Subject, how)
		return
	}
	if c := r.challenges[e.Challenge]; c != nil {
		r.must(c.subject == e.Subject && c.purpose == e.Purpose, "challenge %s serves two subjects", e.Challenge)
		return
	}
	account := e.Credential
	if account == "" {
		account = e.Subject
	}
	key := [3]string{e.Subject, e.Purpose, e.Caller}
	delete(r.challenges, r.current[key])
	r.current[key] = e.Challenge
	r.challenges[e.Challenge] = &challengeStory{subject: e.Subject, purpose: e.Purpose, caller: e.Caller, account: account}
}

// attempt holds every counted try of a challenge to 1, 2, 3, …, to the tries that a code has, and to nothing after the
// right code, after a lock, or after a newer code. It returns nil when the try cannot stand.
func (r *rules) attempt(challenge, purpose, subject, caller string, number uint64) *challengeStory {
	c := r.challenges[challenge]
	switch {
	case c == nil:
		r.must(false, "challenge %s was answered, but no code of it was requested, or another replaced it", challenge)
	case c.subject != subject || c.purpose != purpose:
		r.must(false, "challenge %s of %q was answered for %q", challenge, c.subject, subject)
	case c.accepted:
		r.must(false, "challenge %s was answered again after it was spent", challenge)
	case number != c.attempts+1:
		r.must(false, "attempt %d of challenge %s follows attempt %d", number, challenge, c.attempts)
		c.attempts = max(c.attempts, number)
	case number > r.tries:
		r.must(false, "attempt %d of challenge %s was counted, a code has %d", number, challenge, r.tries)
		c.attempts = number
	case r.locks[[2]string{c.account, ""}] || r.locks[[2]string{c.account, caller}]:
		r.must(false, "attempt %d of challenge %s was counted while %s was locked", number, challenge, c.account)
		c.attempts = number
	default:
		c.attempts = number
		return c
	}
	return nil
}

// accountOf takes whom failures lock from a try, which newer entries name.
func (r *rules) accountOf(challenge, account string) {
	if c := r.challenges[challenge]; c != nil && account != "" {
		c.account = account
	}
}

func (r *rules) codeLocked(e audit.CodeLocked) {
	key := [2]string{e.Credential, e.Caller}
	if e.Scope == "account" {
		key[1] = ""
	}
	r.must(!r.locks[key], "%s was locked twice without being unlocked", e.Credential)
	r.locks[key] = true
}

// answered tells whether the right code of a challenge came, for this subject and purpose.
func (r *rules) answered(challenge, subject, purpose string) bool {
	c := r.challenges[challenge]
	return c != nil && c.accepted && c.subject == subject && c.purpose == purpose
}

// forget drops the codes of a subject that ended.
func (r *rules) forget(subject, caller string, purposes ...string) {
	for _, purpose := range purposes {
		key := [3]string{subject, purpose, caller}
		delete(r.challenges, r.current[key])
		delete(r.current, key)
	}
}

// endOf tells how an operation or enrolment ended, 0 when it did not.
func (r *rules) endOf(subject string) end { return r.ended[markOf("subject", subject)] }

func (r *rules) finish(subject string, how end) { r.ended[markOf("subject", subject)] = how }
