package tiles

import (
	"bytes"

	"github.com/ecsigner/ecsigner/audit"
)

const revokedStatus = "revoked" // of a binding that never signs again

func (r *rules) certificateRevoked(e audit.CertificateRevoked) {
	if e.Challenge != "" {
		r.must(r.answered(e.Challenge, e.Credential, "revoke"), "certificate %s was revoked in the signatory's name, but no code of %s for that was accepted", e.Serial, e.Credential)
		r.forget(e.Credential, e.Caller, "revoke")
	}
	cert := r.serials[e.Serial]
	if cert == nil || !cert.issued || cert.credential != e.Credential {
		r.must(false, "certificate %s of %s was revoked, but not issued", e.Serial, e.Credential)
		return
	}
	r.must(!cert.revoked, "certificate %s was revoked twice", e.Serial)
	cert.revoked = true
}

// keyDestroyed holds that only the key of a credential that is over is destroyed, and once.
func (r *rules) keyDestroyed(e audit.KeyDestroyed) {
	c := r.held[e.Credential]
	if !r.must(c != nil, "the key of %s was destroyed, but no certificate of it was issued", e.Credential) {
		return
	}
	r.must(c.status == revokedStatus, "the key of %s was destroyed while the credential was %q", e.Credential, c.status)
	r.must(!c.destroyed, "the key of %s was destroyed twice", e.Credential)
	c.destroyed = true
}

// renewalCreated holds that an enrolment renews a credential that is active, was not itself a renewal, and came from the
// enrolment whose proof of identity it takes over.
func (r *rules) renewalCreated(en *enrolmentStory, e audit.RenewalCreated) {
	r.must(en.renews == "" && en.version == 0, "enrolment %s became a renewal after it had begun", e.Enrolment)
	r.must(en.caller == e.Caller, "enrolment %s of %s became a renewal of %s", e.Enrolment, en.caller, e.Caller)
	c := r.held[e.Credential]
	switch {
	case c == nil:
		r.must(false, "%s renews %s, but no certificate of it was issued", e.Enrolment, e.Credential)
	case c.status != activeStatus:
		r.must(false, "%s renews %s, which is %q", e.Enrolment, e.Credential, c.status)
	case c.renewal:
		r.must(false, "%s renews %s, which is itself a renewal", e.Enrolment, e.Credential)
	default:
		r.must(c.enrolment == e.Original, "%s renews %s, which came from %s, not %s", e.Enrolment, e.Credential, c.enrolment, e.Original)
	}
	en.renews, en.proven = e.Credential, true
}

// purpose is that of the code which accepts the agreement: in a renewal it also signs.
func (en *enrolmentStory) purpose() string {
	if en.renews != "" {
		return "sign"
	}
	return "agreement"
}

// access tells whether a client may ask for signatures with a credential: by a grant, or, for the agreement of a renewal,
// as the portal that renews it.
func (r *rules) access(enrolment, credential, caller string) bool {
	if enrolment == "" {
		return r.grants[[2]string{credential, caller}]
	}
	en := r.enrolments[enrolment]
	return en != nil && en.renews == credential && en.caller == caller
}

// agreementAlone holds that what is signed for a renewal is its agreement and nothing else.
func (r *rules) agreementAlone(e audit.SigningRequested) {
	if en := r.enrolments[e.Enrolment]; e.Enrolment != "" && en != nil {
		r.must(len(e.DTBSR) == 1 && len(e.Documents) == 1 && bytes.Equal(e.Documents[0], en.prepared),
			"operation %s signs something else than the agreement of %s", e.Operation, e.Enrolment)
	}
}
