package agreement

import "strings"

// Consent is one thing that the signatory agrees to, on its own, by ETSI EN 319 411-1 clause 6.3.4.
type Consent struct {
	Name     string // stable: it is sealed and logged
	Text     string // as the agreement has it
	Required bool   // the agreement cannot be accepted without it
}

// Names of consents, in the order of the agreement.
const (
	ConsentData        = "data"        // the data are correct
	ConsentObligations = "obligations" // the duties are accepted, terms and disclosure statement were read
	ConsentDevice      = "device"      // the key is held and used in the provider's device
	ConsentRecords     = "records"     // records are kept, and handed over when the provider ends
	ConsentPublication = "publication" // the certificate is published; the only one that may be refused
	ConsentSubscriber  = "subscriber"  // the organisation's part is accepted for it, by somebody entitled to
)

// Consents returns what an agreement in the language asks for, in its order; organisation is the subscriber's name,
// empty where the signatory is the subscriber. nil for a language that Languages does not name.
func Consents(language, organisation string) []Consent {
	t, ok := textsIn(language)
	if !ok {
		return nil
	}
	list := t.consents()
	if organisation != "" {
		part := t.subscriberPart.clauses
		text := strings.ReplaceAll(part[len(part)-1], "{organisation}", organisation)
		list = append(list, Consent{ConsentSubscriber, text, true})
	}
	return list
}

// consents are the declarations of the signatory; the texts have them in this order.
func (t texts) consents() []Consent {
	var list []Consent
	for i, name := range []string{ConsentData, ConsentObligations, ConsentDevice, ConsentRecords, ConsentPublication} {
		list = append(list, Consent{name, t.declarations.clauses[i], name != ConsentPublication})
	}
	return list
}

// Edition names the text of the agreement in a language; a changed word is a new one. "" for an unknown language.
func Edition(language string) string {
	t, _ := textsIn(language)
	return t.edition
}
