package tiles

import "github.com/ecsigner/ecsigner/audit"

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
