package signer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// CreateRequest asks for signatures over documents or hashes with one credential.
type CreateRequest struct {
	Credential credential.ID
	Title      string            // shown to the person
	Language   string            // of the text to the person: uk, pl or en
	Algorithm  credential.Scheme // of the signatures; empty is the default of the key
	HighValue  bool              // its codes are longer
	Items      []ItemRequest
}

// ItemRequest is a document or a hash, and what it becomes.
type ItemRequest struct {
	Document string // id of an uploaded document, for PAdES and CAdES
	Hash     []byte // by the algorithm's hash, for CAdES, raw, and PAdES over the byte range of a PDF that stays with the client
	Format   Format
	Level    cades.Level // 0: B-B
	Room     int         // PAdESHash: bytes that the client left for the CMS; 0: it wants to know how many are needed
	Options  Options
}

// Upload streams a document into the spool. Nothing is kept unless the whole stream arrives.
func (s *Service) Upload(ctx context.Context, caller Caller, requestID, name string, r io.Reader) (Document, error) {
	if err := s.quota.room(caller.Name, s.Now()); err != nil {
		return Document{}, err
	}
	id, err := s.newID("doc-")
	if err != nil {
		return Document{}, err
	}
	w, err := s.Spool.Create(id)
	if err != nil {
		return Document{}, fmt.Errorf("opening the spool: %w", err)
	}
	defer func() { _ = w.Close() }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, s.MaxBytes+1))
	switch {
	case err != nil:
		return Document{}, fmt.Errorf("receiving the document: %w", err)
	case n > s.MaxBytes:
		return Document{}, &FieldError{"document", fmt.Sprintf("over %d bytes; send hashes instead", s.MaxBytes), ErrTooLarge}
	case n == 0:
		return Document{}, &FieldError{"document", "no bytes arrived", ErrEmpty}
	}
	d := Document{ID: id, Caller: caller.Name, Name: name, Size: n, SHA256: h.Sum(nil), Created: s.Now()}
	print := fingerprint("upload", name, string(d.SHA256))
	if err := w.Commit(); err != nil {
		return Document{}, fmt.Errorf("keeping the document: %w", err)
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		earlier, err := repeated(tx, caller, requestID, print)
		if err != nil {
			return err
		}
		if earlier != "" {
			d, err = tx.Document(earlier)
			return err
		}
		if err := tx.PutDocument(d); err != nil {
			return err
		}
		return tx.PutRequest(caller.Name, requestID, print, d.ID)
	})
	if (err != nil && !errors.Is(err, ErrOutcomeUnknown)) || d.ID != id {
		_ = s.Spool.Remove(id)
	} else {
		s.quota.keep(caller.Name, id, n, d.Created)
		s.hashed.keep(id, h)
	}
	return d, err
}

// fingerprint identifies the body of a call. Codes are never part of it.
func fingerprint(parts ...string) []byte {
	var e credential.Encoder
	e.Strings(parts)
	h := sha256.Sum256(e.Data())
	return h[:]
}

// repeated returns the result of an earlier call with this request id, or "".
func repeated(tx Tx, caller Caller, id string, print []byte) (string, error) {
	earlier, result, err := tx.Request(caller.Name, id)
	if err != nil {
		return "", err
	}
	if earlier != nil && string(earlier) != string(print) {
		return "", &FieldError{"request_id", "use a new id for a new request", ErrRequestReused}
	}
	return result, nil
}

// Create prepares what will be signed, seals it, and sends the first code: steps 1 and 2 of a signature.
//
// The same request id with the same body returns the operation that the first call made.
func (s *Service) Create(ctx context.Context, caller Caller, requestID string, c CreateRequest) (View, error) {
	print := c.fingerprint()
	var earlier string
	var r credential.Record
	var unknown error // what reading r met, which comes after the mistakes in the request
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if earlier, err = repeated(tx, caller, requestID, print); err != nil || earlier != "" {
			return err
		}
		r, unknown = granted(tx, caller, c.Credential)
		return nil
	})
	if err != nil {
		return View{}, err
	}
	if earlier != "" {
		return s.Get(ctx, caller, OperationID(earlier))
	}
	if err := c.validate(); err != nil {
		return View{}, err
	}

	// step 1: prepare. A crash here leaves nothing.
	u, err := s.judge(ctx, c.Credential, r, unknown)
	if errors.Is(err, errMoved) {
		return s.Create(ctx, caller, requestID, c)
	}
	if err != nil {
		return View{}, err
	}
	if c.Algorithm, err = u.scheme(c.Algorithm); err != nil {
		return View{}, err
	}
	if err := c.fits(); err != nil {
		return View{}, err
	}
	items, err := s.prepare(ctx, caller, u, algorithmOf(c.Algorithm), c.Items)
	if err != nil {
		return View{}, err
	}
	o, err := s.sealed(ctx, caller, u, c, items)
	if err != nil {
		return View{}, err
	}
	ch, err := s.challenge(ctx, o, u)
	if err != nil {
		return View{}, err
	}
	failpoint(1)

	// step 2: challenge. A crash after the commit leaves an operation nobody authorised and a message that is sent after restart.
	recipient, giveBack, err := s.spend(caller, u, o.Created)
	if err != nil {
		return View{}, err
	}
	var first otp.Challenge
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if earlier, err = repeated(tx, caller, requestID, print); err != nil || earlier != "" {
			return err
		}
		if err := stillGranted(tx, caller, u); err != nil {
			return err
		}
		tx.Append(audit.SigningRequested{
			Operation: string(o.ID), Credential: string(o.Credential), Caller: o.Caller, BindingVersion: u.binding.Version,
			Algorithm: string(c.Algorithm), DTBSR: digests(items), Documents: documents(items),
		})
		made := o
		made.Challenge = ch.ID
		if err := tx.PutOperation(made); err != nil {
			return err
		}
		if first, err = s.send(tx, ch, o, recipient, false, o.Created); err != nil {
			return err
		}
		return tx.PutRequest(caller.Name, requestID, print, string(o.ID))
	})
	if notSent(err) || earlier != "" {
		giveBack()
	}
	if errors.Is(err, errMoved) { // the credential, meanwhile: what was prepared is not for what it is now
		return s.Create(ctx, caller, requestID, c)
	}
	if err != nil {
		return View{}, s.integrity(ctx, "lock", string(o.Credential), err)
	}
	failpoint(2)
	if earlier != "" {
		return s.Get(ctx, caller, OperationID(earlier))
	}
	o.Version, o.Challenge = o.Version+1, ch.ID
	v, _, err := s.opened(ctx, o)
	v.Code = s.codeSent(first, s.digits(c.HighValue), sms.Delivery{Status: sms.Waiting}, u.record.Phone)
	return v, err // as it was committed: nobody can have changed it, for nobody knows its id yet
}

