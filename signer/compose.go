package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// Compose makes the text that carries the code of a signing operation, or the notice that it was signed. Everything it
// says comes from sealed records, and it goes only to the number to which binding and challenge are committed.
func (s *Service) Compose(ctx context.Context, m sms.Message) (sms.Text, error) {
	text, err := s.text(ctx, m)
	if errors.Is(err, errMoved) {
		return s.Compose(ctx, m)
	}
	return text, err
}

func (s *Service) text(ctx context.Context, m sms.Message) (sms.Text, error) {
	var o Operation
	var ch otp.Challenge
	var r credential.Record
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if o, err = tx.Operation(OperationID(m.Subject)); err != nil {
			return err
		}
		if m.Challenge != "" {
			if ch, err = tx.Challenge(otp.ID(m.Challenge)); err != nil {
				return err
			}
		}
		r, err = tx.Credential(o.Credential)
		return err
	})
	if err != nil {
		return sms.Text{}, err
	}
	if m.Kind == sms.KindSigned {
		return s.notice(ctx, m, o, r)
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
	b, sealed, err := s.spokenOf(ctx, o, r)
	if err != nil {
		return sms.Text{}, err
	}
	challenge := credential.Sealed{Record: ch.Record, Seal: ch.Seal}
	c, err := s.Trust.OpenChallenge(ctx, challenge)
	if err != nil {
		return sms.Text{}, err
	}
	if !bytes.Equal(c.Phone, b.Phone) || !bytes.Equal(c.Subject, o.Sealed.Seal) || c.ID != string(ch.ID) ||
		c.Purpose != sam.PurposeSign || !c.Expires.Equal(ch.Expires) {
		return sms.Text{}, fmt.Errorf("%w: phone, challenge and binding do not agree", sam.ErrSeal)
	}
	code, err := s.Trust.Code(ctx, challenge)
	if err != nil {
		return sms.Text{}, err
	}
	return sms.Text{To: r.Phone, Body: codeText(sealed, code, s.Parts)}, nil
}

// spokenOf opens what a text speaks of, and holds the number against the binding.
func (s *Service) spokenOf(ctx context.Context, o Operation, r credential.Record) (credential.Binding, sam.Operation, error) {
	b, err := s.Trust.OpenBinding(ctx, r.Sealed)
	if err = s.unlessReplaced(ctx, r, err); err != nil {
		return credential.Binding{}, sam.Operation{}, err
	}
	if b.ID != r.ID || !bytes.Equal(sam.PhoneCommitment(r.PhoneSalt, r.Phone), b.Phone) {
		return credential.Binding{}, sam.Operation{}, fmt.Errorf("%w: the phone is not the bound one", sam.ErrSeal)
	}
	sealed, err := s.Trust.OpenOperation(ctx, o.Sealed)
	if err == nil {
		err = matches(o, sealed)
	}
	return b, sealed, err
}

// notice tells the person that the credential was used. One about an operation of an earlier epoch has come too late: its
// seal can no longer be checked.
func (s *Service) notice(ctx context.Context, m sms.Message, o Operation, r credential.Record) (sms.Text, error) {
	if o.State != StateSigned {
		return sms.Text{}, sms.ErrObsolete
	}
	if _, err := s.Trust.OpenOperation(ctx, o.Sealed); errors.Is(err, sam.ErrSeal) {
		return sms.Text{}, sms.ErrObsolete
	}
	_, sealed, err := s.spokenOf(ctx, o, r)
	if err != nil {
		return sms.Text{}, s.integrity(ctx, "operation", string(o.ID), err)
	}
	return sms.Text{To: r.Phone, Body: sms.Compose(sms.KindSigned, sealed.Language, s.Parts, sms.Fields{
		Fixed: map[string]string{"count": strconv.Itoa(len(sealed.Documents)), "time": m.CreatedAt.UTC().Format("2006-01-02 15:04 UTC")},
		Names: map[string]string{"who": sealed.CallerName, "title": sealed.Title},
	})}, nil
}

// codeText names who asks and what is signed: title, count, and the hash and first characters of DocumentsDigest.
func codeText(o sam.Operation, code string, parts int) string {
	digest := DocumentsDigest(o.Documents)
	return sms.Compose(sms.SignText(len(o.Documents)), o.Language, parts, sms.Fields{
		Fixed: map[string]string{
			"code": code, "count": strconv.Itoa(len(o.Documents)),
			"by": fmt.Sprintf("SHA-%d", 8*len(digest)), "hash": hex.EncodeToString(digest)[:shownDigits],
		},
		Names: map[string]string{"who": o.CallerName, "title": o.Title},
	})
}

// shownDigits is how many hexadecimal digits of a digest a text shows.
const shownDigits = 8

// DocumentsDigest is the digest of which the text to the person shows the first characters: of one document its digest, of
// several the SHA-256 over all their digests, one behind the other in the order of the operation. The digest of an uploaded
// document is its SHA-256, whatever is signed; that of one which stays with the caller is the hash that was given.
func DocumentsDigest(documents [][]byte) []byte {
	if len(documents) == 1 {
		return documents[0]
	}
	sum := sha256.Sum256(bytes.Join(documents, nil))
	return sum[:]
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
