package sigfield

import (
	"crypto"
	"fmt"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Offer is what the signature is, as far as a field can demand it.
type Offer struct {
	Reason        string
	Hash          crypto.Hash // of the document
	Certification Certification
	Chain         [][]byte // DER, the signer's certificate first
}

// seedValue checks a signature against what the author of its field demands (seed value dictionary, ISO 32000-2 section
// 12.7.5.5, table 237). What is demanded and not given is refused with the reason; what is only proposed is not looked
// at: the caller has decided.
type seedValue struct {
	doc *pdf.Document
	o   Offer
}

// Bits of /Ff of a seed value dictionary: the key of that name is a demand.
const (
	seedFilter = 1 << iota
	seedSubFilter
	seedV
	seedReasons
	seedLegalAttestation
	seedAddRevInfo
	seedDigestMethod
	seedLockDocument
	seedAppearanceFilter
)

func (s seedValue) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSeedValue, fmt.Sprintf(format, args...))
}

// check judges the dictionary; Null demands nothing.
func (s seedValue) check(seed object.Value) error {
	if seed.Kind == object.Null {
		return nil
	}
	if seed.Kind != object.Dict {
		return fmt.Errorf("%w: /SV of the signature field is not a dictionary", pdf.ErrDamaged)
	}
	flags, err := s.doc.Resolve(seed.Get("Ff"))
	if err != nil {
		return err
	}
	for _, rule := range []struct {
		flag  int64 // 0: always a demand
		key   string
		judge func(object.Value) error
	}{
		{seedFilter, "Filter", s.filter},
		{seedSubFilter, "SubFilter", s.subFilter},
		{seedV, "V", s.version},
		{seedReasons, "Reasons", s.reasons},
		{seedLegalAttestation, "LegalAttestation", s.legalAttestation},
		{seedAddRevInfo, "AddRevInfo", s.addRevInfo},
		{seedDigestMethod, "DigestMethod", s.digestMethod},
		{seedLockDocument, "LockDocument", s.lockDocument},
		{seedAppearanceFilter, "AppearanceFilter", s.appearanceFilter},
		{0, "MDP", s.mdp},
		{0, "TimeStamp", s.timeStamp},
		{0, "Cert", s.certificate},
	} {
		if rule.flag != 0 && flags.Int&rule.flag == 0 {
			continue
		}
		v, err := s.doc.Resolve(seed.Get(rule.key))
		if err != nil {
			return err
		}
		if err := rule.judge(v); err != nil {
			return err
		}
	}
	return nil
}

func (s seedValue) filter(v object.Value) error {
	if v.Kind == object.Null || v.Text == "Adobe.PPKLite" {
		return nil
	}
	return s.refuse("signature handler %q", v.Text)
}

func (s seedValue) subFilter(v object.Value) error {
	offered, err := s.texts(v)
	if err != nil || v.Kind == object.Null || slices.Contains(offered, "ETSI.CAdES.detached") {
		return err
	}
	return s.refuse("one of the formats %q, and not ETSI.CAdES.detached", offered)
}

// version compares with the newest version of the dictionary, that of PDF 2.0.
func (s seedValue) version(v object.Value) error {
	if n, ok := v.Float(); v.Kind == object.Null || (ok && n <= 3) {
		return nil
	}
	return s.refuse("version %s of the dictionary", v.Raw)
}

// reasons: a demand without reasons, or with "." alone, forbids to give one.
func (s seedValue) reasons(v object.Value) error {
	offered, err := s.texts(v)
	if err != nil {
		return err
	}
	if len(offered) == 0 || (len(offered) == 1 && offered[0] == ".") {
		if s.o.Reason != "" {
			return s.refuse("a signature without a reason")
		}
		return nil
	}
	if !slices.Contains(offered, s.o.Reason) {
		return s.refuse("one of the reasons %q", offered)
	}
	return nil
}

func (s seedValue) legalAttestation(v object.Value) error {
	if len(v.Elems) == 0 {
		return nil
	}
	return s.refuse("a legal attestation")
}

func (s seedValue) addRevInfo(v object.Value) error {
	if v.Kind == object.Null || string(v.Raw) == "false" {
		return nil
	}
	return s.refuse("revocation information as a signed attribute, which PAdES does not have")
}

func (s seedValue) digestMethod(v object.Value) error {
	offered, err := s.texts(v)
	name := strings.ReplaceAll(s.o.Hash.String(), "-", "") // SHA256
	if err != nil || v.Kind == object.Null || slices.Contains(offered, name) {
		return err
	}
	return s.refuse("one of the digest methods %q, and not %s", offered, name)
}

func (s seedValue) lockDocument(v object.Value) error {
	if v.Text != "true" {
		return nil
	}
	return s.refuse("that the document is locked")
}

func (s seedValue) appearanceFilter(v object.Value) error {
	if v.Kind == object.Null {
		return nil
	}
	return s.refuse("the appearance %q", v.Unicode())
}

// mdp: P = 0 demands an approval signature, 1 to 3 a certification.
func (s seedValue) mdp(v object.Value) error {
	if v.Kind == object.Null {
		return nil
	}
	p, err := s.doc.Resolve(v.Get("P"))
	if err != nil {
		return err
	}
	if p.Kind != object.Null && (p.Kind != object.Integer || p.Int != int64(s.o.Certification)) {
		return s.refuse("a certification with P = %s (0: none)", p.Raw)
	}
	return nil
}

func (s seedValue) timeStamp(v object.Value) error {
	required, err := s.doc.Resolve(v.Get("Ff"))
	if err != nil || required.Int&1 == 0 {
		return err
	}
	return s.refuse("a time-stamp of a certain server")
}

// certificate judges the constraints on the certificate (ISO 32000-2 table 238): Subject and Issuer list certificates
// of which the signer's, or one of its chain, must be one.
func (s seedValue) certificate(v object.Value) error {
	const subject, issuer, others = 1 << 0, 1 << 1, 1<<2 | 1<<3 | 1<<5 // OID, SubjectDN, KeyUsage
	flags, err := s.doc.Resolve(v.Get("Ff"))
	if err != nil {
		return err
	}
	for _, rule := range []struct {
		flag  int64
		key   string
		chain [][]byte
	}{{subject, "Subject", s.o.Chain[:1]}, {issuer, "Issuer", s.o.Chain[1:]}} {
		if flags.Int&rule.flag == 0 {
			continue
		}
		list, err := s.doc.Resolve(v.Get(rule.key))
		if err != nil {
			return err
		}
		listed, err := s.each(list, func(e object.Value) string { return e.Text })
		if err != nil {
			return err
		}
		if list.Kind != object.Null && !slices.ContainsFunc(rule.chain, func(c []byte) bool {
			return slices.Contains(listed, string(c))
		}) {
			return s.refuse("another certificate (%s)", rule.key)
		}
	}
	if flags.Int&others != 0 {
		return s.refuse("properties of the certificate that are not judged here")
	}
	return nil
}

// texts returns the elements of an array of names or text strings.
func (s seedValue) texts(list object.Value) ([]string, error) {
	return s.each(list, object.Value.Unicode)
}

// each returns what f makes of the elements of an array.
func (s seedValue) each(list object.Value, f func(object.Value) string) ([]string, error) {
	var out []string
	for _, e := range list.Elems {
		e, err := s.doc.Resolve(e)
		if err != nil {
			return nil, err
		}
		out = append(out, f(e))
	}
	return out, nil
}
