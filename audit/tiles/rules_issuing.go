package tiles

import (
	"bytes"

	"github.com/ecsigner/ecsigner/audit"
)

type enrolmentStory struct {
	caller   string
	version  uint64 // of the sealed record
	provider string // that was asked to prove the identity
	differs  bool   // it proved other data than were given
	proven   bool   // it did, and they are the person's
	prepared []byte // agreement
	accepted bool
	key      string // credential that a key was generated for
	serial   string // intended
	issued   bool
	renews   string // credential, empty for a first one
	signed   bool   // of a renewal: the agreement, with that credential
}

// issuing follows enrolments: one for a voucher, its versions in order, and a certificate only after a positive
// identity, an accepted agreement, a key and an intent, in this order.
func (r *rules) issuing(e audit.Event) {
	switch e := e.(type) {
	case audit.VoucherCreated:
		key := markOf("voucher", e.Voucher)
		if _, again := r.vouchers[key]; r.must(!again, "voucher %s was made before", e.Voucher) {
			r.vouchers[key] = false
		}
	case audit.EnrolmentCreated:
		r.enrolmentCreated(e)
	case audit.RenewalCreated:
		if en := r.enrolment(e.Enrolment, "made a renewal"); en != nil {
			r.renewalCreated(en, e)
		}
	case audit.EnrolmentChanged:
		if en := r.enrolment(e.Enrolment, "changed"); en != nil {
			r.must(e.Version == en.version+1, "version %d of %s follows version %d", e.Version, e.Enrolment, en.version)
			en.version = max(en.version, e.Version)
			if e.State == "issued" { // told after certificate.issued, in one commit with it
				r.must(en.issued, "enrolment %s was issued, but no certificate of it", e.Enrolment)
				r.endEnrolment(e.Enrolment, en, issued)
			}
		}
	case audit.EnrolmentClosed:
		// Told after the change to the state that ends it, in one commit with it.
		if en := r.enrolment(e.Enrolment, "closed"); en != nil {
			r.endEnrolment(e.Enrolment, en, closed)
		}
	case audit.PhoneConfirmed:
		if r.enrolment(e.Enrolment, "changed") != nil {
			r.must(r.answered(e.Challenge, e.Enrolment, "phone"), "the phone of %s was confirmed, but no code for that was accepted", e.Enrolment)
		}
	case audit.IdentityStarted:
		if en := r.enrolment(e.Enrolment, "proven"); en != nil {
			en.provider, en.differs, en.proven = e.Provider, false, false
		}
	case audit.IdentityReported:
		if en := r.enrolment(e.Enrolment, "proven"); en != nil {
			r.identityReported(en, e)
		}
	default:
		r.certifying(e)
	}
}

func (r *rules) identityReported(en *enrolmentStory, e audit.IdentityReported) {
	if !r.must(en.provider != "", "the identity of %s was reported, but nobody was asked to prove it", e.Enrolment) {
		return
	}
	switch e.Outcome {
	case "positive":
		en.proven = true
	case "differs":
		en.differs = true
	case "accepted":
		r.must(en.differs, "other data than given were accepted for %s, but none were proven", e.Enrolment)
		en.proven = true
	}
}

// certifying follows the second half, from the agreement on.
func (r *rules) certifying(e audit.Event) {
	switch e := e.(type) {
	case audit.AgreementPrepared:
		if en := r.enrolment(e.Enrolment, "changed"); en != nil {
			en.prepared = e.Document
		}
	case audit.AgreementAccepted:
		if en := r.enrolment(e.Enrolment, "changed"); en != nil {
			r.must(bytes.Equal(en.prepared, e.Document), "enrolment %s accepted another agreement than was prepared", e.Enrolment)
			r.must(r.answered(e.Challenge, e.Enrolment, en.purpose()), "the agreement of %s was accepted, but no code for that was", e.Enrolment)
			en.accepted, en.prepared = true, e.Document
		}
	case audit.AgreementSealed:
		if en := r.enrolment(e.Enrolment, "changed"); en != nil {
			r.must(en.accepted, "the agreement of %s was sealed before it was accepted", e.Enrolment)
			r.must(!en.accepted || bytes.Equal(en.prepared, e.Document), "another agreement of %s was sealed than was accepted", e.Enrolment)
			en.accepted = true
		}
	case audit.KeyGenerated:
		if en := r.enrolment(e.Enrolment, "given a key"); en != nil {
			r.keyGenerated(en, e)
		}
	case audit.CertificateIntended:
		if en := r.enrolment(e.Enrolment, "certified"); en != nil {
			r.certificateIntended(en, e)
		}
	case audit.CertificateIssued:
		r.certificateIssued(e)
	}
}

