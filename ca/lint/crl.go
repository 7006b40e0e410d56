package lint

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// WantCRL is what a revocation list must agree with.
type WantCRL struct {
	Issuer   *x509.Certificate
	Previous *x509.RevocationList // the list published before; nil for the first
	Revoked  map[string]time.Time // lower-case hex serial to revocation time: exactly these entries; nil: not compared
	Now      time.Time
	Lifetime time.Duration // longest nextUpdate - thisUpdate
	Signed   bool          // the signature must verify under the issuer's key
}

type crlRule struct {
	name   string
	clause string
	check  func(l *list, w *WantCRL) string
}

type list struct {
	*x509.RevocationList
	hasNext    bool
	extensions []extension
}

// CRL applies every rule to a DER revocation list and returns what it breaks; nil means clean. It never panics.
func CRL(der []byte, want WantCRL) []Finding {
	if want.Issuer == nil {
		return []Finding{{ruleParse, "no issuer to judge the list by"}}
	}
	l, err := parseCRL(der)
	if err != nil {
		return []Finding{{ruleParse, err.Error()}}
	}
	var found []Finding
	for _, r := range crlRules() {
		if detail := r.check(l, &want); detail != "" {
			found = append(found, Finding{r.name, detail})
		}
	}
	return found
}

// parseCRL reads a list; the standard parser takes version 2 alone.
func parseCRL(der []byte) (*list, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	l := &list{RevocationList: parsed, hasNext: !parsed.NextUpdate.IsZero()}
	parts, err := signedParts(der)
	if err != nil {
		return nil, err
	}
	fields, err := elements(parts[0].Bytes)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if f.Class == asn1.ClassContextSpecific && f.Tag == 0 {
			if l.extensions, err = extensions(f.Bytes); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

func (l *list) extension(oid string) *extension {
	for i := range l.extensions {
		if l.extensions[i].oid == oid {
			return &l.extensions[i]
		}
	}
	return nil
}

func crlRules() []crlRule {
	return []crlRule{
		{"crl-signature-algorithm", "TS 119 312 6", checkCRLAlgorithm},
		{"crl-issuer", "RFC 5280 5.1.2.3", checkCRLIssuer},
		{"crl-authority-key-identifier", "RFC 5280 5.2.1", checkCRLAuthorityKeyID},
		{"crl-number", "RFC 5280 5.2.3", checkCRLNumber},
		{"crl-this-update", "RFC 5280 5.1.2.4", checkThisUpdate},
		{"crl-next-update", "EN 319 411-1 CSS-6.3.9-05", checkNextUpdate},
		{"crl-extension-known", "EN 319 411-1 CSS-6.3.9", checkCRLExtensions},
		{"crl-expired-kept", "EN 319 411-2 CSS-6.3.10-03", checkExpiredKept},
		{"crl-entry-unique", "RFC 5280 5.1.2.6", checkEntriesUnique},
		{"crl-entry-date", "RFC 5280 5.3.2", checkEntryDates},
		{"crl-entry-reason", "RFC 5280 5.3.1", checkEntryReasons},
		{"crl-entry-expected", "EN 319 411-1 REV-6.2.4", checkEntriesExpected},
		{"crl-entry-final", "EN 319 411-1 REV-6.3.9-04", checkEntriesFinal},
		{"crl-signature", "RFC 5280 6.3.3", checkCRLSignature},
	}
}

func checkCRLAlgorithm(l *list, _ *WantCRL) string {
	switch l.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return ""
	}
	return "not an allowed algorithm: " + l.SignatureAlgorithm.String()
}

func checkCRLIssuer(l *list, w *WantCRL) string {
	if !bytes.Equal(l.RawIssuer, w.Issuer.RawSubject) {
		return "issuer is not the subject of the issuing certificate, byte for byte"
	}
	return ""
}

func checkCRLAuthorityKeyID(l *list, w *WantCRL) string {
	if len(l.AuthorityKeyId) == 0 || !bytes.Equal(l.AuthorityKeyId, w.Issuer.SubjectKeyId) {
		return fmt.Sprintf("is %x, must be %x", l.AuthorityKeyId, w.Issuer.SubjectKeyId)
	}
	return ""
}

func checkCRLNumber(l *list, w *WantCRL) string {
	if l.Number == nil || l.Number.Sign() < 0 || l.Number.BitLen() > 159 {
		return "absent, negative or longer than 20 octets"
	}
	if w.Previous != nil && w.Previous.Number != nil && l.Number.Cmp(w.Previous.Number) <= 0 {
		return fmt.Sprintf("%s does not rise above %s", l.Number, w.Previous.Number)
	}
	return ""
}

func checkThisUpdate(l *list, w *WantCRL) string {
	if l.ThisUpdate.After(w.Now) {
		return day(l.ThisUpdate) + " lies in the future"
	}
	if w.Previous != nil && l.ThisUpdate.Before(w.Previous.ThisUpdate) {
		return day(l.ThisUpdate) + " lies before the list published last, " + day(w.Previous.ThisUpdate)
	}
	return ""
}

func checkNextUpdate(l *list, w *WantCRL) string {
	if !l.hasNext {
		return "absent"
	}
	if d := l.NextUpdate.Sub(l.ThisUpdate); d <= 0 || d > w.Lifetime {
		return fmt.Sprintf("%s after thisUpdate, may be %s", d, w.Lifetime)
	}
	return ""
}

// checkCRLExtensions: a full list of all certificates of the CA, hence no delta, no distribution point.
func checkCRLExtensions(l *list, _ *WantCRL) string {
	for _, e := range l.extensions {
		if !slices.Contains([]string{oidAuthorityKeyID, oidCRLNumber, oidExpiredOnCRL}, e.oid) {
			return "the profile has no extension " + e.oid
		}
		if e.critical || e.falseEncoded {
			return "extension " + e.oid + " writes out criticality"
		}
	}
	return ""
}

// checkExpiredKept: the list says that it keeps expired certificates from the CA's first day on.
func checkExpiredKept(l *list, w *WantCRL) string {
	e := l.extension(oidExpiredOnCRL)
	if e == nil {
		return "expiredCertsOnCRL is absent"
	}
	want, err := asn1.MarshalWithParams(w.Issuer.NotBefore.UTC(), "generalized")
	if err != nil || !bytes.Equal(e.value, want) {
		return fmt.Sprintf("expiredCertsOnCRL is %x, must be the CA's notBefore %x", e.value, want)
	}
	return ""
}

func serialText(n *big.Int) string { return fmt.Sprintf("%x", n.Bytes()) }

func checkEntriesUnique(l *list, _ *WantCRL) string {
	seen := map[string]bool{}
	for _, e := range l.RevokedCertificateEntries {
		key := serialText(e.SerialNumber)
		if seen[key] || e.SerialNumber.Sign() <= 0 {
			return "serial " + key + " stands twice or is not positive"
		}
		seen[key] = true
	}
	return ""
}

func checkEntryDates(l *list, w *WantCRL) string {
	for _, e := range l.RevokedCertificateEntries {
		if e.RevocationTime.After(l.ThisUpdate) || e.RevocationTime.Before(w.Issuer.NotBefore) {
			return fmt.Sprintf("serial %s is revoked at %s, outside the CA's life until this list",
				serialText(e.SerialNumber), day(e.RevocationTime))
		}
	}
	return ""
}

func checkEntryReasons(l *list, _ *WantCRL) string {
	for _, e := range l.RevokedCertificateEntries {
		written := false
		for _, x := range e.Extensions {
			if x.Id.String() != oidReasonCode || x.Critical {
				return "an entry holds the extension " + x.Id.String() + ", or a critical one"
			}
			written = true
		}
		switch e.ReasonCode {
		case 0:
			if written {
				return "reason unspecified is written out instead of left away"
			}
		case 1, 2, 3, 4, 5, 9:
		default:
			return fmt.Sprintf("reason %d is not offered", e.ReasonCode)
		}
	}
	return ""
}

func checkEntriesExpected(l *list, w *WantCRL) string {
	if w.Revoked == nil {
		return ""
	}
	if len(l.RevokedCertificateEntries) != len(w.Revoked) {
		return fmt.Sprintf("%d entries, must be %d", len(l.RevokedCertificateEntries), len(w.Revoked))
	}
	for _, e := range l.RevokedCertificateEntries {
		at, ok := w.Revoked[serialText(e.SerialNumber)]
		if !ok || !at.Equal(e.RevocationTime) {
			return "serial " + serialText(e.SerialNumber) + " is not revoked, or at another time"
		}
	}
	return ""
}

// checkEntriesFinal: revocation is final, so what stood in the last list stands in this one, unchanged.
func checkEntriesFinal(l *list, w *WantCRL) string {
	if w.Previous == nil {
		return ""
	}
	now := map[string]x509.RevocationListEntry{}
	for _, e := range l.RevokedCertificateEntries {
		now[serialText(e.SerialNumber)] = e
	}
	for _, old := range w.Previous.RevokedCertificateEntries {
		e, ok := now[serialText(old.SerialNumber)]
		if !ok {
			return "serial " + serialText(old.SerialNumber) + " vanished"
		}
		if !e.RevocationTime.Equal(old.RevocationTime) || e.ReasonCode != old.ReasonCode {
			return "serial " + serialText(old.SerialNumber) + " changed its time or reason"
		}
	}
	return ""
}

func checkCRLSignature(l *list, w *WantCRL) string {
	if !w.Signed {
		return ""
	}
	if err := w.Issuer.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature); err != nil {
		return err.Error()
	}
	return ""
}
