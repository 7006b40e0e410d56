package sms

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// DefaultParts is how many parts of the phone network a text may take unless an installation says otherwise.
const DefaultParts = 2

// Fields fill the places of a text: {name} in it.
type Fields struct {
	Fixed map[string]string // stand as they are: codes, numbers, digests, times
	Names map[string]string // chosen by strangers: made neutral, and shortened until the text fits
}

// textSignMany is the text of a code for several documents.
const textSignMany Kind = "sign-many"

// textRenewal is the text of a code that accepts and signs the agreement of a renewal.
const textRenewal Kind = "agreement-renewal"

// texts are all texts by kind and language. The code stands before any name, so that it is in the first part of each
// text, and with all names at their shortest each fits into two parts.
func texts() map[Kind]map[string]string {
	return map[Kind]map[string]string{
		KindPhone: {
			"uk": "Код {code}: підтвердження номера телефону. {who}. Нікому не кажіть код.",
			"pl": "Kod {code}: potwierdzenie numeru telefonu. {who}. Nie podawaj kodu nikomu.",
			"en": "Code {code}: confirmation of your phone number. {who}. Tell the code to nobody.",
		},
		KindAgreement: {
			"uk": "Код {code}: прийняття договору про видачу сертифіката, SHA-256 {hash}…, {who}. Нікому не кажіть код.",
			"pl": "Kod {code}: akceptacja umowy o wydanie certyfikatu, SHA-256 {hash}…, {who}. Nie podawaj kodu nikomu.",
			"en": "Code {code}: acceptance of the certificate agreement, SHA-256 {hash}…, {who}. Tell the code to nobody.",
		},
		textRenewal: {
			"uk": "Код {code}: прийняття та підпис договору про новий сертифікат, SHA-256 {hash}…, {who}. Нікому не кажіть код.",
			"pl": "Kod {code}: akceptacja i podpis umowy o nowy certyfikat, SHA-256 {hash}…, {who}. Nie podawaj kodu nikomu.",
			"en": "Code {code}: acceptance and signature of the agreement for a new certificate, SHA-256 {hash}…, {who}. Tell the code to nobody.",
		},
		KindSign: {
			"uk": "Код {code}. Підпис для «{who}»: «{title}», документів: {count}, {by} {hash}… Нікому не кажіть код.",
			"pl": "Kod {code}. Podpis dla „{who}”: „{title}”, dokumentów: {count}, {by} {hash}… Nie podawaj kodu nikomu.",
			"en": "Code {code}. Signature for “{who}”: “{title}”, documents: {count}, {by} {hash}… Tell the code to nobody.",
		},
		textSignMany: {
			"uk": "Код {code}. Підпис для «{who}»: «{title}», документів: {count}, SHA-256 усіх {hash}… Нікому не кажіть код.",
			"pl": "Kod {code}. Podpis dla „{who}”: „{title}”, dokumentów: {count}, SHA-256 całości {hash}… Nie podawaj kodu nikomu.",
			"en": "Code {code}. Signature for “{who}”: “{title}”, documents: {count}, SHA-256 of all {hash}… Tell the code to nobody.",
		},
		KindIssued: {
			"uk": "Ваш електронний підпис готовий. Сертифікат …{serial} дійсний до {until}. {who}.",
			"pl": "Twój podpis elektroniczny jest gotowy. Certyfikat …{serial} ważny do {until}. {who}.",
			"en": "Your electronic signature is ready. Certificate …{serial} is valid until {until}. {who}.",
		},
		KindDeferred: {
			"uk": "Перевірка вашої особи потребує більше часу, до {until}. Результат побачите там, де подали заявку. {who}.",
			"pl": "Weryfikacja Twojej tożsamości potrwa dłużej, do {until}. Wynik zobaczysz tam, gdzie złożono wniosek. {who}.",
			"en": "The check of your identity takes longer, until {until}. You will see the result where you applied. {who}.",
		},
		KindExpired: {
			"uk": "Час на видачу вашого сертифіката минув {until}. Щоб отримати його, почніть знову. {who}.",
			"pl": "Czas na wydanie Twojego certyfikatu minął {until}. Aby go otrzymać, zacznij od nowa. {who}.",
			"en": "The time to issue your certificate ended on {until}. To get one, begin again. {who}.",
		},
		KindSigned: {
			"uk": "Вашим підписом підписано для «{who}»: «{title}», документів: {count}, {time}. Це не ви? Зверніться до надавача.",
			"pl": "Twoim podpisem podpisano dla „{who}”: „{title}”, dokumentów: {count}, {time}. To nie Ty? Zgłoś to dostawcy.",
			"en": "Your signature was used for “{who}”: “{title}”, documents: {count}, {time}. Not you? Tell the provider.",
		},
		KindEnding: {
			"uk": "Сертифікат …{serial} вашого електронного підпису дійсний до {until}. Подбайте про новий. {who}.",
			"pl": "Certyfikat …{serial} Twojego podpisu elektronicznego jest ważny do {until}. Pora na nowy. {who}.",
			"en": "Certificate …{serial} of your electronic signature ends on {until}. Please see to a new one. {who}.",
		},
		KindRevoke: {
			"uk": "Код {code}: відкликання сертифіката …{serial} назавжди, ключ буде знищено. {who}. Нікому не кажіть код.",
			"pl": "Kod {code}: unieważnienie certyfikatu …{serial} na zawsze, klucz będzie zniszczony. {who}. Nie podawaj kodu nikomu.",
			"en": "Code {code}: revocation of certificate …{serial} for good, its key will be destroyed. {who}. Tell the code to nobody.",
		},
		KindRevoked: {
			"uk": "Сертифікат …{serial} відкликано назавжди, його ключ знищено. Якщо це не ви, зверніться до {who}.",
			"pl": "Certyfikat …{serial} został unieważniony na zawsze, jego klucz zniszczono. Jeśli to nie Ty, zgłoś się do {who}.",
			"en": "Certificate …{serial} is revoked for good and its key is destroyed. If that was not you, turn to {who}.",
		},
	}
}

