package tiles_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

// Where the events of a renewal stand.
const (
	renewVoucher = iota
	renewMade
	renewOf
	renewPrepared
	renewChanged
	renewAsked
	renewCode
	renewAnswer
	renewAccepted
	renewActivated
	renewIssuing
	renewSigned
	renewSignedChange
	renewKey
	renewIntended
	renewIntendedChange
	renewIssued
)

// renewing is the story of the renewal of credential 0.
func renewing() []audit.Event {
	agreement, dtbsr, voucher := digest("renewal"), digests(1, "renewal"), fmt.Sprintf("%x", digest("voucher of the renewal"))
	change := func(version uint64, state string) audit.Event {
		return audit.EnrolmentChanged{Enrolment: "enr-9", Version: version, State: state, Caller: "portal", Record: digest("record %d", version)}
	}
	return []audit.Event{
		audit.VoucherCreated{Voucher: voucher, Product: "natural", Caller: "operator"},
		audit.EnrolmentCreated{Enrolment: "enr-9", Voucher: voucher, Caller: "portal"},
		audit.RenewalCreated{Enrolment: "enr-9", Credential: "cred-0", Original: "enr-0", Caller: "portal"},
		audit.AgreementPrepared{Enrolment: "enr-9", Document: agreement, Version: "1", Language: "uk"},
		change(1, "proven"),
		audit.SigningRequested{
			Operation: "op-9", Credential: "cred-0", Caller: "portal", BindingVersion: 1, Algorithm: "ecdsa-p256", DTBSR: dtbsr,
			Documents: [][]byte{agreement}, Enrolment: "enr-9",
		},
		audit.CodeRequested{Challenge: "renew-9", Purpose: "sign", Subject: "enr-9", Caller: "portal", Credential: "cred-0"},
		audit.CodeAccepted{Challenge: "renew-9", Purpose: "sign", Subject: "enr-9", Caller: "portal", Attempt: 1},
		audit.AgreementAccepted{Enrolment: "enr-9", Challenge: "renew-9", Document: agreement, Means: "sms-code"},
		audit.SigningActivated{
			Operation: "op-9", Credential: "cred-0", Caller: "portal", BindingVersion: 1, DTBSR: dtbsr, Means: "sms-code",
			Challenge: "renew-9", Activation: digest("activation"),
		},
		change(2, "issuing"),
		audit.SigningSigned{Operation: "op-9", Credential: "cred-0", BindingVersion: 1, DTBSR: dtbsr, Signatures: digests(1, "signature")},
		change(3, "issuing"),
		audit.KeyGenerated{Enrolment: "enr-9", Credential: "cred-9", KEK: "kek-1", SPKI: digest("new spki"), Wrapped: digest("new key")},
		audit.CertificateIntended{Enrolment: "enr-9", Serial: "0099", TBS: digest("new tbs")},
		change(4, "issuing"),
		audit.CertificateIssued{Enrolment: "enr-9", Credential: "cred-9", Serial: "0099", Certificate: digest("new cert")},
		audit.BindingChanged{Credential: "cred-9", Version: 1, Status: "active", Binding: digest("new binding")},
		change(5, "issued"),
	}
}

// upTo is the renewal until the event before i, then others.
func upTo(i int, others ...audit.Event) []audit.Event {
	return append(slices.Clone(renewing()[:i]), others...)
}

