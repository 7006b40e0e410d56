// Package agreement makes the document that a signatory accepts before a certificate is issued: a PDF, from the very
// data that will stand in the certificate, with the content that ETSI EN 319 411-1 clause 6.3.4 asks for.
//
// The same Data give the same bytes, so a document can be made again and compared. That holds for one build of the
// program; what was accepted is the stored file, not a new rendering.
package agreement

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrLanguage: the agreement is not offered in that language. See Languages.
	ErrLanguage = errors.New("agreement: language not offered")
	// ErrField: a value cannot be printed as it is: empty, too long, or with control, direction or other invisible
	// characters. The error names the field and says what it must be; it never repeats the value.
	ErrField = errors.New("agreement: value cannot stand in the document")
	// ErrGlyph: the document's font has no picture for a character, which the error names. It is also an ErrField.
	ErrGlyph = errors.New("agreement: character missing in the font")
)

// Provider is the trust service provider, one party of the agreement.
type Provider struct {
	Name           string
	RegistrationID string // e.g. "VATPL-5260250274", as the organizationIdentifier of its certificates
	Address        string // one line
	PolicyOID      string // dotted, the certificate policy under which it issues
	PDSURL         string // PKI disclosure statement, ETSI EN 319 411-1 annex A
	PDSVersion     string // empty when it is not told
	PDSSHA256      []byte // 32 bytes, of the statement as published; nil when it is not pinned
	Issuer         string // common name of the CA that issues
}

// Terms are the provider's terms and conditions that the agreement makes its own.
type Terms struct {
	Version        string
	URL            string
	SHA256         []byte // 32 bytes, of the terms as published; nil when they are not pinned
	RetentionYears int    // how long records outlive the certificate; ETSI EN 319 411-1 OVR-6.4.6-01 asks for 7 or more
}

// Subject is what the certificate will say of the signatory, byte for byte.
type Subject struct {
	GivenName    string
	Surname      string
	CommonName   string
	LocalName    string // name in the signatory's own script, not in the certificate; may be empty
	Country      string // ISO 3166-1, two capital letters
	SerialNumber string // ETSI EN 319 412-1 clause 5.1.3, e.g. "TINUA-3184710691"

	// The organisation that the certificate names too: the subscriber, whose part of the agreement the signatory accepts
	// for it. Both are empty without one.
	Organisation   string
	OrganisationID string // ETSI EN 319 412-1 clause 5.1.4, e.g. "VATPL-5260250274"
}

// Data is all that a document is made of.
type Data struct {
	Number   string // of the document
	Language string // ISO 639-1, one of Languages
	At       time.Time
	Provider Provider
	Terms    Terms
	Subject  Subject

	Phone         string // E.164; printed with its middle digits masked
	ValidityYears int    // of the certificate, 1 to 10
	KeyAlgorithm  string // e.g. "EC P-256"
	QSCD          bool   // the certificate says that the key is in a qualified signature creation device
	Test          bool   // every page says that the document has no legal force
}

// Render makes the PDF. Errors wrap ErrLanguage, or ErrField (and ErrGlyph).
func Render(d Data) ([]byte, error) {
	t, ok := textsIn(d.Language)
	if !ok {
		return nil, fmt.Errorf("%w: %.16q; choose one of %v", ErrLanguage, d.Language, Languages())
	}
	f, err := loadFonts()
	if err != nil {
		return nil, err
	}
	if err := d.check(f); err != nil {
		return nil, err
	}
	// The footer names the number of pages, so they are counted first.
	count := newSheet(f, t, d, 0)
	count.document(d)
	s := newSheet(f, t, d, count.pdf.PageCount())
	s.document(d)
	var out bytes.Buffer
	if err := s.pdf.Output(&out); err != nil {
		return nil, fmt.Errorf("agreement: write the PDF: %w", err)
	}
	return out.Bytes(), nil
}
