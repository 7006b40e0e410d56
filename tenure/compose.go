package tenure

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// Compose makes the text of a message about a credential: the code of a revocation, that it is revoked, that its certificate
// is about to end. It goes only to the number that the binding commits to, and carries a code only while the challenge is
// the current one and could still be answered; sms.ErrObsolete otherwise.
func (s *Service) Compose(ctx context.Context, m sms.Message) (sms.Text, error) {
	if m.Kind == sms.KindEnding {
		return s.composeEnding(ctx, credential.ID(m.Subject))
	}
	return s.composeRevocation(ctx, m)
}

// textOf fills a text that the provider signs with its name.
func (s *Service) textOf(kind sms.Kind, language string, fixed map[string]string) string {
	return custody.Text(kind, language, s.Parts, s.Provider, fixed)
}

// composeRevocation makes the text of a code that revokes, or of the notice that a credential is revoked.
func (s *Service) composeRevocation(ctx context.Context, m sms.Message) (sms.Text, error) {
	id := credential.ID(m.Subject)
	var row credential.Record
	var current otp.ID
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		current, err = tx.RevocationCode(id)
		return err
	})
	if err != nil {
		return sms.Text{}, err
	}
	h, err := s.room.Open(ctx, row)
	if err != nil {
		return sms.Text{}, err
	}
	if m.Kind == sms.KindRevoked {
		if h.Binding.Status != credential.Revoked {
			return sms.Text{}, sms.ErrObsolete
		}
		return s.revocationText(m.Kind, row, ""), nil
	}
	if h.Binding.Status == credential.Revoked || current != otp.ID(m.Challenge) {
		return sms.Text{}, sms.ErrObsolete
	}
	ch, err := s.room.Checked(ctx, current, aboutRevocation(h))
	if err != nil {
		return sms.Text{}, err
	}
	code, err := s.room.Code(ctx, ch, s.now())
	if err != nil {
		return sms.Text{}, err
	}
	return s.revocationText(m.Kind, row, code), nil
}

// revocationText names the certificate by the end of its serial number.
func (s *Service) revocationText(kind sms.Kind, row credential.Record, code string) sms.Text {
	return sms.Text{To: row.Phone, Body: s.textOf(kind, row.Language, map[string]string{
		"code": code, "serial": row.Serial[max(0, len(row.Serial)-8):],
	})}
}

// composeEnding makes the text that tells of the end of a certificate. Nobody is told of one that is over.
func (s *Service) composeEnding(ctx context.Context, id credential.ID) (sms.Text, error) {
	h, err := s.room.Credential(ctx, id)
	if err != nil {
		return sms.Text{}, err
	}
	if h.Binding.Status == credential.Revoked || !s.now().Before(h.Row.NotAfter) {
		return sms.Text{}, sms.ErrObsolete
	}
	serial := h.Row.Serial
	return sms.Text{To: h.Row.Phone, Body: s.textOf(sms.KindEnding, h.Row.Language, map[string]string{
		"serial": serial[max(0, len(serial)-8):], "until": h.Row.NotAfter.Format(time.DateOnly),
	})}, nil
}
