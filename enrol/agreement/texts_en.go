package agreement

import "strconv"

// english is the agreement in English. It says the same as ukrainian, section by section.
func english() texts {
	return texts{
		language: "English",
		edition:  "en-2",
		title:    "AGREEMENT",
		subtitle: "on the issuance of a qualified certificate for electronic signatures",
		preamble: "This agreement is made between {provider} (the Provider) and the person named below (the Signatory). Please " +
			"read it in full: as soon as you accept it, the Provider will create your private key and issue a certificate with " +
			"exactly the data set out in section\u00a02.",
		test:     "TEST — without legal effect",
		testMark: "TEST",

		number:   "No.",
		document: "Agreement No.", dated: "Drawn up on", version: "Edition of the text", page: "Page %d of %d",
		provider: "PROVIDER", signatory: "SIGNATORY",
		registration: "Registration identifier", address: "Address",
		identifier: "Identifier", country: "Country", phone: "Phone for codes",
		surname: "Surname", givenName: "Given name", commonName: "Common name",
		localName: "In the person’s own script (not in the certificate)", serialNumber: "Identifier of the person",
		validity: "Validity", keyAlgorithm: "Key algorithm",
		keyUsage: "Key usage", keyUsageValue: "electronic signatures only (nonRepudiation)",
		device: "Where the key is held", deviceQSCD: "in a qualified signature creation device (QcSSCD)",
		devicePlain: "in the Provider’s hardware security module",
		policy:      "Certificate policy", terms: "Terms and conditions", termsDigest: "SHA-256 of the Terms", pds: "PKI disclosure statement",
		pdsDigest: "SHA-256 of the statement", issuer: "Issuing authority", retention: "Records are kept after the end",
		organisation: "Organisation", organisationID: "Identifier of the organisation", subscriber: "SUBSCRIBER",
		required: "required", optional: "optional", consent: "consent:",
		acceptedFor: "The Signatory accepts section\u00a012 for {organisation}",
		field:       "Field of the certificate", value: "Value",
		sealed: "Electronic seal of the Provider", sealedHow: "Applied to this file after the agreement is accepted",
		accepted: "Acceptance by a one-time code", acceptedHow: "The code is sent to {phone}",

		parties: section{"Parties", nil},
		data: section{"Data of the certificate", []string{
			"The certificate will be issued with exactly these data. Names are written as in the document by which the identity " +
				"was proven. It is valid for {validity} from the moment of issuance.",
		}},
		sections: append(englishDuties(), englishConsents()...),
		effectQSCD: "A qualified electronic signature created with this certificate has the equivalent legal effect of a " +
			"handwritten signature (Article\u00a025 of Regulation (EU) No\u00a0910/2014).",
		effectPlain: "An electronic signature created with this certificate shall not be denied legal effect solely because it is " +
			"in electronic form (Article\u00a025 of Regulation (EU) No\u00a0910/2014).",
		declarations: section{"Declarations of the Signatory", []string{
			"The data in section\u00a02 are correct, and it is these that shall stand in the certificate.",
			"I have read the Terms and the PKI disclosure statement, and I accept the duties set out in sections\u00a05\u00a0and\u00a07.",
			"I agree that my key is held in the Provider’s security module and used as section\u00a04 says.",
			"I agree that records are kept, and handed over if the Provider ceases its activity, as section\u00a08 says.",
			"I agree that my certificate is published as section\u00a09 says.",
		}},
		subscriberPart: section{"Part of the Subscriber", []string{
			"{organisation}, {organisation_id} (the Subscriber), has the certificate issued for the Signatory, and the certificate " +
				"names it beside them. The certificate and the signatures made with it remain those of the Signatory. " +
				"Sections\u00a01 to\u00a011 are the part of the Signatory, this section is that of the Subscriber.",
			"The Subscriber confirms that its name and identifier in section\u00a02 are correct and that the Signatory may be named with it.",
			"The Subscriber asks for revocation at once when the Signatory no longer acts for it, when its name or identifier has " +
				"changed, or when it learns of a case of clause\u00a07.1.",
			"The Subscriber has read the Terms and the PKI disclosure statement and agrees that records on it are kept and handed over " +
				"as section\u00a08 says.",
			"I am entitled to act for {organisation}, and I accept this section for it.",
		}},

		months: [12]string{
			"January", "February", "March", "April", "May", "June",
			"July", "August", "September", "October", "November", "December",
		},
		date: "%d %s %d",
		years: func(n int) string {
			if n == 1 {
				return "1 year"
			}
			return strconv.Itoa(n) + " years"
		},
	}
}

