package tiles

import (
	"bytes"

	"github.com/ecsigner/ecsigner/audit"
)

const revokedStatus = "revoked" // of a binding that never signs again

func (r *rules) certificateRevoked(e audit.CertificateRevoked) {
	if e.Challenge != "" {
		c := r.challenge(e.Challenge)
		r.must(c.accepted && c.subject == e.Credential, "certificate %s was revoked in the signatory's name, but no code of %s was accepted", e.Serial, e.Credential)
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
	status := r.bindings[e.Credential].Status
	r.must(status == revokedStatus, "the key of %s was destroyed while the credential was %q", e.Credential, status)
	r.must(!r.destroyed[e.Credential], "the key of %s was destroyed twice", e.Credential)
	r.destroyed[e.Credential] = true
}

func (r *rules) renewalCreated(e audit.RenewalCreated) {
	en := r.enrolment(e.Enrolment)
	r.must(en.renews == "" && !en.accepted, "enrolment %s became a renewal after it had begun", e.Enrolment)
	r.must(r.enrolment(e.Original).renews == "", "%s renews %s, which is itself a renewal", e.Enrolment, e.Credential)
	status := r.bindings[e.Credential].Status
	r.must(status == activeStatus, "%s renews %s, which is %q", e.Enrolment, e.Credential, status)
	en.renews, en.caller = e.Credential, e.Caller
}

// access holds that a client may ask for signatures with a credential: by a grant, or, for the agreement of a renewal, as
// the portal that renews it.
func (r *rules) access(enrolment, credential, caller string) {
	if enrolment == "" {
		r.must(r.grants[[2]string{credential, caller}], "%s has no access to %s", caller, credential)
		return
	}
	en := r.enrolment(enrolment)
	r.must(en.renews == credential && en.caller == caller, "%s does not renew %s for %s", enrolment, credential, caller)
}

// agreementAlone holds that what is signed for a renewal is its agreement and nothing else.
func (r *rules) agreementAlone(e audit.SigningRequested) {
	if e.Enrolment == "" {
		return
	}
	r.must(len(e.DTBSR) == 1 && len(e.Documents) == 1 && bytes.Equal(e.Documents[0], r.enrolment(e.Enrolment).prepared),
		"operation %s signs something else than the agreement of %s", e.Operation, e.Enrolment)
}

// renewalSigned holds that a renewal leads to a certificate only after its agreement was signed.
func (r *rules) renewalSigned(enrolment string) {
	en := r.enrolment(enrolment)
	r.must(en.renews == "" || en.signed, "a certificate was intended for %s, whose agreement %s has not signed", enrolment, en.renews)
}
