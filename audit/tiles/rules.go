package tiles

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	clockSlack   = 5 * time.Second // how far the time of an entry may lie before that of an earlier one
	activeStatus = "active"        // of a binding that may sign
)

// rules follows the log entry by entry and says where the story does not hold: what happened without what must come
// before it, or twice. Its memory grows with the number of operations, challenges and certificates.
type rules struct {
	latest     time.Time
	epoch      uint64
	challenges map[string]*challengeStory
	operations map[string]*operationStory
	enrolments map[string]*enrolmentStory
	serials    map[string]*certificateStory
	bindings   map[string]audit.BindingChanged
	grants     map[[2]string]bool // credential, client
	destroyed  map[string]bool    // credentials whose key is gone
	problems   []string           // of the current entry
}

type challengeStory struct {
	subject  string
	attempts uint64
	accepted bool
}

type operationStory struct {
	credential, caller, challenge string
	enrolment                     string // whose agreement it signs, by which it renews its credential; else empty
	binding, fence                uint64
	digests                       [sha256.Size]byte
	activated, signed, closed     bool
}

type enrolmentStory struct {
	prepared  []byte // document
	accepted  bool
	challenge string
	renews    string // credential, empty for a first one
	caller    string // of a renewal
	signed    bool   // with the renewed credential
}

type certificateStory struct {
	enrolment, credential string
	issued, revoked       bool
}

func newRules() *rules {
	return &rules{
		challenges: map[string]*challengeStory{},
		operations: map[string]*operationStory{},
		enrolments: map[string]*enrolmentStory{},
		serials:    map[string]*certificateStory{},
		bindings:   map[string]audit.BindingChanged{},
		grants:     map[[2]string]bool{},
		destroyed:  map[string]bool{},
	}
}

// check takes the next entry and returns what is wrong with it.
func (r *rules) check(index int64, at time.Time, e audit.Event) []string {
	r.problems = nil
	r.must(!at.Before(r.latest.Add(-clockSlack)), "its time lies %s before an earlier entry's", r.latest.Sub(at))
	if at.After(r.latest) {
		r.latest = at
	}
	switch e := e.(type) {
	case audit.RenewalCreated:
		r.renewalCreated(e)
	case audit.AgreementPrepared:
		r.enrolment(e.Enrolment).prepared = e.Document
	case audit.AgreementAccepted:
		r.agreementAccepted(e)
	case audit.CertificateIntended:
		r.certificateIntended(e)
	case audit.CertificateIssued:
		r.certificateIssued(e)
	case audit.CertificateRevoked:
		r.certificateRevoked(e)
	case audit.KeyDestroyed:
		r.keyDestroyed(e)
	case audit.BindingChanged:
		last := r.bindings[e.Credential].Version
		r.must(e.Version > last, "binding version %d of %s follows version %d", e.Version, e.Credential, last)
		r.bindings[e.Credential] = e
	case audit.AccessGranted:
		r.grants[[2]string{e.Credential, e.Client}] = true
	case audit.AccessWithdrawn:
		delete(r.grants, [2]string{e.Credential, e.Client})
	case audit.CodeRequested:
		r.codeRequested(e)
	case audit.CodeResent:
		c := r.challenge(e.Challenge)
		r.must(c.subject == e.Subject && !c.accepted, "the code of challenge %s was sent again for %q, or after it was spent", e.Challenge, e.Subject)
	case audit.CodeRefused:
		if e.Attempt != 0 { // refused without counting: spent, expired or locked
			r.attempt(e.Challenge, e.Subject, e.Attempt)
		}
	case audit.CodeAccepted:
		r.attempt(e.Challenge, e.Subject, e.Attempt)
		r.challenge(e.Challenge).accepted = true
	case audit.ServiceStarted:
		r.must(e.Size >= 0 && e.Size <= index, "the engine found %d entries, %d precede it", e.Size, index)
		r.must(e.Epoch >= r.epoch, "epoch %d follows epoch %d", e.Epoch, r.epoch)
		r.epoch = max(r.epoch, e.Epoch)
	case audit.ServiceRestored:
		r.must(e.Backup <= e.Size && e.Size <= index, "%d entries were recovered to a backup of %d, %d precede it", e.Size, e.Backup, index)
		r.must(e.Epoch > r.epoch, "the service was restored into epoch %d, there was %d", e.Epoch, r.epoch)
		r.epoch = max(r.epoch, e.Epoch)
	default:
		r.signing(e)
	}
	return r.problems
}

func (r *rules) signing(e audit.Event) {
	switch e := e.(type) {
	case audit.SigningRequested:
		r.requested(e)
	case audit.SigningActivated:
		r.activated(e)
	case audit.SigningResumed:
		op := r.operation(e.Operation)
		r.must(op.activated && !op.signed && !op.closed, "operation %s was resumed, but was not open", e.Operation)
		r.must(e.Fence > op.fence, "fence %d of %s follows fence %d", e.Fence, e.Operation, op.fence)
		op.fence = max(op.fence, e.Fence)
	case audit.SigningSigned:
		r.signed(e)
	case audit.SigningWithheld:
		r.must(r.operation(e.Operation).activated, "operation %s withheld signatures that nobody authorised", e.Operation)
	case audit.SigningClosed:
		op := r.operation(e.Operation)
		r.must(!op.signed && !op.closed, "operation %s was closed after its end", e.Operation)
		op.closed = true
	}
}

