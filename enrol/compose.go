package enrol

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// Compose makes the text of a message about an enrolment. It goes only to the number that the sealed enrolment commits to,
// and carries a code only while the challenge is its current one and could still be answered; sms.ErrObsolete otherwise.
func (s *Service) Compose(ctx context.Context, m sms.Message) (sms.Text, error) {
	r, err := s.any(ctx, m.Subject)
	if err != nil {
		return sms.Text{}, err
	}
	if m.Kind == sms.KindIssued {
		return s.issuedText(ctx, r)
	}
	if m.Kind == sms.KindDeferred || m.Kind == sms.KindExpired {
		return s.waitText(m.Kind, r)
	}
	st, open := stepOf(r.sealed.State)
	if !open || st.kind != m.Kind || r.row.Challenge != otp.ID(m.Challenge) {
		return sms.Text{}, sms.ErrObsolete
	}
	ch, err := s.checked(ctx, r, r.row.Challenge, st)
	if err != nil {
		return sms.Text{}, err
	}
	code, err := s.room.Code(ctx, ch, s.now())
	if err != nil {
		return sms.Text{}, err
	}
	return sms.Text{To: r.row.Phone, Body: s.codeText(st.kind, r, code)}, nil
}

// codeText names who asks and what the code does; for the agreement the first characters of its SHA-256, which the
// portal shows beside the document.
func (s *Service) codeText(kind sms.Kind, r record, code string) string {
	fixed := map[string]string{"code": code}
	if kind == sms.KindAgreement {
		fixed["hash"] = hex.EncodeToString(r.sealed.Agreement)[:8]
		kind = sms.AgreementText(r.sealed.Renews != "")
	}
	return s.textOf(kind, r.row.Language, fixed)
}

// textOf fills a text that the provider signs with its name.
func (s *Service) textOf(kind sms.Kind, language string, fixed map[string]string) string {
	return custody.Text(kind, language, s.Parts, s.Provider.Name, fixed)
}

// issuedText tells the person that the signature can be used, and until when.
func (s *Service) issuedText(ctx context.Context, r record) (sms.Text, error) {
	if r.sealed.State != StateIssued {
		return sms.Text{}, sms.ErrObsolete
	}
	h, err := s.room.Credential(ctx, r.sealed.Credential)
	if err != nil {
		return sms.Text{}, err
	}
	serial := h.Row.Serial
	return sms.Text{To: r.row.Phone, Body: s.textOf(sms.KindIssued, r.row.Language, map[string]string{
		"serial": serial[max(0, len(serial)-8):], "until": h.Row.NotAfter.Format(time.DateOnly),
	})}, nil
}

// waitText tells the person that the proof of their identity takes longer, and until when it is waited for; or that the
// enrolment has ended without a certificate.
func (s *Service) waitText(kind sms.Kind, r record) (sms.Text, error) {
	if r.sealed.State != map[sms.Kind]State{sms.KindDeferred: StateDeferred, sms.KindExpired: StateExpired}[kind] {
		return sms.Text{}, sms.ErrObsolete
	}
	at := r.until
	if kind == sms.KindExpired {
		at = r.sealed.At
	}
	return sms.Text{To: r.row.Phone, Body: s.textOf(kind, r.row.Language, map[string]string{"until": at.Format(time.DateOnly)})}, nil
}
