package model_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
)

// state is the model: what the installation must hold. It is changed by commits alone, by the rules of DESIGN and
// docs/design.md, written down here a second time and without a look at how the use cases do it.
type state struct {
	latest      time.Time // of any entry of the log
	operations  map[string]operation
	credentials map[string]credentialState
	enrolments  map[string]enrolment
	challenges  map[string]challenge
	locks       map[[2]string]lock // account, caller
	requests    map[[2]string]request
	outbox      map[string]message // that waits
	phones      map[string]string  // numbers that a subject ever had
	vouchers    map[string]voucher // by code
}

type operation struct {
	caller, credential string
	binding            uint64
	state              signer.State
	outcome            string
	challenge          string
	fence              uint64
	lease, expires     time.Time
	activated          time.Time // the activation ends two minutes later
	digests            [][]byte
	signatures         []string // SHA-256 of each
	entry              int64    // of the log
	runs               int      // activations and resumptions
	uses               int      // of the key, for each digest
}

type credentialState struct {
	status    credential.Status
	version   uint64
	enrolment string
	serial    string
	code      string // current challenge of a revocation
	wrapped   string // key
	notBefore time.Time
	notAfter  time.Time
	grants    string // clients, sorted, each behind a blank
}

type enrolment struct {
	caller     string
	state      enrol.State
	version    uint64
	challenge  string
	expires    time.Time
	phone      string
	person     int
	reference  string
	provider   string
	asked      time.Time // when proofing began
	agreement  string    // SHA-256
	sealed     bool      // the agreement
	key        bool      // a key and an intended certificate are recorded
	credential string
	serial     string
	report     string    // SHA-256 of what was reported
	proof      time.Time // when the identity was proven
	at         time.Time // of the last transition
	other2     bool      // the name under review is the other one
	other      bool      // the enrolment is of the other name that was proven
	shown      bool      // the agreement was fetched
	confirmed  bool      // the phone, by a code
	positive   bool
	accepted   bool
}

type voucher struct {
	hash    string
	expires time.Time
	used    string // enrolment
}

type challenge struct {
	subject, account, caller, purpose string
	number, attempts, sent            int
	expires                           time.Time
	spent, voided                     bool
}

type lock struct {
	failures int
	since    time.Time
	locked   bool
}

type request struct{ body, result string }

type message struct{ kind, subject, challenge string }

func newState() *state {
	return &state{
		operations: map[string]operation{}, credentials: map[string]credentialState{}, enrolments: map[string]enrolment{},
		challenges: map[string]challenge{}, locks: map[[2]string]lock{}, requests: map[[2]string]request{}, outbox: map[string]message{}, phones: map[string]string{}, vouchers: map[string]voucher{},
	}
}

func (s *state) clone() *state {
	c := *s
	c.operations, c.credentials, c.enrolments = maps.Clone(s.operations), maps.Clone(s.credentials), maps.Clone(s.enrolments)
	c.challenges, c.locks, c.requests = maps.Clone(s.challenges), maps.Clone(s.locks), maps.Clone(s.requests)
	c.outbox, c.vouchers, c.phones = maps.Clone(s.outbox), maps.Clone(s.vouchers), maps.Clone(s.phones)
	return &c
}

// observe reads a state from a database: all of what an empty known asks for, else what known speaks of.
func observe(ctx context.Context, db *store.DB, known *state) (*state, error) {
	s := newState()
	var err error
	if s.latest, err = db.LastEntryTime(ctx); err != nil {
		return nil, err
	}
	if err := db.Enrol().View(ctx, func(tx enrol.Tx) error { return s.readEnrol(tx, known) }); err != nil {
		return nil, err
	}
	if err := db.Tenure().View(ctx, s.readTenure); err != nil {
		return nil, err
	}
	waiting, err := db.Outbox().Due(ctx, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), 1000)
	if err != nil {
		return nil, err
	}
	for _, m := range waiting {
		s.outbox[m.ID] = message{string(m.Kind), m.Subject, m.Challenge}
	}
	if known == nil {
		return s, nil
	}
	return s, db.Signer().View(ctx, func(tx signer.Tx) error { return s.readSigner(tx, known) })
}

