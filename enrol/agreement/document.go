package agreement

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// document sets the whole agreement.
func (s *sheet) document(d Data) {
	values := s.values(d)
	s.title(d)
	s.paragraph(body(), values.Replace(s.t.preamble))
	s.partyCards(d)
	s.heading(2, s.t.data.heading, 40)
	s.clauses(2, s.t.data.clauses, values, 0)
	s.table(d)
	boxes, height := s.signatureBoxes(d, values)
	end := height + signatureGap
	for i, part := range s.t.sections {
		if i < declarationsAt {
			s.section(i+3, part, values, 0)
			continue
		}
		s.consents(i+3, s.t.declarations, s.t.consents(), values)
		if d.Subject.Organisation == "" {
			s.section(i+4, part, values, end)
			break
		}
		s.section(i+4, part, values, 0)
		s.subscriberPart(i+5, d, values, end)
	}
	s.signatures(boxes, height)
}

// declarationsAt is how many of the sections stand before the declarations.
const declarationsAt = 7

// subscriberPart sets the organisation's part: its clauses, and the consent with which it is accepted.
func (s *sheet) subscriberPart(n int, d Data, values *strings.Replacer, follows float64) {
	part := s.t.subscriberPart
	last := len(part.clauses) - 1
	all := Consents(d.Language, d.Subject.Organisation)
	s.section(n, section{part.heading, part.clauses[:last]}, values, 0)
	s.consentRow(fmt.Sprintf("%d.%d.", n, last+1), all[len(all)-1], values, follows)
}

// consents sets declarations, each with what it is called in the evidence and whether it can be refused.
func (s *sheet) consents(n int, part section, list []Consent, values *strings.Replacer) {
	s.heading(n, part.heading, 3*body().h())
	for i, c := range list {
		s.consentRow(fmt.Sprintf("%d.%d.", n, i+1), c, values, 0)
	}
	s.y += 1.1
}

func (s *sheet) consentRow(number string, c Consent, values *strings.Replacer, follows float64) {
	const column, pad = 34.0, 1.6
	st, tag := body(), style{bold: true, size: sizeSmall, colour: navy()}
	word := s.t.required
	if !c.Required {
		word, tag.colour = s.t.optional, muted()
	}
	lines := s.wrap(st, values.Replace(c.Text), right-left-indent-column)
	h := max(float64(len(lines))*st.h(), tag.h()+small().h()) + 2*pad
	s.need(h + follows)
	s.fill(left+indent-2, s.y, right-left-indent+2, h, tint())
	s.text(left, s.y+pad, style{size: sizeBody, colour: muted()}, number)
	s.lines(left+indent, s.y+pad, st, lines)
	s.textRight(right-2, s.y+pad, tag, word)
	name := s.t.consent + " " + c.Name
	s.textRight(right-2, s.y+pad+tag.h(), s.fit(small(), name, column-4), name)
	s.y += h + 0.9
}

// values puts data in the place of names in braces. A replacer reads its input once, so data that look like such a name
// are printed as they are.
func (s *sheet) values(d Data) *strings.Replacer {
	effect := s.t.effectPlain
	if d.QSCD {
		effect = s.t.effectQSCD
	}
	return strings.NewReplacer(
		"{provider}", d.Provider.Name, "{phone}", maskPhone(d.Phone), "{validity}", s.t.years(d.ValidityYears),
		"{terms}", d.Terms.Version, "{terms_url}", d.Terms.URL, "{pds_url}", d.Provider.PDSURL,
		"{retention}", s.t.years(d.Terms.RetentionYears), "{effect}", effect,
		"{organisation}", d.Subject.Organisation, "{organisation_id}", d.Subject.OrganisationID,
	)
}

func (s *sheet) title(d Data) {
	s.textCentre(s.y, style{true, 19, navy()}, s.t.title)
	s.y += 9.5
	subtitle := style{size: 11.5, colour: navy()}
	for _, l := range s.wrap(subtitle, s.t.subtitle, right-left) {
		s.textCentre(s.y, subtitle, l)
		s.y += subtitle.h()
	}
	s.y += 2
	at := d.At.UTC()
	day := fmt.Sprintf(s.t.date, at.Day(), s.t.months[at.Month()-1], at.Year())
	s.textCentre(s.y, body().b(), s.t.number+" "+d.Number)
	s.y += body().h()
	s.textCentre(s.y, small(), s.t.dated+" "+day+", "+at.Format("15:04:05")+" UTC")
	s.y += small().h() + 3
	if s.test {
		mark := style{true, 10.5, alarm()}
		s.fill(left, s.y, right-left, 9, ghost())
		s.frame(left, s.y, right-left, 9, alarm())
		s.textCentre(s.y+(9-mark.h())/2, mark, s.t.test)
		s.y += 12
	}
}

func (s *sheet) paragraph(st style, text string) {
	for _, l := range s.wrap(st, text, right-left) {
		s.need(st.h())
		s.text(left, s.y, st, l)
		s.y += st.h()
	}
	s.y += 1.5
}

