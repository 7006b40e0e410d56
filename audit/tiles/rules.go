package tiles

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	clockSlack   = 5 * time.Second // how far the time of an entry may lie before that of an earlier one
	activeStatus = "active"        // of a binding that may sign
	mostTries    = 5               // of one code; no configuration allows more
)

// rules follows the log entry by entry and says where the story does not hold: what happened without what must come
// before it, or twice, or after an end. One broken rule is one problem, told of the entry that breaks it.
//
// What must be remembered is little: for good a few dozen bytes of each operation, enrolment and voucher that ended, and
// the state of each certificate, credential and grant; more only of what is open. A code that was replaced, or whose
// operation or enrolment ended, is forgotten: an answer to it is then one to a code that nobody asked for.
type rules struct {
	tries  uint64 // that a code may have
	latest time.Time
	epoch  uint64

	challenges map[string]*challengeStory // the newest of each subject and purpose
	current    map[[3]string]string       // subject, purpose, caller: challenge
	locks      map[[2]string]bool         // account; caller, or "" for all
	operations map[string]*operationStory // open ones
	enrolments map[string]*enrolmentStory // open ones
	ended      map[mark]end               // operations and enrolments
	restored   bool                       // from a backup, once or more
	raised     map[mark]uint8             // items of operations: how many levels above B-B
	vouchers   map[mark]bool              // by hash: redeemed
	serials    map[string]*certificateStory
	held       map[string]*credentialStory
	grants     map[[2]string]bool // credential, client
	problems   []string           // of the current entry
}

// mark stands for an id that is only compared.
type mark [16]byte

func markOf(kind, id string) mark {
	sum := sha256.Sum256([]byte(kind + "\x00" + id))
	return mark(sum[:16])
}

// end is how an operation or enrolment ended.
type end uint8

const (
	signed end = iota + 1
	issued
	closed
)

func (e end) String() string {
	return [...]string{"open", "signed", "issued", "closed"}[e]
}

type certificateStory struct {
	enrolment, credential string
	issued, revoked       bool
}

type credentialStory struct {
	version   uint64
	status    string
	enrolment string // that led to it
	renewal   bool   // it renewed another
	destroyed bool   // its key is gone
}

func newRules(tries int) *rules {
	if tries <= 0 {
		tries = mostTries
	}
	return &rules{
		tries:      uint64(tries),
		challenges: map[string]*challengeStory{},
		current:    map[[3]string]string{},
		locks:      map[[2]string]bool{},
		operations: map[string]*operationStory{},
		enrolments: map[string]*enrolmentStory{},
		ended:      map[mark]end{},
		raised:     map[mark]uint8{},
		vouchers:   map[mark]bool{},
		serials:    map[string]*certificateStory{},
		held:       map[string]*credentialStory{},
		grants:     map[[2]string]bool{},
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
	case audit.CertificateRevoked:
		r.certificateRevoked(e)
	case audit.KeyDestroyed:
		r.keyDestroyed(e)
	case audit.BindingChanged:
		r.bindingChanged(e)
	case audit.AccessGranted:
		r.must(r.held[e.Credential] != nil, "access to %s was granted, but no certificate of it was issued", e.Credential)
		r.grants[[2]string{e.Credential, e.Client}] = true
	case audit.AccessWithdrawn:
		key := [2]string{e.Credential, e.Client}
		r.must(r.grants[key], "access of %s to %s was withdrawn, but not granted", e.Client, e.Credential)
		delete(r.grants, key)
	case audit.CodeRequested:
		r.codeRequested(e)
	case audit.CodeResent:
		c := r.challenges[e.Challenge]
		r.must(c != nil && c.subject == e.Subject && !c.accepted,
			"the code of challenge %s was sent again for %q, or after it was spent or replaced", e.Challenge, e.Subject)
	case audit.CodeRefused:
		if e.Attempt != 0 { // refused without counting: spent, expired or locked
			r.accountOf(e.Challenge, e.Account)
			r.attempt(e.Challenge, e.Purpose, e.Subject, e.Caller, e.Attempt)
		}
	case audit.CodeAccepted:
		r.accountOf(e.Challenge, e.Account)
		if c := r.attempt(e.Challenge, e.Purpose, e.Subject, e.Caller, e.Attempt); c != nil {
			c.accepted = true
		}
	case audit.CodeLocked:
		r.codeLocked(e)
	case audit.CodeUnlocked:
		delete(r.locks, [2]string{e.Credential, e.Caller}) // unlocking what is open does no harm
	case audit.ServiceStarted:
		r.must(e.Size >= 0 && e.Size <= index, "the engine found %d entries, %d precede it", e.Size, index)
		r.must(e.Epoch >= r.epoch, "epoch %d follows epoch %d", e.Epoch, r.epoch)
		r.epoch = max(r.epoch, e.Epoch)
	case audit.ServiceRestored:
		r.restored = true
		r.must(e.Backup <= e.Size && e.Size <= index, "%d entries were recovered to a backup of %d, %d precede it", e.Size, e.Backup, index)
		r.must(e.Epoch > r.epoch, "the service was restored into epoch %d, there was %d", e.Epoch, r.epoch)
		r.epoch = max(r.epoch, e.Epoch)
	default:
		r.issuing(e)
		r.signing(e)
	}
	return r.problems
}

func (r *rules) must(holds bool, format string, args ...any) bool {
	if !holds {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
	return holds
}

// bindingChanged holds the versions of a credential to 1, 2, 3, …, and that none signs again after it was revoked.
func (r *rules) bindingChanged(e audit.BindingChanged) {
	c := r.held[e.Credential]
	if !r.must(c != nil, "%s was bound, but no certificate of it was issued", e.Credential) {
		return
	}
	if !r.must(e.Version == c.version+1, "binding version %d of %s follows version %d", e.Version, e.Credential, c.version) {
		return
	}
	dead := c.status != "" && c.status != activeStatus && c.status != "suspended"
	r.must(!dead || e.Status != activeStatus && e.Status != "suspended", "%s is %s again after it was %s", e.Credential, e.Status, c.status)
	c.version, c.status = e.Version, e.Status
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