func (s *state) readEnrol(tx enrol.Tx, known *state) error {
	for _, caller := range []string{portal, portal2} {
		rows, err := tx.Enrolments(caller, "", 1000)
		if err != nil {
			return err
		}
		for _, row := range rows {
			e := readEnrolment(row)
			s.phones[row.ID] = e.phone
			if d, err := tx.Dossier(row.ID); err == nil {
				e.shown = !d.Shown.IsZero() && string(d.Document) == e.agreement
			}
			s.enrolments[row.ID] = e
			if known == nil && row.Challenge != "" {
				if s.challenges[string(row.Challenge)], err = readChallenge(tx, string(row.Challenge)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *state) readTenure(tx tenure.Tx) error {
	rows, err := tx.CredentialsOf("", "", 1000)
	if err != nil {
		return err
	}
	for _, row := range rows {
		var b credential.Binding
		if err := b.UnmarshalBinary(row.Sealed.Record); err != nil {
			return err
		}
		c := credentialState{
			status: b.Status, version: row.Version, enrolment: row.Enrolment, serial: row.Serial, wrapped: string(row.WrappedKey), notBefore: row.NotBefore, notAfter: row.NotAfter,
		}
		for _, client := range []string{docs, docs2} {
			if _, err := tx.Grant(row.ID, client); err == nil {
				c.grants += " " + client
			}
		}
		code, err := tx.RevocationCode(row.ID)
		if err != nil {
			return err
		}
		if c.code = string(code); c.status == credential.Revoked && len(row.WrappedKey) > 0 {
			c.wrapped = "the key of a revoked credential is still there"
		}
		s.credentials[string(row.ID)] = c
	}
	return nil
}

func readEnrolment(row enrol.Enrolment) enrolment {
	e := enrolment{
		caller: row.Caller, state: enrol.State(row.State), version: row.Version, challenge: string(row.Challenge), expires: row.Expires,
		phone: row.Phone, sealed: len(row.Sealing) > 0, key: len(row.Wrapped) > 0,
	}
	r := recordOf(row.Sealed.Record)
	e.reference, e.provider, e.credential, e.serial = r.Identity.Reference, r.Identity.Provider, string(r.Credential), r.Serial
	if len(e.phone) > 2 {
		must(fmt.Sscan(e.phone[len(e.phone)-2:], &e.person))
	}
	e.agreement = string(r.Agreement)
	e.confirmed, e.positive, e.accepted = r.Confirmed != "", r.Identity.Outcome == enrol.Positive, r.AcceptedBy != ""
	e.at, e.report, e.other = r.At, string(r.Identity.Report), r.Person.Surname == otherName
	if e.state == enrol.StateProofing || e.state == enrol.StateDeferred {
		e.asked = r.Identity.At
	} else {
		e.proof = r.Identity.At
	}
	return e
}

func readChallenge(tx otp.Tx, id string) (challenge, error) {
	c, err := tx.Challenge(otp.ID(id))
	return challenge{
		subject: c.Subject, account: c.Account, caller: c.Caller, purpose: c.Purpose, number: c.Number, attempts: c.Attempts, sent: c.Sent,
		expires: c.Expires, spent: !c.Spent.IsZero(), voided: !c.Voided.IsZero(),
	}, err
}

func (s *state) readSigner(tx signer.Tx, known *state) error {
	for id, want := range known.operations {
		o, err := tx.Operation(signer.OperationID(id))
		if err != nil {
			return fmt.Errorf("operation %s: %w", id, err)
		}
		got := want // what has no column of its own
		got.caller, got.credential, got.state, got.outcome = o.Caller, string(o.Credential), o.State, o.Outcome
		got.challenge, got.fence, got.lease, got.expires = string(o.Challenge), o.Fence, o.Lease, o.Expires
		got.entry, got.signatures = o.LogIndex, nil
		for _, signature := range o.Signatures {
			got.signatures = append(got.signatures, sum(signature))
		}
		s.operations[id] = got
	}
	for id := range known.challenges {
		var err error
		if s.challenges[id], err = readChallenge(tx, id); err != nil {
			return fmt.Errorf("challenge %s: %w", id, err)
		}
	}
	for key := range known.locks {
		l, err := tx.Lock(key[0], key[1])
		if err != nil {
			return err
		}
		s.locks[key] = lock{l.Failures, l.Since, !l.Locked.IsZero()}
	}
	for key, want := range known.requests {
		print, result, err := tx.Request(key[0], key[1])
		if err != nil || print == nil {
			return fmt.Errorf("request %v is not kept: %w", key, err)
		}
		s.requests[key] = request{want.body, result}
	}
	return nil
}

// rows writes a state down, a line for each thing it holds.
func (s *state) rows() []string {
	var rows []string
	row := func(format string, args ...any) { rows = append(rows, fmt.Sprintf(format, args...)) }
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format("01-02 15:04:05.000000")
	}
	for id, o := range s.operations {
		row("operation %s: %s for %s, %s %s, challenge %s, fence %d, lease %s, expires %s, entry %d, signed %s",
			id, o.caller, o.credential, o.state, o.outcome, o.challenge, o.fence, at(o.lease), at(o.expires), o.entry, hashes(o.signatures))
	}
	for id, c := range s.credentials {
		row("credential %s: %s, version %d, of %s, certificate %s, granted to%s, revoked by %s, key gone %v", id, c.status, c.version, c.enrolment, c.serial, c.grants, c.code,
			c.status == credential.Revoked && !strings.Contains(c.wrapped, "still there"))
	}
	for id, e := range s.enrolments {
		row("enrolment %s: of %s, %s, version %d, challenge %s, expires %s, phone %s, reference %s of %s, agreement %s sealed %v shown %v, key %v, %s report%s, credential %s, serial %s, %v %v %v",
			id, e.caller, e.state, e.version, e.challenge, at(e.expires), e.phone, e.reference, e.provider, hashes([]string{e.agreement}), e.sealed, e.shown, e.key, at(e.at), hashes([]string{e.report}),
			e.credential, e.serial, e.confirmed, e.positive, e.accepted)
	}
	for id, c := range s.challenges {
		row("challenge %s: %+v", id, c)
	}
	for key, l := range s.locks {
		row("lock %v: %d since %s, locked %v", key, l.failures, at(l.since), l.locked)
	}
	for key, r := range s.requests {
		row("request %v: %s", key, r.result)
	}
	for id, m := range s.outbox {
		row("message %s: %+v", id, m)
	}
	slices.Sort(rows)
	return rows
}

func hashes(list []string) string {
	var text string
	for _, h := range list {
		text += " " + hex.EncodeToString([]byte(h))[:min(8, 2*len(h))]
	}
	return text
}

// differences says in which rows two states differ.
func differences(want, got *state) []string {
	var all []string
	have := map[string]int{}
	for _, r := range want.rows() {
		have[r]++
	}
	for _, r := range got.rows() {
		have[r] -= 2
		if have[r] == -2 {
			all = append(all, "there is  "+r)
		}
	}
	for r, n := range have {
		if n == 1 {
			all = append(all, "foreseen  "+r)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if a[10:] < b[10:] {
			return -1
		}
		return 1
	})
	return all
}
