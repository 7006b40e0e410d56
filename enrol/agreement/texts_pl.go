package agreement

import "strconv"

// polish is the agreement in Polish. It says the same as ukrainian, section by section.
func polish() texts {
	return texts{
		language: "polski",
		edition:  "pl-2",
		title:    "UMOWA",
		subtitle: "o wydanie kwalifikowanego certyfikatu podpisu elektronicznego",
		preamble: "Umowę zawierają {provider} (dalej\u00a0— Dostawca) oraz osoba wskazana niżej (dalej\u00a0— Podpisujący). " +
			"Proszę przeczytać ją w\u00a0całości: z\u00a0chwilą jej akceptacji Dostawca utworzy klucz prywatny Podpisującego i\u00a0wyda " +
			"certyfikat dokładnie z\u00a0tymi danymi, które podano w\u00a0rozdziale\u00a02.",
		test:     "TEST — bez mocy prawnej",
		testMark: "TEST",

		number:   "Nr",
		document: "Umowa nr", dated: "Sporządzono", version: "Wersja tekstu", page: "Strona %d z %d",
		provider: "DOSTAWCA", signatory: "PODPISUJĄCY",
		registration: "Identyfikator rejestrowy", address: "Adres",
		identifier: "Identyfikator", country: "Kraj", phone: "Telefon do kodów",
		surname: "Nazwisko", givenName: "Imię", commonName: "Nazwa powszechna",
		localName: "W języku ojczystym (poza certyfikatem)", serialNumber: "Identyfikator osoby",
		validity: "Okres ważności", keyAlgorithm: "Algorytm klucza",
		keyUsage: "Przeznaczenie klucza", keyUsageValue: "wyłącznie podpis elektroniczny (nonRepudiation)",
		device: "Miejsce klucza", deviceQSCD: "kwalifikowane urządzenie do składania podpisu (QcSSCD)",
		devicePlain: "sprzętowy moduł bezpieczeństwa Dostawcy",
		policy:      "Polityka certyfikacji", terms: "Regulamin usługi", termsDigest: "SHA-256 Regulaminu", pds: "Oświadczenie o zasadach PKI",
		pdsDigest: "SHA-256 Oświadczenia", issuer: "Urząd wydający", retention: "Zapisy przechowywane po wygaśnięciu",
		organisation: "Organizacja", organisationID: "Identyfikator organizacji", subscriber: "ZAMAWIAJĄCY",
		required: "wymagane", optional: "dobrowolne", consent: "oświadczenie:",
		acceptedFor: "Podpisujący akceptuje rozdział\u00a012 w\u00a0imieniu {organisation}",
		field:       "Pole certyfikatu", value: "Wartość",
		sealed: "Pieczęć elektroniczna Dostawcy", sealedHow: "Składana na tym pliku po akceptacji umowy",
		accepted: "Akceptacja jednorazowym kodem", acceptedHow: "Kod jest wysyłany na numer {phone}",

		parties: section{"Strony", nil},
		data: section{"Dane certyfikatu", []string{
			"Certyfikat zostanie wydany dokładnie z\u00a0tymi danymi. Imiona i\u00a0nazwisko zapisano tak jak w\u00a0dokumencie, na " +
				"podstawie którego ustalono tożsamość. Okres ważności\u00a0— {validity}, licząc od chwili wydania.",
		}},
		sections: append(polishDuties(), polishConsents()...),
		effectQSCD: "Kwalifikowany podpis elektroniczny złożony z\u00a0użyciem tego certyfikatu ma skutek prawny równoważny " +
			"podpisowi własnoręcznemu (art.\u00a025 rozporządzenia (UE) nr\u00a0910/2014).",
		effectPlain: "Podpisowi elektronicznemu złożonemu z\u00a0użyciem tego certyfikatu nie można odmówić skutku prawnego wyłącznie " +
			"dlatego, że ma postać elektroniczną (art.\u00a025 rozporządzenia (UE) nr\u00a0910/2014).",
		declarations: section{"Oświadczenia Podpisującego", []string{
			"Dane w\u00a0rozdziale\u00a02 są prawidłowe i\u00a0to one mają znaleźć się w\u00a0certyfikacie.",
			"Zapoznałem (zapoznałam) się z\u00a0Regulaminem i\u00a0Oświadczeniem o\u00a0zasadach PKI i\u00a0przyjmuję obowiązki określone " +
				"w\u00a0rozdziałach\u00a05\u00a0i\u00a07.",
			"Zgadzam się, aby mój klucz znajdował się w\u00a0module bezpieczeństwa Dostawcy i\u00a0był używany tak, jak określa rozdział\u00a04.",
			"Zgadzam się na przechowywanie zapisów oraz na ich przekazanie, gdyby Dostawca zakończył działalność, zgodnie " +
				"z\u00a0rozdziałem\u00a08.",
			"Zgadzam się na publikację mojego certyfikatu zgodnie z\u00a0rozdziałem\u00a09.",
		}},
		subscriberPart: section{"Część Zamawiającego", []string{
			"{organisation}, {organisation_id} (dalej\u00a0— Zamawiający), zleca wydanie certyfikatu Podpisującemu i\u00a0jest w\u00a0nim " +
				"wymieniony obok niego. Certyfikat i\u00a0złożone z\u00a0jego użyciem podpisy pozostają certyfikatem i\u00a0podpisami Podpisującego. " +
				"Rozdziały od\u00a01 do\u00a011 stanowią część Podpisującego, ten rozdział\u00a0— część Zamawiającego.",
			"Zamawiający potwierdza, że jego nazwa i\u00a0identyfikator w\u00a0rozdziale\u00a02 są prawidłowe i\u00a0że Podpisujący może być " +
				"wymieniony razem z\u00a0nim.",
			"Zamawiający niezwłocznie występuje o\u00a0unieważnienie, gdy Podpisujący przestanie działać na jego rzecz, gdy zmieni się jego " +
				"nazwa lub identyfikator albo gdy dowie się o\u00a0przypadku wymienionym w\u00a0punkcie\u00a07.1.",
			"Zamawiający zapoznał się z\u00a0Regulaminem i\u00a0Oświadczeniem o\u00a0zasadach PKI i\u00a0zgadza się na przechowywanie oraz " +
				"przekazanie dotyczących go zapisów zgodnie z\u00a0rozdziałem\u00a08.",
			"Mam prawo działać w\u00a0imieniu organizacji {organisation} i\u00a0w\u00a0jej imieniu akceptuję ten rozdział.",
		}},

		months: [12]string{
			"stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca",
			"lipca", "sierpnia", "września", "października", "listopada", "grudnia",
		},
		date:  "%d %s %d r.",
		years: polishYears,
	}
}