// heading sets the head of a section on the same page as what follows, of which it keeps room for the height given.
func (s *sheet) heading(n int, text string, follows float64) {
	st := style{true, 10.8, navy()}
	const gap = 3.4
	s.need(gap + st.h() + follows)
	if s.y > top {
		s.y += gap
	}
	s.use(st)
	s.pdf.Bookmark(strconv.Itoa(n)+". "+text, 0, s.y)
	s.text(left, s.y, st, strconv.Itoa(n)+".")
	s.text(left+indent, s.y, st, text)
	s.y += st.h() + 1
}

func (s *sheet) section(n int, part section, values *strings.Replacer, follows float64) {
	first := float64(len(s.wrap(body(), values.Replace(part.clauses[0]), right-left-indent)))
	s.heading(n, part.heading, first*body().h())
	s.clauses(n, part.clauses, values, follows)
}

// clauses sets numbered clauses. A clause is broken over pages only where it is longer than half of one. What follows
// the last clause, of the height given, stands on the same page.
func (s *sheet) clauses(n int, clauses []string, values *strings.Replacer, follows float64) {
	st := body()
	for i, c := range clauses {
		lines := s.wrap(st, values.Replace(c), right-left-indent)
		if h := float64(len(lines)) * st.h(); h < (bottom-top)/2 {
			if i == len(clauses)-1 {
				h += follows
			}
			s.need(h)
		}
		for j, l := range lines {
			s.need(st.h())
			if j == 0 {
				s.text(left, s.y, style{size: sizeBody, colour: muted()}, fmt.Sprintf("%d.%d.", n, i+1))
			}
			s.text(left+indent, s.y, st, l)
			s.y += st.h()
		}
		s.y += 1.1
	}
}

// entry is a label and its value.
type entry struct{ label, value string }

const cardGap = 5.0 // between two columns

type card struct {
	role, name string
	entries    []entry
}

// partyCards sets the section that says who agrees with whom, side by side, the organisation below.
func (s *sheet) partyCards(d Data) {
	full := d.Subject.CommonName
	if d.Subject.LocalName != "" && d.Subject.LocalName != d.Subject.CommonName {
		full += " (" + d.Subject.LocalName + ")"
	}
	const pad = 4.0
	const w = (right - left - cardGap) / 2
	cards := []card{
		{s.t.provider, d.Provider.Name, []entry{
			{s.t.registration, d.Provider.RegistrationID}, {s.t.address, d.Provider.Address},
		}},
		{s.t.signatory, full, []entry{
			{s.t.identifier, d.Subject.SerialNumber}, {s.t.phone, maskPhone(d.Phone)},
		}},
	}
	set := func(x, y, w float64, c card, draw bool) float64 {
		put := func(st style, text string) {
			lines := s.wrap(st, text, w-2*pad)
			if draw {
				s.lines(x+pad, y, st, lines)
			}
			y += float64(len(lines)) * st.h()
		}
		y += pad - 0.5
		put(style{true, sizeSmall, muted()}, c.role)
		put(style{true, 10.8, ink()}, c.name)
		for _, e := range c.entries {
			y += 1.2
			put(small(), e.label)
			put(body(), e.value)
		}
		return y + pad - 0.5
	}
	h := max(set(0, 0, w, cards[0], false), set(0, 0, w, cards[1], false))
	s.heading(1, s.t.parties.heading, h)
	for i, x := range []float64{left, left + w + cardGap} {
		s.fill(x, s.y, w, h, tint())
		s.fill(x, s.y, 0.9, h, navy())
		set(x, s.y, w, cards[i], true)
	}
	s.y += h + 1
	if d.Subject.Organisation == "" {
		return
	}
	c := card{s.t.subscriber, d.Subject.Organisation, []entry{{s.t.organisationID, d.Subject.OrganisationID}}}
	const wide = right - left
	h = set(0, 0, wide, c, false)
	s.y += cardGap - 2
	s.need(h)
	s.fill(left, s.y, wide, h, tint())
	s.fill(left, s.y, 0.9, h, navy())
	set(left, s.y, wide, c, true)
	s.y += h + 1
}

