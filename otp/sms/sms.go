// Package sms sends what persons get on their phones: it takes messages from the outbox, has them composed at the last
// moment, and hands the text to a provider. The outbox never holds a code; a text exists only on its way.
package sms

import (
	"context"
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

// Provider hands a text to the phone network.
type Provider interface {
	// Send returns nil once the provider has taken responsibility for the text. id is stable over retries.
	Send(ctx context.Context, id string, kind Kind, text Text) error
}

// Composer makes the text of a message. ErrObsolete says that nobody waits for it any more.
type Composer func(ctx context.Context, m Message) (Text, error)

// Queue is the outbox as the sender sees it.
type Queue interface {
	// Due returns the oldest messages that are due at now, at most limit.
	Due(ctx context.Context, now time.Time, limit int) ([]Message, error)
	// Done removes a message durably. A message may be sent again when the process dies before Done.
	Done(ctx context.Context, id string) error
	// Defer stores the number of attempts and the time of the next one.
	Defer(ctx context.Context, m Message) error
}
