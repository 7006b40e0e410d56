package agreement

// texts is the agreement in one language. In clauses, names in braces stand for values:
// {provider}, {phone}, {validity}, {terms}, {terms_url}, {pds_url}, {retention}, {effect}, {organisation},
// {organisation_id}.
type texts struct {
	language string // its own name
	edition  string // of these texts; a changed word is a new edition
	title    string
	subtitle string
	preamble string
	test     string // mark on every page of a document without legal force
	testMark string // the same, in one word, across the page

	// Labels.
	number                          string // before the agreement's number
	document, dated, version, page  string // page has two %d: this one and how many
	provider, signatory             string // role of the party
	registration, address           string
	identifier, country, phone      string
	surname, givenName, commonName  string
	localName, serialNumber         string
	validity, keyAlgorithm          string
	keyUsage, keyUsageValue         string
	device, deviceQSCD, devicePlain string
	policy, terms, termsDigest, pds string
	pdsDigest, issuer, retention    string
	organisation, organisationID    string
	subscriber                      string // role of the organisation
	required, optional, consent     string // of a declaration
	acceptedFor                     string // what the signatory accepts for the organisation
	field, value                    string // heads of the table
	sealed, sealedHow               string // what stands for the signature of the provider
	accepted, acceptedHow           string // and of the signatory

	parties, data section   // their numbered clauses follow a figure
	sections      []section // 3 to 9 and 11
	effectQSCD    string
	effectPlain   string
	declarations  section // 10, one clause for each consent, in their order

	// subscriberPart is section 12, where the subscriber is an organisation; its last clause is a consent.
	subscriberPart section

	months [12]string // as in a date
	date   string     // fmt: day, month, year
	years  func(n int) string
}

// section is a numbered part of the agreement.
type section struct {
	heading string
	clauses []string
}

// Languages lists what Data.Language may be.
func Languages() []string { return []string{"uk", "pl", "en"} }

// textsIn returns the texts of a language that Languages names.
func textsIn(language string) (texts, bool) {
	all := map[string]func() texts{
		"uk": ukrainian, "pl": polish, "en": english,
	}
	if f, ok := all[language]; ok {
		return f(), true
	}
	return texts{}, false
}