func (r *rules) must(holds bool, format string, args ...any) {
	if !holds {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

func (r *rules) codeRequested(e audit.CodeRequested) {
	c := r.challenge(e.Challenge)
	r.must(c.subject == "" || c.subject == e.Subject, "challenge %s serves two subjects", e.Challenge)
	c.subject = e.Subject
}

// attempt holds every counted try of a challenge to 1, 2, 3, … and to nothing after the right code.
func (r *rules) attempt(challenge, subject string, number uint64) {
	c := r.challenge(challenge)
	r.must(c.subject == subject, "challenge %s of %q was answered for %q", challenge, c.subject, subject)
	r.must(number == c.attempts+1, "attempt %d of challenge %s follows attempt %d", number, challenge, c.attempts)
	r.must(!c.accepted, "challenge %s was answered again after it was spent", challenge)
	c.attempts = max(c.attempts, number)
}

func (r *rules) agreementAccepted(e audit.AgreementAccepted) {
	en := r.enrolment(e.Enrolment)
	r.must(bytes.Equal(en.prepared, e.Document), "enrolment %s accepted another agreement than was prepared", e.Enrolment)
	en.accepted, en.challenge = true, e.Challenge
}

func (r *rules) certificateIntended(e audit.CertificateIntended) {
	_, again := r.serials[e.Serial]
	r.must(!again, "serial %s was intended before", e.Serial)
	r.must(r.enrolment(e.Enrolment).accepted, "a certificate was intended for %s before its agreement", e.Enrolment)
	r.renewalSigned(e.Enrolment)
	if !again {
		r.serials[e.Serial] = &certificateStory{enrolment: e.Enrolment}
	}
}

func (r *rules) certificateIssued(e audit.CertificateIssued) {
	en := r.enrolment(e.Enrolment)
	r.must(en.accepted, "certificate %s was issued without an accepted agreement", e.Serial)
	c := r.challenge(en.challenge)
	r.must(c.accepted && c.subject == e.Enrolment,
		"certificate %s was issued, but no code of %s accepted the agreement", e.Serial, e.Enrolment)
	cert := r.serials[e.Serial]
	if cert == nil {
		r.must(false, "certificate %s was issued without intent", e.Serial)
		cert = &certificateStory{enrolment: e.Enrolment}
		r.serials[e.Serial] = cert
	}
	r.must(cert.enrolment == e.Enrolment, "certificate %s was intended for %s", e.Serial, cert.enrolment)
	r.must(!cert.issued, "certificate %s was issued twice", e.Serial)
	cert.issued, cert.credential = true, e.Credential
}

func (r *rules) requested(e audit.SigningRequested) {
	_, again := r.operations[e.Operation]
	r.must(!again, "operation %s was requested before", e.Operation)
	r.access(e.Enrolment, e.Credential, e.Caller)
	r.agreementAlone(e)
	if !again {
		r.operations[e.Operation] = &operationStory{
			credential: e.Credential, caller: e.Caller, binding: e.BindingVersion, digests: digestOf(e.DTBSR),
			enrolment: e.Enrolment,
		}
	}
}

func (r *rules) activated(e audit.SigningActivated) {
	op := r.operation(e.Operation)
	r.must(op.credential == e.Credential && op.caller == e.Caller && op.binding == e.BindingVersion &&
		op.digests == digestOf(e.DTBSR), "operation %s was activated for something else than was requested", e.Operation)
	r.must(!op.activated && !op.signed && !op.closed, "operation %s was activated again or after its end", e.Operation)
	r.access(op.enrolment, e.Credential, e.Caller)
	r.usable(e.Credential, e.BindingVersion)
	op.activated, op.fence, op.challenge = true, 1, e.Challenge
	op.digests = digestOf(e.DTBSR)
}

func (r *rules) signed(e audit.SigningSigned) {
	op := r.operation(e.Operation)
	r.must(op.activated, "operation %s was signed without an activation", e.Operation)
	r.must(!op.signed, "operation %s was signed twice", e.Operation)
	r.must(!op.closed, "operation %s was signed after it was closed", e.Operation)
	r.must(op.credential == e.Credential && op.binding == e.BindingVersion && op.digests == digestOf(e.DTBSR),
		"operation %s signed something else than was authorised", e.Operation)
	r.must(len(e.Signatures) == len(e.DTBSR),
		"operation %s has %d signatures for %d digests", e.Operation, len(e.Signatures), len(e.DTBSR))
	c := r.challenge(op.challenge)
	r.must(c.accepted && (c.subject == e.Operation || op.enrolment != "" && c.subject == op.enrolment), "operation %s was signed, but no code of it was accepted", e.Operation)
	r.usable(e.Credential, e.BindingVersion)
	op.signed = true
	if op.enrolment != "" {
		r.enrolment(op.enrolment).signed = true
	}
}

// usable holds that the log knows the binding that a signature rests on, and that it was active then.
func (r *rules) usable(credential string, version uint64) {
	b := r.bindings[credential]
	r.must(b.Status == activeStatus && version <= b.Version && version > 0,
		"%s signed under binding version %d while version %d was %q", credential, version, b.Version, b.Status)
}

func (r *rules) challenge(id string) *challengeStory { return entryOf(r.challenges, id) }

func (r *rules) operation(id string) *operationStory { return entryOf(r.operations, id) }

func (r *rules) enrolment(id string) *enrolmentStory { return entryOf(r.enrolments, id) }

func entryOf[T any](m map[string]*T, id string) *T {
	if m[id] == nil {
		m[id] = new(T)
	}
	return m[id]
}

// digestOf stands for a list of digests.
func digestOf(list [][]byte) [sha256.Size]byte {
	var b []byte
	for _, d := range list {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
		b = append(b, d...)
	}
	return sha256.Sum256(b)
}