// englishDuties are sections 3 to 7: who does what.
func englishDuties() []section {
	return []section{
		{"Subject of the agreement", []string{
			"The Provider issues to the Signatory a qualified certificate for electronic signatures, creates a private and a " +
				"public key for it, and makes it possible to sign electronic documents remotely, without a card or other token.",
			"{effect}",
			"The Terms and conditions, version {terms} ({terms_url}), and the PKI disclosure statement ({pds_url}) are part of " +
				"this agreement. The Signatory was able to read and keep them before accepting it.",
		}},
		{"Private key under sole control", []string{
			"The Signatory agrees that the private key is created and used only inside the Provider’s protected hardware " +
				"security module (HSM). Outside the module the key exists only in a form encrypted by it.",
			"The key is under the Signatory’s sole control: every signing needs a one-time code that is sent to {phone} and is " +
				"valid only for the documents that the message names.",
			"Without such a code the Provider does not use the key. Every operation is recorded in a log from which no entry " +
				"can be removed unnoticed.",
		}},
		{"Duties of the Signatory", []string{
			"To give true, complete and current data and to go through the proofing of identity personally.",
			"To make sure, before entering a code, that it is the very document they want to sign.",
			"To tell codes to nobody, the Provider’s staff included, and to keep the phone and its SIM card under control.",
			"To use the key for electronic signatures only and within the limits set in the certificate and the Terms.",
			"To ask for revocation of the certificate at once in the cases of clause\u00a07.1.",
			"Not to use the key after the certificate was revoked or has expired, nor after notice that the key or the Provider " +
				"was compromised.",
		}},
		{"Duties of the Provider", []string{
			"To issue the certificate only after the Signatory’s identity was proven, and only with confirmed data.",
			"To make the status of the certificate available day and night and free of charge, also after it has expired.",
			"To notify the Signatory of the issuance of the certificate and of every change of its status.",
		}},
		{"Revocation of the certificate", []string{
			"The Signatory must ask for revocation at once when control over the phone or its number is lost, when a code or " +
				"another means of access became known to somebody else, when the key may have been used against their will, or " +
				"when data in the certificate are wrong or have changed.",
			"The request is made in the way that the Terms set out. The Provider checks whether whoever asks is entitled to it.",
			"The Provider publishes the new status within 24\u00a0hours of receiving the request. Revocation takes effect upon " +
				"publication and is final: a revoked certificate does not become valid again.",
			"The Provider revokes the certificate itself when it learns that its data are wrong, when the law requires it, or " +
				"when key, algorithm or security module can no longer be relied upon.",
		}},
	}
}

// englishConsents are sections 8 to 11: what the signatory agrees to, and how.
func englishConsents() []section {
	return []section{
		{"Records and personal data", []string{
			"The Signatory agrees that the Provider keeps records of the registration, the identity proofing, the creation of " +
				"the key, and the issuance and revocation of the certificate, as well as this agreement and the evidence of its " +
				"acceptance, for at least {retention} after the certificate ceases to be valid.",
			"The Signatory agrees that, if the Provider ceases its activity, these records are handed over to a third party, " +
				"which will keep them on the same terms.",
			"Personal data are processed under Regulation (EU) 2016/679 and erased at the end of the retention period.",
		}},
		{"Publication of the certificate", []string{
			"The Provider publishes the certificate in its public directory only if the Signatory agrees to that in section\u00a010. " +
				"Without it the agreement is just as good, and only those who receive documents that the Signatory signed see the certificate.",
			"Information on the status (the serial number of the certificate and the fact of revocation) is public; it holds no names.",
		}},
		{"How the agreement is accepted", []string{
			"The portal shows this document and its SHA-256 digest, by which everybody can check that the file that was kept is " +
				"the one that the Signatory read.",
			"The Signatory makes each declaration on the portal on its own; without those that are marked as required the agreement " +
				"cannot be accepted. They accept the agreement with the declarations made by entering a one-time code that is sent " +
				"to {phone}. The code works once and for this document only.",
			"After the acceptance the Provider applies its electronic seal to the document. Time and manner of the acceptance, " +
				"the declarations made and the digest of the document are protected against change and recorded in the log; the code itself is not kept.",
			"If data change before the acceptance, a new document is drawn up and this one is void. If no code is entered, no " +
				"agreement is made: no key is created and no certificate issued.",
			"What the agreement does not settle is governed by the Terms and by the law of the state in which the Provider is " +
				"registered. Complaints are made in the way that the Terms set out.",
		}},
	}
}
