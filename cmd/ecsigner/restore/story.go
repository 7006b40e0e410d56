package restore

import (
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/otp"
)

// story is what the operation log tells, as far as rows of the database say it too. The gap is the part of the log that the
// backup lacks.
type story struct {
	latest time.Time

	certificates map[string]*certificate       // by serial number
	bindings     map[string][]binding          // by credential, in order of their versions
	keys         map[string]audit.KeyGenerated // by enrolment
	accounts     map[string]string             // whom failures of a challenge lock, by challenge
	grants       map[[2]string]bool            // credential, client: those that changed in the gap
	destroyed    map[string]bool               // credentials whose key was destroyed
	renewing     map[string]string             // the latest operation that signs a renewal, by its enrolment

	gap gap
}

type certificate struct {
	serial, credential, enrolment string
	revokedAt                     time.Time
	reason                        string // empty unless revoked
}

type binding struct {
	audit.BindingChanged
	gap bool
}

// gap is what happened after the backup.
type gap struct {
	vouchers   []string                          // made
	redeemed   map[string]string                 // enrolment, by voucher
	enrolments []string                          // begun
	changed    map[string]audit.EnrolmentChanged // the last change, by enrolment
	closed     map[string]bool                   // enrolments that ended
	operations map[string]*operation
	order      []string // of operations
	clients    []string
	tries      []try
}

type operation struct {
	id        string
	requested bool // in the gap, so that no row stands for it
	activated bool
	ended     string // "signed", or the outcome with which it was closed; empty while open
}

// try is what changes a lock, in order.
type try struct {
	challenge, account, caller string
	result                     otp.Result // empty: an operator unlocked
	attempt                    uint64
	at                         time.Time
}

func newStory() *story {
	return &story{
		certificates: map[string]*certificate{}, bindings: map[string][]binding{}, keys: map[string]audit.KeyGenerated{},
		accounts: map[string]string{}, grants: map[[2]string]bool{}, destroyed: map[string]bool{}, renewing: map[string]string{},
		gap: gap{
			redeemed: map[string]string{}, changed: map[string]audit.EnrolmentChanged{}, closed: map[string]bool{},
			operations: map[string]*operation{},
		},
	}
}

// tell takes the next event. gap says that the backup lacks it.
func (s *story) tell(at time.Time, event audit.Event, gap bool) {
	if at.After(s.latest) {
		s.latest = at
	}
	switch e := event.(type) {
	case audit.CertificateIssued:
		s.certificates[e.Serial] = &certificate{serial: e.Serial, credential: e.Credential, enrolment: e.Enrolment}
	case audit.CertificateRevoked:
		if c := s.certificates[e.Serial]; c != nil {
			c.revokedAt, c.reason = at, e.Reason
		}
	case audit.BindingChanged:
		s.bindings[e.Credential] = append(s.bindings[e.Credential], binding{e, gap})
	case audit.KeyDestroyed:
		s.destroyed[e.Credential] = true
	case audit.KeyGenerated:
		s.keys[e.Enrolment] = e
	case audit.SigningRequested:
		if e.Enrolment != "" {
			s.renewing[e.Enrolment] = e.Operation
		}
	case audit.CodeRequested: // older entries of tries do not name the account
		s.accounts[e.Challenge] = e.Subject
		if e.Credential != "" {
			s.accounts[e.Challenge] = e.Credential
		}
	}
	if gap {
		s.missed(at, event)
	}
}

// missed takes an event that the backup lacks.
func (s *story) missed(at time.Time, event audit.Event) {
	g := &s.gap
	switch e := event.(type) {
	case audit.VoucherCreated:
		g.vouchers = append(g.vouchers, e.Voucher)
	case audit.EnrolmentCreated:
		g.redeemed[e.Voucher] = e.Enrolment
		g.enrolments = append(g.enrolments, e.Enrolment)
	case audit.EnrolmentChanged:
		g.changed[e.Enrolment] = e
	case audit.EnrolmentClosed:
		g.closed[e.Enrolment] = true
	case audit.AccessGranted:
		s.grants[[2]string{e.Credential, e.Client}] = true
	case audit.AccessWithdrawn:
		s.grants[[2]string{e.Credential, e.Client}] = false
	case audit.ClientAdded:
		g.clients = append(g.clients, e.Client)
	case audit.CodeRefused:
		if e.Attempt > 0 { // else it was refused without counting
			g.tries = append(g.tries, try{e.Challenge, s.account(e.Challenge, e.Account), e.Caller, otp.Rejected, e.Attempt, at})
		}
	case audit.CodeAccepted:
		g.tries = append(g.tries, try{e.Challenge, s.account(e.Challenge, e.Account), e.Caller, otp.Accepted, e.Attempt, at})
	case audit.CodeUnlocked:
		g.tries = append(g.tries, try{account: e.Credential, caller: e.Caller, at: at})
	case audit.SigningRequested:
		s.operation(e.Operation).requested = true
	case audit.SigningActivated:
		s.operation(e.Operation).activated = true
	case audit.SigningSigned:
		s.operation(e.Operation).ended = signed
	case audit.SigningClosed:
		s.operation(e.Operation).ended = e.Outcome
	}
}

// account is whom a try of a challenge counts for: as the entry says, else as the request for the code did.
func (s *story) account(challenge, told string) string {
	if told != "" {
		return told
	}
	return s.accounts[challenge]
}

const signed = "signed"

func (s *story) operation(id string) *operation {
	o := s.gap.operations[id]
	if o == nil {
		o = &operation{id: id}
		s.gap.operations[id] = o
		s.gap.order = append(s.gap.order, id)
	}
	return o
}