// polishDuties are sections 3 to 7: who does what.
func polishDuties() []section {
	return []section{
		{"Przedmiot umowy", []string{
			"Dostawca wydaje Podpisującemu kwalifikowany certyfikat podpisu elektronicznego, tworzy dla niego klucz prywatny " +
				"i\u00a0publiczny oraz umożliwia podpisywanie dokumentów elektronicznych na odległość, bez karty ani innego nośnika.",
			"{effect}",
			"Częścią umowy są Regulamin usługi, wersja {terms} ({terms_url}), oraz Oświadczenie o\u00a0zasadach PKI ({pds_url}). " +
				"Podpisujący mógł je przeczytać i\u00a0zapisać przed akceptacją umowy.",
		}},
		{"Klucz prywatny pod wyłączną kontrolą", []string{
			"Podpisujący zgadza się, aby jego klucz prywatny był tworzony i\u00a0używany wyłącznie wewnątrz chronionego sprzętowego " +
				"modułu bezpieczeństwa (HSM) Dostawcy. Poza modułem klucz istnieje tylko w\u00a0postaci przez niego zaszyfrowanej.",
			"Klucz pozostaje pod wyłączną kontrolą Podpisującego: każde podpisanie wymaga jednorazowego kodu wysłanego na numer " +
				"{phone} i\u00a0ważnego tylko dla tych dokumentów, które wskazuje wiadomość.",
			"Bez takiego kodu Dostawca nie używa klucza. Każda operacja jest zapisywana w\u00a0dzienniku, z\u00a0którego nie można " +
				"niezauważenie usunąć wpisu.",
		}},
		{"Obowiązki Podpisującego", []string{
			"Podać prawdziwe, pełne i\u00a0aktualne dane oraz osobiście przejść ustalenie tożsamości.",
			"Przed wpisaniem kodu upewnić się, że podpisywany jest właśnie ten dokument, który chce podpisać.",
			"Nie ujawniać kodów nikomu, także pracownikom Dostawcy, oraz zachować kontrolę nad telefonem i\u00a0kartą SIM.",
			"Używać klucza wyłącznie do podpisu elektronicznego i\u00a0w\u00a0granicach wskazanych w\u00a0certyfikacie i\u00a0Regulaminie.",
			"Niezwłocznie wystąpić o\u00a0unieważnienie certyfikatu w\u00a0przypadkach wymienionych w\u00a0punkcie\u00a07.1.",
			"Nie używać klucza po unieważnieniu lub upływie ważności certyfikatu ani po zawiadomieniu o\u00a0naruszeniu " +
				"bezpieczeństwa klucza lub Dostawcy.",
		}},
		{"Obowiązki Dostawcy", []string{
			"Wydać certyfikat dopiero po ustaleniu tożsamości Podpisującego i\u00a0wyłącznie z\u00a0potwierdzonymi danymi.",
			"Całodobowo i\u00a0bezpłatnie udostępniać informacje o\u00a0statusie certyfikatu, także po upływie jego ważności.",
			"Zawiadamiać Podpisującego o\u00a0wydaniu certyfikatu i\u00a0o\u00a0każdej zmianie jego statusu.",
		}},
		{"Unieważnienie certyfikatu", []string{
			"Podpisujący ma obowiązek niezwłocznie wystąpić o\u00a0unieważnienie, jeżeli utracił kontrolę nad telefonem lub numerem, " +
				"jeżeli kod albo inny środek dostępu stał się znany innej osobie, jeżeli istnieje podejrzenie użycia klucza bez jego " +
				"woli albo jeżeli dane w\u00a0certyfikacie są nieprawidłowe lub się zmieniły.",
			"Wniosek składa się w\u00a0sposób wskazany w\u00a0Regulaminie. Dostawca sprawdza, czy wnioskujący ma do tego prawo.",
			"Dostawca publikuje nowy status nie później niż w\u00a0ciągu 24\u00a0godzin od otrzymania wniosku. Unieważnienie działa od " +
				"chwili publikacji i\u00a0jest ostateczne: unieważniony certyfikat nie odzyskuje ważności.",
			"Dostawca sam unieważnia certyfikat, jeżeli dowie się, że jego dane są nieprawidłowe, jeżeli wymaga tego prawo albo " +
				"jeżeli klucz, algorytm lub moduł bezpieczeństwa przestały być godne zaufania.",
		}},
	}
}

