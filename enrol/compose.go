package enrol

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// Compose makes the text of a message of kind phone, agreement, issued, deferred or expired. It goes only to the number that the sealed
// enrolment commits to, and carries a code only while the challenge is the enrolment's current one and could still be
// answered; sms.ErrObsolete otherwise.
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
	if !ch.Spent.IsZero() || !ch.Voided.IsZero() || !s.now().Before(ch.Expires) {
		return sms.Text{}, sms.ErrObsolete
	}
	code, err := s.Trust.Code(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err != nil {
		return sms.Text{}, err
	}
	return sms.Text{To: r.row.Phone, Body: codeText(st.purpose, r, code, s.Provider.Name)}, nil
}

// codeText starts with the code, so that it stands in the first part of a split message. It names who asks and what
// the code does; for the agreement the first characters of its SHA-256, which the portal shows beside the document.
func codeText(purpose sam.Purpose, r record, code, provider string) string {
	format := map[string]string{
		"uk": "Код %s: підтвердження номера телефону. %s. Нікому не кажіть код.",
		"pl": "Kod %s: potwierdzenie numeru telefonu. %s. Nie podawaj kodu nikomu.",
		"en": "Code %s: confirmation of your phone number. %s. Tell the code to nobody.",
	}
	if purpose == sam.PurposeAgreement {
		format = map[string]string{
			"uk": "Код %s: прийняття договору про видачу сертифіката, SHA-256 %s…, %s. Нікому не кажіть код.",
			"pl": "Kod %s: akceptacja umowy o wydanie certyfikatu, SHA-256 %s…, %s. Nie podawaj kodu nikomu.",
			"en": "Code %s: acceptance of the certificate agreement, SHA-256 %s…, %s. Tell the code to nobody.",
		}
	}
	text, ok := format[r.row.Language]
	if !ok {
		text = format["en"]
	}
	who := strings.TrimSuffix(sms.Shorten(provider, 40), ".") // "Sp. z o.o." ends a sentence by itself
	if purpose == sam.PurposeAgreement {
		return fmt.Sprintf(text, code, hex.EncodeToString(r.sealed.Agreement)[:8], who)
	}
	return fmt.Sprintf(text, code, who)
}

// issuedText tells the person that the signature can be used, and until when.
func (s *Service) issuedText(ctx context.Context, r record) (sms.Text, error) {
	if r.sealed.State != StateIssued {
		return sms.Text{}, sms.ErrObsolete
	}
	h, err := s.held(ctx, r.sealed.Credential, "")
	if err != nil {
		return sms.Text{}, err
	}
	format := map[string]string{
		"uk": "Ваш електронний підпис готовий. Сертифікат …%s дійсний до %s. %s.",
		"pl": "Twój podpis elektroniczny jest gotowy. Certyfikat …%s ważny do %s. %s.",
		"en": "Your electronic signature is ready. Certificate …%s is valid until %s. %s.",
	}
	text, ok := format[r.row.Language]
	if !ok {
		text = format["en"]
	}
	serial := h.row.Serial
	return sms.Text{
		To:   r.row.Phone,
		Body: fmt.Sprintf(text, serial[max(0, len(serial)-8):], h.row.NotAfter.Format(time.DateOnly), strings.TrimSuffix(sms.Shorten(s.Provider.Name, 40), ".")),
	}, nil
}

// waitText tells the person that the proof of their identity takes longer, and until when it is waited for; or that the
// enrolment has ended without a certificate.
func (s *Service) waitText(kind sms.Kind, r record) (sms.Text, error) {
	format := map[string]string{
		"uk": "Перевірка вашої особи потребує більше часу, до %s. Результат побачите там, де подали заявку. %s.",
		"pl": "Weryfikacja Twojej tożsamości potrwa dłużej, do %s. Wynik zobaczysz tam, gdzie złożono wniosek. %s.",
		"en": "The check of your identity takes longer, until %s. You will see the result where you applied. %s.",
	}
	if kind == sms.KindExpired {
		format = map[string]string{
			"uk": "Час на видачу вашого сертифіката минув %s. Щоб отримати його, почніть знову. %s.",
			"pl": "Czas na wydanie Twojego certyfikatu minął %s. Aby go otrzymać, zacznij od nowa. %s.",
			"en": "The time to issue your certificate ended on %s. To get one, begin again. %s.",
		}
	}
	if r.sealed.State != map[sms.Kind]State{sms.KindDeferred: StateDeferred, sms.KindExpired: StateExpired}[kind] {
		return sms.Text{}, sms.ErrObsolete
	}
	text, ok := format[r.row.Language]
	if !ok {
		text = format["en"]
	}
	at := r.until
	if kind == sms.KindExpired {
		at = r.sealed.At
	}
	who := strings.TrimSuffix(sms.Shorten(s.Provider.Name, 40), ".")
	return sms.Text{To: r.row.Phone, Body: fmt.Sprintf(text, at.Format(time.DateOnly), who)}, nil
}
