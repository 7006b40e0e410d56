package tiles

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/audit"
)

type operationStory struct {
	credential, caller string
	binding, fence     uint64
	digests            [sha256.Size]byte
	activated          bool
	enrolment          string // whose agreement it signs, by which it renews its credential; else empty
}

// signing follows operations: requested under a grant, activated once by an accepted code over the same digests, resumed
// in order, signed at most once.
func (r *rules) signing(e audit.Event) {
	switch e := e.(type) {
	case audit.SigningRequested:
		r.requested(e)
	case audit.SigningActivated:
		r.activated(e)
	case audit.SigningResumed:
		if op := r.operation(e.Operation, "resumed"); op != nil && r.must(op.activated, "operation %s was resumed, but never activated", e.Operation) {
			r.must(e.Fence == op.fence+1, "fence %d of %s follows fence %d", e.Fence, e.Operation, op.fence)
			op.fence = max(op.fence, e.Fence)
		}
	case audit.SigningSigned:
		r.signed(e)
	case audit.SigningWithheld:
		// Whoever lost the fence finds out late: the operation may have ended meanwhile.
		op := r.operations[e.Operation]
		r.must(op != nil && op.activated || r.endOf(e.Operation) != 0, "operation %s withheld signatures that nobody authorised", e.Operation)
	case audit.SigningClosed:
		if op := r.operation(e.Operation, "closed"); op != nil {
			r.endOperation(e.Operation, op, closed)
		}
	case audit.ArtefactRecorded:
		r.artefact(e)
	}
}

// artefact holds that what is raised to a level was signed before, and that each level of it is made once, in order.
func (r *rules) artefact(e audit.ArtefactRecorded) {
	if !r.must(r.endOf(e.Operation) == signed, "operation %s has an artefact of level %s, but was not signed", e.Operation, e.Level) {
		return
	}
	level := slices.Index([]string{"B-T", "B-LT", "B-LTA"}, e.Level) + 1
	m := markOf("artefact", fmt.Sprintf("%s/%d", e.Operation, e.Item))
	// What was made after the backup that a service was restored from is made again.
	again := r.restored && level > 0 && level <= int(r.raised[m])
	r.must(again || level == int(r.raised[m])+1, "item %d of operation %s came to level %s out of order", e.Item, e.Operation, e.Level)
	r.raised[m] = max(r.raised[m], uint8(level)) //nolint:gosec // 0 to 3
}

// operation returns an open operation. What happens to one that was never requested, or that ended, is a problem.
func (r *rules) operation(id, what string) *operationStory {
	if how := r.endOf(id); how != 0 {
		r.must(false, "operation %s was %s after it was %s", id, what, how)
		return nil
	}
	op := r.operations[id]
	r.must(op != nil, "operation %s was %s, but never requested", id, what)
	return op
}

func (r *rules) endOperation(id string, op *operationStory, how end) {
	r.forget(id, op.caller, "sign")
	r.finish(id, how)
	delete(r.operations, id)
}

func (r *rules) requested(e audit.SigningRequested) {
	if r.operations[e.Operation] != nil || r.endOf(e.Operation) != 0 {
		r.must(false, "operation %s was requested before", e.Operation)
		return
	}
	r.must(r.access(e.Enrolment, e.Credential, e.Caller), "%s has no access to %s", e.Caller, e.Credential)
	r.agreementAlone(e)
	r.operations[e.Operation] = &operationStory{
		credential: e.Credential, caller: e.Caller, binding: e.BindingVersion, digests: digestOf(e.DTBSR),
		enrolment: e.Enrolment,
	}
}

func (r *rules) activated(e audit.SigningActivated) {
	op := r.operation(e.Operation, "activated")
	if op == nil || !r.must(!op.activated, "operation %s was activated again", e.Operation) {
		return
	}
	op.activated, op.fence = true, 1
	switch {
	case op.credential != e.Credential || op.caller != e.Caller || op.binding != e.BindingVersion || op.digests != digestOf(e.DTBSR):
		r.must(false, "operation %s was activated for something else than was requested", e.Operation)
	case !r.answered(e.Challenge, cmp.Or(op.enrolment, e.Operation), "sign"):
		r.must(false, "operation %s was activated, but no code of it was accepted", e.Operation)
	case !r.access(op.enrolment, e.Credential, e.Caller):
		r.must(false, "%s has no access to %s", e.Caller, e.Credential)
	default:
		r.usable(e.Credential, e.BindingVersion)
	}
}

func (r *rules) signed(e audit.SigningSigned) {
	op := r.operation(e.Operation, "signed")
	if op == nil {
		return
	}
	switch {
	case !op.activated:
		r.must(false, "operation %s was signed without an activation", e.Operation)
	case op.credential != e.Credential || op.binding != e.BindingVersion || op.digests != digestOf(e.DTBSR):
		r.must(false, "operation %s signed something else than was authorised", e.Operation)
	case len(e.Signatures) != len(e.DTBSR):
		r.must(false, "operation %s has %d signatures for %d digests", e.Operation, len(e.Signatures), len(e.DTBSR))
	default:
		r.usable(e.Credential, e.BindingVersion)
	}
	if en := r.enrolments[op.enrolment]; en != nil {
		en.signed = true
	}
	r.endOperation(e.Operation, op, signed)
}

// usable holds that a signature rests on the binding that the log knows as the newest, and that it was active then.
func (r *rules) usable(credential string, version uint64) {
	c := r.held[credential]
	if c == nil {
		c = &credentialStory{status: "unknown"}
	}
	r.must(c.status == activeStatus && version == c.version,
		"%s signed under binding version %d while version %d was %q", credential, version, c.version, c.status)
}
