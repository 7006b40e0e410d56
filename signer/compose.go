package signer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// Compose makes the text that carries the code of a signing operation. Everything it says comes from sealed records,
// and it goes only to the number to which binding and challenge are committed.
func (s *Service) Compose(ctx context.Context, m sms.Message) (sms.Text, error) {
	var o Operation
	var ch otp.Challenge
	var r credential.Record
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if o, err = tx.Operation(OperationID(m.Subject)); err != nil {
			return err
		}
		if ch, err = tx.Challenge(otp.ID(m.Challenge)); err != nil {
			return err
		}
		r, err = tx.Credential(o.Credential)
		return err
	})
	if err != nil {
		return sms.Text{}, err
	}
	if o.State != StateRequested || o.Challenge != ch.ID || !s.Now().Before(ch.Expires) {
		return sms.Text{}, sms.ErrObsolete
	}
	text, err := s.compose(ctx, o, ch, r)
	if err != nil {
		return sms.Text{}, s.integrity(ctx, "challenge", m.Challenge, err)
	}
	return text, nil
}

func (s *Service) compose(ctx context.Context, o Operation, ch otp.Challenge, r credential.Record) (sms.Text, error) {
	b, err := s.Trust.OpenBinding(ctx, r.Sealed)
	if err != nil {
		return sms.Text{}, err
	}
	sealed, err := s.Trust.OpenOperation(ctx, o.Sealed)
	if err != nil {
		return sms.Text{}, err
	}
	if err := matches(o, sealed); err != nil {
		return sms.Text{}, err
	}
	challenge := credential.Sealed{Record: ch.Record, Seal: ch.Seal}
	c, err := s.Trust.OpenChallenge(ctx, challenge)
	if err != nil {
		return sms.Text{}, err
	}
	phone := sam.PhoneCommitment(r.PhoneSalt, r.Phone)
	if !bytes.Equal(phone, b.Phone) || !bytes.Equal(phone, c.Phone) || !bytes.Equal(c.Subject, o.Sealed.Seal) ||
		c.ID != string(ch.ID) || c.Purpose != sam.PurposeSign || !c.Expires.Equal(ch.Expires) {
		return sms.Text{}, fmt.Errorf("%w: phone, challenge and binding do not agree", sam.ErrSeal)
	}
	code, err := s.Trust.Code(ctx, challenge)
	if err != nil {
		return sms.Text{}, err
	}
	return sms.Text{To: r.Phone, Body: codeText(sealed, code)}, nil
}

// codeText starts with the code, so that it stands in the first part of a split message, and names who asks and what
// is signed: title, count, and the first characters of the first document's SHA-256.
func codeText(o sam.Operation, code string) string {
	format := map[string]string{
		"uk": "Код %s. Підпис для «%s»: «%s», документів: %d, SHA-256 %s… Нікому не кажіть код.",
		"pl": "Kod %s. Podpis dla „%s”: „%s”, dokumentów: %d, SHA-256 %s… Nie podawaj kodu nikomu.",
		"en": "Code %s. Signature for “%s”: “%s”, documents: %d, SHA-256 %s… Tell the code to nobody.",
	}[o.Language]
	return fmt.Sprintf(format, code, sms.Shorten(o.CallerName, 24), sms.Shorten(o.Title, 40), len(o.Documents),
		hex.EncodeToString(o.Documents[0])[:8])
}

// Run sweeps until ctx ends; it belongs to whoever starts it.
func (s *Service) Run(ctx context.Context, every time.Duration, failed func(error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, err := s.Sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
				failed(err)
			}
		}
	}
}
