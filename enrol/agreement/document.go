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
	for i, part := range s.t.sections {
		follows := 0.0
		if i == len(s.t.sections)-1 {
			follows = height + signatureGap
		}
		s.section(i+3, part, values, follows)
	}
	s.signatures(boxes, height)
}

// values puts data in the place of names in braces. A replacer reads its input once, so data that look like such a name
// are printed as they are.
func (s *sheet) values(d Data) *strings.Replacer {
	effect, publish := s.t.effectPlain, s.t.private
	if d.QSCD {
		effect = s.t.effectQSCD
	}
	if d.Terms.Publish {
		publish = s.t.publish
	}
	return strings.NewReplacer(
		"{provider}", d.Provider.Name, "{phone}", maskPhone(d.Phone), "{validity}", s.t.years(d.ValidityYears),
		"{terms}", d.Terms.Version, "{terms_url}", d.Terms.URL, "{pds_url}", d.Provider.PDSURL,
		"{retention}", s.t.years(d.Terms.RetentionYears), "{effect}", effect, "{publish}", publish,
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

// partyCards sets the section that says who agrees with whom, side by side.
func (s *sheet) partyCards(d Data) {
	full := d.Subject.CommonName
	if d.Subject.LocalName != "" {
		full += " (" + d.Subject.LocalName + ")"
	}
	const pad = 4.0
	const w = (right - left - cardGap) / 2
	cards := []struct {
		role, name string
		entries    []entry
	}{
		{s.t.provider, d.Provider.Name, []entry{
			{s.t.registration, d.Provider.RegistrationID}, {s.t.address, d.Provider.Address},
		}},
		{s.t.signatory, full, []entry{
			{s.t.identifier, d.Subject.SerialNumber}, {s.t.phone, maskPhone(d.Phone)},
		}},
	}
	set := func(x, y float64, c int, draw bool) float64 {
		put := func(st style, text string) {
			lines := s.wrap(st, text, w-2*pad)
			if draw {
				s.lines(x+pad, y, st, lines)
			}
			y += float64(len(lines)) * st.h()
		}
		y += pad - 0.5
		put(style{true, sizeSmall, muted()}, cards[c].role)
		put(style{true, 10.8, ink()}, cards[c].name)
		for _, e := range cards[c].entries {
			y += 1.2
			put(small(), e.label)
			put(body(), e.value)
		}
		return y + pad - 0.5
	}
	h := max(set(0, 0, 0, false), set(0, 0, 1, false))
	s.heading(1, s.t.parties.heading, h)
	for i, x := range []float64{left, left + w + cardGap} {
		s.fill(x, s.y, w, h, tint())
		s.fill(x, s.y, 0.9, h, navy())
		set(x, s.y, i, true)
	}
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
	rows = append(rows,
		entry{t.serialNumber + " (serialNumber)", sub.SerialNumber},
		entry{t.country + " (countryName)", sub.Country},
		entry{t.validity, t.years(d.ValidityYears)},
		entry{t.keyAlgorithm, d.KeyAlgorithm},
		entry{t.keyUsage + " (keyUsage)", t.keyUsageValue},
		entry{t.device, device},
		entry{t.policy + " (OID)", d.Provider.PolicyOID},
		entry{t.terms, d.Terms.Version + ", " + d.Terms.URL},
	)
	if d.Terms.SHA256 != nil {
		rows = append(rows, entry{t.termsDigest, hex.EncodeToString(d.Terms.SHA256)})
	}
	return append(rows, entry{t.pds + " (PDS)", d.Provider.PDSURL})
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
