package enrol

import "github.com/ecsigner/ecsigner/sam"

// nextText says to the person what happens next. Who was sent back by the identity proofing is told so.
func (r record) nextText() string {
	state := r.sealed.State
	switch {
	case state == StateData && r.next() == ActionSetPersonalData:
		state = wrongData
	case state == StatePhone && r.row.Proofing.Reason != "":
		state = proveAgain
	}
	return nextText(state, r.row.Language)
}

// Not states, but steps back to one, with words of their own.
const (
	wrongData  State = "data, to be corrected"
	proveAgain State = "phone, to be proven again"
)

// nextText is the sentence of a state, in one of the languages of agreements.
func nextText(state State, language string) string {
	texts, ok := nextTexts()[state]
	if !ok {
		return ""
	}
	if text, ok := texts[language]; ok {
		return text
	}
	return texts["en"]
}

func nextTexts() map[State]map[string]string {
	return map[State]map[string]string{
		StateCreated: {
			"uk": "Ваучер прийнято. Виберіть, яким має бути сертифікат.",
			"pl": "Voucher został przyjęty. Proszę wybrać, jaki ma być certyfikat.",
			"en": "The voucher was accepted. Choose what the certificate is to be like.",
		},
		StateParameters: {
			"uk": "Укажіть свої дані так, як вони записані в документі, і номер телефону.",
			"pl": "Proszę podać swoje dane tak, jak zapisano je w dokumencie, oraz numer telefonu.",
			"en": "Give your data as they stand in your document, and your phone number.",
		},
		StateData: {
			"uk": "Підтвердьте номер телефону кодом, який надійде в повідомленні.",
			"pl": "Proszę potwierdzić numer telefonu kodem, który nadejdzie w wiadomości.",
			"en": "Confirm your phone number with the code that comes in a message.",
		},
		StatePhone: {
			"uk": "Телефон підтверджено. Тепер підтвердьте свою особу.",
			"pl": "Telefon został potwierdzony. Teraz proszę potwierdzić swoją tożsamość.",
			"en": "The phone is confirmed. Now prove your identity.",
		},
		wrongData: {
			"uk": "Особу не встановлено з указаними даними. Виправте дані або номер телефону, щоб вони були як у документі.",
			"pl": "Nie ustalono tożsamości na podstawie podanych danych. Proszę poprawić dane lub numer telefonu, aby były takie jak w dokumencie.",
			"en": "Your identity was not proven with these data. Correct your data or your phone number, so that they are as in your document.",
		},
		proveAgain: {
			"uk": "Встановлення особи не завершилося або застаріло. Підтвердьте свою особу ще раз.",
			"pl": "Ustalanie tożsamości nie zakończyło się lub straciło ważność. Proszę potwierdzić swoją tożsamość ponownie.",
			"en": "The identity proofing did not come to an end, or is too old. Prove your identity again.",
		},
		StateProofing: {
			"uk": "Триває встановлення особи. Завершіть його та зачекайте на результат.",
			"pl": "Trwa ustalanie tożsamości. Proszę je dokończyć i poczekać na wynik.",
			"en": "Your identity is being proven. Finish that, and wait for the result.",
		},
		sam.StateDeferred: {
			"uk": "Результат встановлення особи ще перевіряють. Робити нічого не потрібно: ми повідомимо, щойно він буде.",
			"pl": "Wynik ustalenia tożsamości jest jeszcze sprawdzany. Nic nie trzeba robić: powiadomimy, gdy będzie gotowy.",
			"en": "The result of the identity proofing is still being examined. There is nothing to do: we tell you as soon as it is there.",
		},
		sam.StateReview: {
			"uk": "Особу встановлено, але дані відрізняються від указаних. Перегляньте їх і підтвердьте або виправте.",
			"pl": "Tożsamość została ustalona, ale dane różnią się od podanych. Proszę je przejrzeć i potwierdzić albo poprawić.",
			"en": "Your identity is proven, but the data differ from those you gave. Look at them, and confirm or correct them.",
		},
		StateProven: {
			"uk": "Особу встановлено. Прочитайте договір і прийміть його кодом, який надійде в повідомленні.",
			"pl": "Tożsamość została ustalona. Proszę przeczytać umowę i zaakceptować ją kodem, który nadejdzie w wiadomości.",
			"en": "Your identity is proven. Read the agreement, and accept it with the code that comes in a message.",
		},
		StateIssuing: {
			"uk": "Договір прийнято. Створюються ключ і сертифікат; робити нічого не потрібно.",
			"pl": "Umowa została zaakceptowana. Powstają klucz i certyfikat; nic nie trzeba robić.",
			"en": "The agreement is accepted. Key and certificate are being made; there is nothing to do.",
		},
		StateIssued: {
			"uk": "Ваш електронний підпис готовий.",
			"pl": "Państwa podpis elektroniczny jest gotowy.",
			"en": "Your electronic signature is ready.",
		},
		StateRejected: {
			"uk": "Особу встановити не вдалося, тому сертифікат не видано. Зверніться до служби підтримки.",
			"pl": "Nie udało się ustalić tożsamości, dlatego certyfikat nie został wydany. Proszę skontaktować się z pomocą.",
			"en": "Your identity could not be proven, so no certificate was issued. Please contact support.",
		},
		StateCancelled: {
			"uk": "Оформлення скасовано, сертифікат не видано. Щоб почати знову, потрібен новий ваучер.",
			"pl": "Wydawanie zostało anulowane, certyfikat nie został wydany. Aby zacząć od nowa, potrzebny jest nowy voucher.",
			"en": "The enrolment was cancelled, no certificate was issued. To begin again you need a new voucher.",
		},
		sam.StateExpired: {
			"uk": "Оформлення не завершено вчасно, сертифікат не видано. Щоб почати знову, потрібен новий ваучер.",
			"pl": "Wydawania nie ukończono na czas, certyfikat nie został wydany. Aby zacząć od nowa, potrzebny jest nowy voucher.",
			"en": "The enrolment was not finished in time, no certificate was issued. To begin again you need a new voucher.",
		},
	}
}
