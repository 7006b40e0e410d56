// Package sms sends what persons get on their phones: it takes messages from the outbox, has them composed at the last
// moment, and hands the text to a provider. The outbox never holds a code; a text exists only on its way.
package sms

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what a message is for and so which use case composes it.
type Kind string

// Kinds of messages.
const (
	KindPhone     Kind = "phone"     // code that proves the phone
	KindAgreement Kind = "agreement" // code that accepts the agreement
	KindSign      Kind = "sign"      // code that authorises a signing operation
	KindIssued    Kind = "issued"    // notice: the signature can be used
	KindSigned    Kind = "signed"    // notice: it was used
	KindDeferred  Kind = "deferred"  // notice: the proof of the identity takes longer
	KindExpired   Kind = "expired"   // notice: the enrolment was not finished in time
	KindRevoke    Kind = "revoke"    // code that revokes a credential
	KindRevoked   Kind = "revoked"   // notice: the credential is revoked
	KindEnding    Kind = "ending"    // notice: the certificate is about to end
)

// Message is one row of the outbox. It holds references only.
type Message struct {
	ID        string
	Kind      Kind
	Subject   string // id of the enrolment, operation or credential
	Challenge string // id of the challenge whose code the text carries, empty for notices
	CreatedAt time.Time
	Attempts  int       // failed deliveries so far
	NotBefore time.Time // when the next attempt is due
}

// MessageID names the n-th text that carries the code of a challenge, from 1. The name is the same for a unit of work that
// runs twice, and another for each text: a second one never falls together with one that still waits.
func MessageID(challenge string, n int) string {
	if n <= 1 {
		return "msg-" + challenge
	}
	return fmt.Sprintf("msg-%s-%d", challenge, n)
}

// Text is a composed message: whom it goes to and what it says.
type Text struct {
	To   string // E.164
	Body string
}

// ErrRejected: the provider will never take this text; another one might.
var ErrRejected = errors.New("sms: the provider rejects this text")

// Accepted is who took a text, and under which name of its own.
type Accepted struct {
	Provider  string
	Reference string // empty where the provider gives none
}

// Provider hands a text to the phone network.
type Provider interface {
	// Send returns once the provider has taken responsibility for the text. id is stable over retries: a text may be sent
	// again when its first answer was lost. ErrRejected ends that. No error holds the text or the number.
	Send(ctx context.Context, id string, kind Kind, text Text) (Accepted, error)
}

// Status is how far a text has come.
type Status string

// Statuses of a text, in order. What the phone network reports is a hint: nothing depends on it.
const (
	Waiting   Status = "waiting"   // in the outbox
	Taken     Status = "accepted"  // a provider took responsibility
	Delivered Status = "delivered" // the phone has it, says the provider
	Failed    Status = "failed"    // given up by us, or undeliverable, says the provider
)

// Delivery is what became of a text. It names neither number nor person.
type Delivery struct {
	Message   string
	Kind      Kind
	Challenge string // whose code it carried, empty for notices
	Status    Status
	Accepted
	At time.Time // of the status
}

// Deliveries shows what became of texts.
type Deliveries interface {
	// Delivery returns status Waiting for a message of which nothing is known yet.
	Delivery(message string) (Delivery, error)
}

// Report is what a provider says later of a text, by our name of it or its own.
type Report struct {
	Provider, Message, Reference string
	Status                       Status // Delivered or Failed
	At                           time.Time
}

// ErrUnknownMessage: a report is about no text that this provider took.
var ErrUnknownMessage = errors.New("sms: no such message")

// Ledger keeps reports.
type Ledger interface {
	// Report stores what a provider says and returns the text's delivery. A text that was delivered stays so.
	// ErrUnknownMessage.
	Report(ctx context.Context, r Report) (Delivery, error)
}

// Composer makes the text of a message. ErrObsolete says that nobody waits for it any more.
type Composer func(ctx context.Context, m Message) (Text, error)

// Queue is the outbox as the sender sees it.
type Queue interface {
	// Due returns the oldest messages that are due at now, at most limit.
	Due(ctx context.Context, now time.Time, limit int) ([]Message, error)
	// Done removes a message durably that nobody waits for.
	Done(ctx context.Context, id string) error
	// Settle removes a message and keeps what became of it, unless more is known already. A message may be sent again when
	// the process dies before.
	Settle(ctx context.Context, d Delivery) error
	// Defer stores the number of attempts and the time of the next one.
	Defer(ctx context.Context, m Message) error
}