// AgreementText is the kind of text that carries the code for an agreement, of a renewal or a first one.
func AgreementText(renewal bool) Kind {
	if renewal {
		return textRenewal
	}
	return KindAgreement
}

// SignText is the kind of text that carries a code for so many documents.
func SignText(documents int) Kind {
	if documents > 1 {
		return textSignMany
	}
	return KindSign
}

// Compose fills the text of a kind in a language, English where there is none of it, and shortens its names, the longest
// first, until it takes at most so many parts; 0 parts are DefaultParts.
func Compose(kind Kind, language string, parts int, f Fields) string {
	text := cmp.Or(texts()[kind][language], texts()[kind]["en"])
	parts = cmp.Or(parts, DefaultParts)
	names := make(map[string]string, len(f.Names))
	for name, value := range f.Names {
		names[name] = Shorten(Neutral(value), parts*septetsPart)
	}
	for {
		filled := plain(fill(text, f.Fixed, names))
		longest, size := "", 2 // a character and "…"
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if n := utf8.RuneCountInString(names[name]); n > size {
				longest, size = name, n
			}
		}
		if longest == "" || len(Parts(filled)) <= parts {
			return filled
		}
		names[longest] = shorter(names[longest], size)
	}
}

// shorter takes the last character from a name of n characters, or the one before its "…".
func shorter(name string, n int) string {
	if whole, cut := strings.CutSuffix(name, "…"); cut {
		return Shorten(whole+"x", n-1)
	}
	return Shorten(name, n-1)
}

// plain writes a text without typographic marks where these alone keep it out of the default alphabet, in which more than
// twice as many characters fit into a part.
func plain(text string) string {
	simple := strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "’", "'", "…", "...", "–", "-", "—", "-").Replace(text)
	if strings.ContainsFunc(simple, func(r rune) bool { return septets(r) == 0 }) {
		return text
	}
	return simple
}

func fill(text string, fixed, names map[string]string) string {
	var pairs []string
	for _, fields := range []map[string]string{fixed, names} {
		for name, value := range fields {
			pairs = append(pairs, "{"+name+"}", value)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text) // in one pass: no value is taken for a place
}