// polishConsents are sections 8 to 11: what the signatory agrees to, and how.
func polishConsents() []section {
	return []section{
		{"Zapisy i dane osobowe", []string{
			"Podpisujący zgadza się, aby Dostawca przechowywał informacje o\u00a0rejestracji, ustaleniu tożsamości, utworzeniu klucza, " +
				"wydaniu i\u00a0unieważnieniu certyfikatu, a\u00a0także tę umowę i\u00a0dowód jej akceptacji co najmniej {retention} od " +
				"chwili, gdy certyfikat przestanie być ważny.",
			"Podpisujący zgadza się, aby w\u00a0razie zakończenia działalności Dostawcy zapisy te zostały przekazane osobie trzeciej, " +
				"która będzie je przechowywać na tych samych zasadach.",
			"Dane osobowe są przetwarzane zgodnie z\u00a0rozporządzeniem (UE) 2016/679 i\u00a0usuwane po upływie okresu przechowywania.",
		}},
		{"Publikacja certyfikatu", []string{
			"Dostawca publikuje certyfikat w\u00a0ogólnie dostępnym rejestrze tylko wtedy, gdy Podpisujący zgodzi się na to " +
				"w\u00a0rozdziale\u00a010. Bez tej zgody umowa jest tak samo ważna, a\u00a0certyfikat widzą tylko odbiorcy dokumentów, " +
				"które Podpisujący podpisze.",
			"Informacje o\u00a0statusie (numer seryjny certyfikatu i\u00a0fakt unieważnienia) są ogólnie dostępne; nie zawierają nazwisk.",
		}},
		{"Jak akceptuje się umowę", []string{
			"Portal pokazuje ten dokument i\u00a0jego skrót SHA-256, dzięki któremu można sprawdzić, że zachowano właśnie ten plik, " +
				"który przeczytał Podpisujący.",
			"Każde oświadczenie Podpisujący składa w\u00a0portalu osobno; bez oświadczeń oznaczonych jako wymagane umowy nie można " +
				"zaakceptować. Umowę ze złożonymi oświadczeniami akceptuje, wpisując jednorazowy kod wysłany na numer {phone}. " +
				"Kod działa jeden raz i\u00a0tylko dla tego dokumentu.",
			"Po akceptacji Dostawca składa na dokumencie swoją pieczęć elektroniczną. Czas i\u00a0sposób akceptacji, złożone " +
				"oświadczenia oraz skrót dokumentu są chronione przed zmianą i\u00a0zapisywane w\u00a0dzienniku; samego kodu Dostawca nie przechowuje.",
			"Jeżeli dane zmienią się przed akceptacją, sporządza się nowy dokument, a\u00a0ten traci ważność. Jeżeli kod nie zostanie " +
				"wpisany, umowy nie zawarto: klucz nie powstaje i\u00a0certyfikat nie jest wydawany.",
			"W\u00a0sprawach nieuregulowanych stosuje się Regulamin oraz prawo państwa, w\u00a0którym zarejestrowano Dostawcę. " +
				"Reklamacje składa się w\u00a0sposób wskazany w\u00a0Regulaminie.",
		}},
	}
}

func polishYears(n int) string {
	word := "lat"
	switch {
	case n == 1:
		word = "rok"
	case n%100 >= 12 && n%100 <= 14:
	case n%10 >= 2 && n%10 <= 4:
		word = "lata"
	}
	return strconv.Itoa(n) + " " + word
}