func renewalStories() []story {
	r := renewing()
	revoked := audit.BindingChanged{Credential: "cred-0", Version: 2, Status: "revoked", Binding: digest("b")}
	lapsed := upTo(renewSigned, audit.SigningClosed{Operation: "op-9", Outcome: audit.OutcomeAbandoned})
	again := audit.RenewalCreated{Enrolment: "enr-10", Credential: "cred-9", Original: "enr-9", Caller: "portal"}
	second := fmt.Sprintf("%x", digest("another voucher"))
	return []story{
		{"sound", r, 0, ""},
		{"lapsed", lapsed, 0, ""},
		{"of nothing", upTo(renewOf, audit.RenewalCreated{Enrolment: "enr-9", Credential: "cred-7", Original: "enr-7", Caller: "portal"}), renewOf, "no certificate of it was issued"},
		{"of what was revoked", append([]audit.Event{revoked}, upTo(renewOf+1)...), renewOf + 1, `which is "revoked"`},
		{"of another enrolment", upTo(renewOf, audit.RenewalCreated{Enrolment: "enr-9", Credential: "cred-0", Original: "enr-7", Caller: "portal"}), renewOf, "which came from enr-0"},
		{"by another client", upTo(renewOf, audit.RenewalCreated{Enrolment: "enr-9", Credential: "cred-0", Original: "enr-0", Caller: "other"}), renewOf, "became a renewal of other"},
		{
			"of a renewal", append(slices.Clone(r), audit.VoucherCreated{Voucher: second, Product: "natural", Caller: "operator"},
				audit.EnrolmentCreated{Enrolment: "enr-10", Voucher: second, Caller: "portal"}, again),
			len(r) + 2, "itself a renewal",
		},
		{"asked by whom it does not concern", edited(upTo(renewAsked+1), renewAsked, func(e *audit.SigningRequested) { e.Caller = "documents" }), renewAsked, "documents has no access to cred-0"},
		{"asked for another document", edited(upTo(renewAsked+1), renewAsked, func(e *audit.SigningRequested) { e.Documents = digests(1, "contract") }), renewAsked, "something else than the agreement"},
		{"accepted by a code that does not sign", edited(edited(upTo(renewAccepted+1), renewCode, func(e *audit.CodeRequested) { e.Purpose = "agreement" }), renewAnswer, func(e *audit.CodeAccepted) { e.Purpose = "agreement" }), renewAccepted, "no code for that was"},
		{"activated by another code", edited(upTo(renewActivated+1), renewActivated, func(e *audit.SigningActivated) { e.Challenge = "agree-0" }), renewActivated, "no code of it was accepted"},
		{"a key before the signature", upTo(renewSigned, r[renewKey]), renewSigned, "whose agreement cred-0 has not signed"},
	}
}

func revocationStories() []story {
	binding := audit.BindingChanged{Credential: "cred-0", Version: 2, Status: "revoked", Binding: digest("b")}
	gone := audit.KeyDestroyed{Credential: "cred-0", SPKI: digest("s"), Wrapped: digest("w")}
	asking := []audit.Event{
		audit.CodeRequested{Challenge: "revoke-0", Purpose: "revoke", Subject: "cred-0", Caller: "portal", Credential: "cred-0"},
		audit.CodeAccepted{Challenge: "revoke-0", Purpose: "revoke", Subject: "cred-0", Caller: "portal", Attempt: 1},
	}
	by := func(challenge string) audit.Event {
		return audit.CertificateRevoked{
			Credential: "cred-0", Serial: "0001", Caller: "portal", Requester: "signatory", Means: "sms-code", Challenge: challenge,
		}
	}
	s := signing(0, 0, 1)
	return []story{
		{"by the person", append(slices.Clone(asking), by("revoke-0"), binding, gone), 0, ""},
		{"without a code", []audit.Event{by("revoke-0")}, 0, "no code of cred-0 for that was accepted"},
		{"by a code that was not answered", []audit.Event{asking[0], by("revoke-0")}, 1, "no code of cred-0 for that was accepted"},
		{"by the code of a signature", append(slices.Clone(s[:accept+1]), by("sign-0")), accept + 1, "no code of cred-0 for that was accepted"},
		{"destroyed while active", []audit.Event{gone}, 0, `destroyed while the credential was "active"`},
		{"destroyed twice", []audit.Event{binding, gone, gone}, 2, "destroyed twice"},
		{"destroyed what never was", []audit.Event{audit.KeyDestroyed{Credential: "cred-7", SPKI: digest("s"), Wrapped: digest("w")}}, 0, "no certificate of it was issued"},
	}
}

// TestLifecycleRules breaks each rule of revocation, destruction and renewal once.
func TestLifecycleRules(t *testing.T) {
	before := issuing(0)
	for kind, all := range map[string][]story{"renewal": renewalStories(), "revocation": revocationStories()} {
		for _, s := range all {
			t.Run(kind+"/"+s.name, func(t *testing.T) {
				s.events, s.at = append(slices.Clone(before), s.events...), s.at+len(before)
				convict(t, s, tiles.Options{})
			})
		}
	}
}