func (c CreateRequest) fingerprint() []byte {
	parts := []string{"create", string(c.Credential), c.Title, c.Language}
	for _, it := range c.Items {
		parts = append(parts, it.Document, string(it.Hash), string(it.Format))
	}
	for i, it := range c.Items { // five parts, of which the third is no format of an item
		if more := it.more(); more != "" {
			parts = append(parts, "more", strconv.Itoa(i), it.Level.String(), strconv.Itoa(it.Room), more)
		}
	}
	if c.Algorithm != "" { // a fourth part behind items of three: no other body has this fingerprint
		parts = append(parts, string(c.Algorithm))
	}
	if c.HighValue { // no format of an item
		parts = append(parts, "high-value", "high-value", "high-value")
	}
	return fingerprint(parts...)
}

// validate checks what needs no record. The title is shown on a phone, so it may not carry anything that hides or
// reorders text.
func (c CreateRequest) validate() error {
	wrong := func(field, text string) error { return &FieldError{field, text, ErrInput} }
	switch {
	case c.Title == "" || !utf8.ValidString(c.Title) || utf8.RuneCountInString(c.Title) > maxTitle:
		return wrong("title", fmt.Sprintf("1 to %d characters are shown to the person", maxTitle))
	case strings.ContainsFunc(c.Title, func(r rune) bool { return !unicode.IsPrint(r) }):
		return wrong("title", "control, formatting and direction characters are not allowed")
	case c.Language != "uk" && c.Language != "pl" && c.Language != "en":
		return wrong("language", "use uk, pl or en")
	case len(c.Items) == 0 || len(c.Items) > maxItems:
		return wrong("items", fmt.Sprintf("1 to %d items are signed under one code", maxItems))
	}
	for i, it := range c.Items {
		if err := it.validate(fmt.Sprintf("items[%d].", i)); err != nil {
			return err
		}
	}
	return nil
}

// document opens an uploaded document of the caller.
func (s *Service) document(ctx context.Context, caller Caller, id string) (Document, SpoolReader, error) {
	var d Document
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.Document(id)
		return err
	})
	if err != nil {
		return Document{}, nil, err
	}
	if d.Caller != caller.Name {
		return Document{}, nil, ErrNotFound
	}
	f, err := s.Spool.Open(id)
	if errors.Is(err, ErrNotFound) {
		return Document{}, nil, ErrGone
	}
	return d, f, err
}

// sealed makes the operation record and its seal.
func (s *Service) sealed(ctx context.Context, caller Caller, u usable, c CreateRequest, items []Item) (Operation, error) {
	id, err := s.newID("op-")
	if err != nil {
		return Operation{}, err
	}
	now := s.Now().Truncate(time.Microsecond)
	o := Operation{
		ID: OperationID(id), Caller: caller.Name, Credential: u.binding.ID, State: StateRequested,
		Items: MarshalItems(items), Created: now, Expires: now.Add(s.Life),
	}
	details := sha256.Sum256(o.Items)
	o.Sealed, err = s.Trust.SealOperation(ctx, sam.Operation{
		ID: id, Caller: caller.Name, Credential: u.binding.ID, BindingVersion: u.binding.Version, Algorithm: c.Algorithm,
		Digests: digests(items), Title: c.Title, CallerName: caller.Registered, Language: c.Language,
		Documents: documents(items), Details: details[:], Expires: o.Expires, Digits: s.digits(c.HighValue),
	})
	return o, err
}