// certificate lists what the certificate will say, and under which documents.
func (s *sheet) certificate(d Data) []entry {
	t, sub := s.t, d.Subject
	rows := []entry{
		{t.surname + " (surname)", sub.Surname},
		{t.givenName + " (givenName)", sub.GivenName},
		{t.commonName + " (commonName)", sub.CommonName},
	}
	if sub.LocalName != "" {
		rows = append(rows, entry{t.localName, sub.LocalName})
	}
	device := t.devicePlain
	if d.QSCD {
		device = t.deviceQSCD
	}
	policies := "0.4.0.194112.1.0 (QCP-n), "
	if d.QSCD {
		policies = "0.4.0.194112.1.2 (QCP-n-qscd), "
	}
	rows = append(rows,
		entry{t.serialNumber + " (serialNumber)", sub.SerialNumber},
		entry{t.country + " (countryName)", sub.Country},
	)
	if sub.Organisation != "" {
		rows = append(rows,
			entry{t.organisation + " (organizationName)", sub.Organisation},
			entry{t.organisationID + " (organizationIdentifier)", sub.OrganisationID},
		)
	}
	rows = append(rows,
		entry{t.issuer + " (issuer)", d.Provider.Issuer},
		entry{t.validity, t.years(d.ValidityYears)},
		entry{t.keyAlgorithm, d.KeyAlgorithm},
		entry{t.keyUsage + " (keyUsage)", t.keyUsageValue},
		entry{t.device, device},
		entry{t.policy + " (OID)", policies + d.Provider.PolicyOID},
		entry{t.retention + " (QcRetentionPeriod)", t.years(d.Terms.RetentionYears)},
		entry{t.terms, d.Terms.Version + ", " + d.Terms.URL},
	)
	if d.Terms.SHA256 != nil {
		rows = append(rows, entry{t.termsDigest, hex.EncodeToString(d.Terms.SHA256)})
	}
	pds := d.Provider.PDSURL
	if d.Provider.PDSVersion != "" {
		pds = d.Provider.PDSVersion + ", " + pds
	}
	rows = append(rows, entry{t.pds + " (PDS)", pds})
	if d.Provider.PDSSHA256 != nil {
		rows = append(rows, entry{t.pdsDigest, hex.EncodeToString(d.Provider.PDSSHA256)})
	}
	return rows
}

// table sets the certificate's data; its head stands again on each page.
func (s *sheet) table(d Data) {
	const labelWidth, pad = 62.0, 2.4
	value, label := style{true, 9, ink()}, style{false, 9, muted()}
	head := func() {
		h := style{true, 8.4, colour{255, 255, 255}}
		s.fill(left, s.y, right-left, 6.6, navy())
		s.text(left+pad, s.y+(6.6-h.h())/2, h, s.t.field)
		s.text(left+labelWidth+pad, s.y+(6.6-h.h())/2, h, s.t.value)
		s.y += 6.6
	}
	s.y++
	s.need(20)
	head()
	for i, row := range s.certificate(d) {
		names := s.wrap(label, row.label, labelWidth-2*pad)
		st := value
		if !strings.Contains(row.value, " ") { // a word such as a digest is easier to compare on one line
			st = s.fit(value, row.value, right-left-labelWidth-2*pad)
		}
		lines := s.wrap(st, row.value, right-left-labelWidth-2*pad)
		h := float64(max(len(names), len(lines)))*label.h() + 2
		if s.y+h > bottom {
			s.newPage()
			head()
		}
		if i%2 == 1 {
			s.fill(left, s.y, right-left, h, tint())
		}
		s.line(left, s.y, right, s.y, rule())
		s.lines(left+pad, s.y+1, label, names)
		s.lines(left+labelWidth+pad, s.y+1+(label.h()-st.h())/2, st, lines)
		s.y += h
	}
	s.line(left, s.y, right, s.y, rule())
	s.y++
}

// Measures of the boxes at the end.
const (
	signatureGap   = 6.0 // above them
	signaturePad   = 4.0
	signatureWidth = (right - left - cardGap) / 2
)

// box says what takes the place of a party's handwritten signature.
type box struct{ role, name, what, how string }

func signatureName() style { return style{true, 10.4, ink()} }

// signatureBoxes returns the boxes and how high the higher one is.
func (s *sheet) signatureBoxes(d Data, values *strings.Replacer) (boxes []box, height float64) {
	boxes = []box{
		{s.t.provider, d.Provider.Name, s.t.sealed, s.t.sealedHow},
		{s.t.signatory, d.Subject.CommonName, s.t.accepted, values.Replace(s.t.acceptedHow)},
	}
	if d.Subject.Organisation != "" {
		boxes[1].how += ". " + values.Replace(s.t.acceptedFor)
	}
	const w = signatureWidth - 2*signaturePad
	for _, b := range boxes {
		name := float64(len(s.wrap(signatureName(), b.name, w))) * signatureName().h()
		how := float64(len(s.wrap(small(), b.how, w))) * small().h()
		height = max(height, 2*signaturePad+small().h()+name+4+body().h()+how)
	}
	return boxes, height
}

func (s *sheet) signatures(boxes []box, height float64) {
	const w = signatureWidth - 2*signaturePad
	s.need(signatureGap + height)
	s.y += signatureGap
	for i, b := range boxes {
		x := left + float64(i)*(signatureWidth+cardGap)
		s.frame(x, s.y, signatureWidth, height, rule())
		x += signaturePad
		y := s.lines(x, s.y+signaturePad, style{true, sizeSmall, muted()}, []string{b.role})
		y = s.lines(x, y, signatureName(), s.wrap(signatureName(), b.name, w)) + 2
		s.line(x, y, x+w, y, rule())
		y = s.lines(x, y+2, body(), []string{b.what})
		s.lines(x, y, small(), s.wrap(small(), b.how, w))
	}
	s.y += height
}