// enrolment returns an open enrolment. What happens to one that was never created, or that ended, is a problem.
func (r *rules) enrolment(id, what string) *enrolmentStory {
	if how := r.endOf(id); how != 0 {
		r.must(false, "enrolment %s was %s after it was %s", id, what, how)
		return nil
	}
	en := r.enrolments[id]
	r.must(en != nil, "enrolment %s was %s, but never created", id, what)
	return en
}

func (r *rules) endEnrolment(id string, en *enrolmentStory, how end) {
	r.forget(id, en.caller, "phone", "agreement", "sign")
	r.finish(id, how)
	delete(r.enrolments, id)
}

func (r *rules) enrolmentCreated(e audit.EnrolmentCreated) {
	if r.enrolments[e.Enrolment] != nil || r.endOf(e.Enrolment) != 0 {
		r.must(false, "enrolment %s was created before", e.Enrolment)
		return
	}
	r.enrolments[e.Enrolment] = &enrolmentStory{caller: e.Caller}
	key := markOf("voucher", e.Voucher)
	redeemed, made := r.vouchers[key]
	r.must(made, "enrolment %s redeemed a voucher that was never made", e.Enrolment)
	r.must(!redeemed, "enrolment %s redeemed a voucher that was redeemed before", e.Enrolment)
	r.vouchers[key] = true
}

func (r *rules) keyGenerated(en *enrolmentStory, e audit.KeyGenerated) {
	r.must(en.proven, "a key was generated for %s without a positive identity", e.Enrolment)
	r.must(en.accepted, "a key was generated for %s without an accepted agreement", e.Enrolment)
	r.must(en.renews == "" || en.signed, "a key was generated for %s, whose agreement %s has not signed", e.Enrolment, en.renews)
	r.must(en.key == "", "a second key was generated for %s", e.Enrolment)
	r.must(r.held[e.Credential] == nil, "a key was generated for %s, which has a certificate", e.Credential)
	en.proven, en.accepted, en.key = true, true, e.Credential // what was missing is told once
}

func (r *rules) certificateIntended(en *enrolmentStory, e audit.CertificateIntended) {
	_, again := r.serials[e.Serial]
	r.must(!again, "serial %s was intended before", e.Serial)
	r.must(en.key != "", "certificate %s was intended before a key was generated", e.Serial)
	r.must(en.serial == "" || again, "a second certificate was intended for %s", e.Enrolment)
	if !again {
		r.serials[e.Serial] = &certificateStory{enrolment: e.Enrolment}
		en.serial = e.Serial
	}
}

func (r *rules) certificateIssued(e audit.CertificateIssued) {
	cert := r.serials[e.Serial]
	if cert != nil && cert.issued {
		r.must(false, "certificate %s was issued twice", e.Serial)
		return
	}
	en := r.enrolment(e.Enrolment, "certified")
	if cert == nil {
		r.must(en == nil, "certificate %s was issued without intent", e.Serial)
		cert = &certificateStory{enrolment: e.Enrolment}
		r.serials[e.Serial] = cert
	}
	if en != nil {
		r.must(cert.enrolment == e.Enrolment, "certificate %s was intended for %s", e.Serial, cert.enrolment)
		r.must(en.key == "" || en.key == e.Credential, "certificate %s is of %s, the key was generated for %s", e.Serial, e.Credential, en.key)
		en.issued = true
	}
	cert.issued, cert.credential = true, e.Credential
	if r.held[e.Credential] == nil {
		r.held[e.Credential] = &credentialStory{enrolment: e.Enrolment, renewal: en != nil && en.renews != ""}
	}
}
