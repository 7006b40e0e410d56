package status

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// corpus is a collection of other people's files, too large and too mixed in licences for this repository.
const corpus = "../../../../shared/corpus"

// corpusFiles returns the files of a folder by name, or skips the test where there is no corpus.
func corpusFiles(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(corpus, folder))
	if err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(corpus, folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = data
	}
	return files
}

// TestCorpusLists reads lists and answers that others made, and holds what was read against a second reader.
func TestCorpusLists(t *testing.T) {
	unchecked := map[string]bool{ // MD5 with RSA; DSTU 4145
		"bc-test-data-CarlRSACRLForCarl.crl": true, "uapki-BC59BCDDF707C10293F58BB6ED263C6EA5893D3781B61F493BE57-delta-0ABEA7.crl": true,
	}
	lists, answers := 0, 0
	for name, data := range corpusFiles(t, "cms") {
		switch {
		case strings.HasSuffix(name, ".crl") || name == "dss-crl.der":
			lists++
			l, err := ParseList(data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if (l.Algorithm == 0) != unchecked[name] {
				t.Errorf("%s: signature algorithm %s", name, l.Algorithm)
			}
			compareCRL(t, name, l)
		case strings.Contains(name, "ocsp"):
			answers++
			a, err := ParseAnswer(data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			compareAnswer(t, name, a)
		}
	}
	if lists < 8 || answers < 2 {
		t.Errorf("%d lists, %d answers", lists, answers)
	}
}

// embedded finds every certificate, list and answer inside other files, such as signatures with their evidence.
type embedded struct {
	certs   map[string]*x509.Certificate
	lists   map[string]*List
	answers map[string]*Answer
}

func (e embedded) search(data []byte) {
	for i := bytes.IndexByte(data, 0x30); i >= 0; {
		var one cryptobyte.String
		if s := cryptobyte.String(data[i:]); s.ReadASN1Element(&one, cbasn1.SEQUENCE) && len(one) > 100 {
			a := &Answer{Raw: one}
			if c, err := ParseCertificate(one); err == nil {
				e.certs[string(one)] = c
			} else if l, err := ParseList(one); err == nil {
				e.lists[string(one)] = l
			} else if a.basic(one) == nil && len(a.singles) > 0 { // with or without the OCSPResponse around it
				e.answers[string(one)] = a
			}
		}
		next := bytes.IndexByte(data[i+1:], 0x30)
		if next < 0 {
			return
		}
		i += next + 1
	}
}

// TestCorpusEvidence checks who signed the lists and answers in the signatures of others, wherever the issuer is there, too.
func TestCorpusEvidence(t *testing.T) {
	e := embedded{map[string]*x509.Certificate{}, map[string]*List{}, map[string]*Answer{}}
	for _, folder := range []string{"cms", "pdf"} {
		for _, data := range corpusFiles(t, folder) {
			if len(data) < 1<<20 {
				e.search(data)
			}
		}
	}
	lists, answers, refused := 0, 0, map[string]int{}
	judge := func(candidates []error, good *int) {
		if len(candidates) == 0 {
			return
		}
		if slices.Contains(candidates, nil) {
			*good++
			return
		}
		why := candidates[0].Error()
		for _, known := range []string{"signature algorithm", "is not issued by the issuer"} {
			if strings.Contains(why, known) {
				refused[known]++
				return
			}
		}
		t.Error(why)
	}
	for _, l := range e.lists {
		var found []error
		for _, issuer := range e.certs {
			if SameName(l.issuer, issuer.RawSubject) {
				found = append(found, l.Authentic(issuer))
			}
		}
		judge(found, &lists)
	}
	for _, a := range e.answers {
		var found []error
		for _, issuer := range e.certs {
			for _, c := range e.certs {
				if _, err := a.About(c, issuer); err == nil && bytes.Equal(c.RawIssuer, issuer.RawSubject) {
					_, err := a.Authentic(issuer)
					found = append(found, err)
				}
			}
		}
		judge(found, &answers)
	}
	t.Logf("%d certificates; %d of %d lists and %d of %d answers are right; refused: %v", len(e.certs), lists, len(e.lists), answers, len(e.answers), refused)
	if lists < 10 || answers < 10 {
		t.Errorf("%d lists and %d answers are right", lists, answers)
	}
}

// compareCRL holds a list against crypto/x509, which reads no version 1.
func compareCRL(t *testing.T, name string, l *List) {
	t.Helper()
	other, err := x509.ParseRevocationList(l.Raw)
	if err != nil {
		if !strings.Contains(err.Error(), "unsupported crl version") {
			t.Errorf("%s: crypto/x509: %v", name, err)
		}
		return
	}
	if !other.ThisUpdate.Equal(l.ThisUpdate) || !other.NextUpdate.Equal(l.NextUpdate) || string(other.RawIssuer) != string(l.issuer) || len(other.Extensions) != len(l.extensions) {
		t.Errorf("%s: %s to %s, crypto/x509 has %s to %s", name, l.ThisUpdate, l.NextUpdate, other.ThisUpdate, other.NextUpdate)
	}
	for _, e := range other.RevokedCertificateEntries {
		found, err := l.Lookup(e.SerialNumber)
		if err != nil || found == nil || !found.Time.Equal(e.RevocationTime) || found.Reason != e.ReasonCode {
			t.Errorf("%s: entry %x: %v, %v; crypto/x509 has %s, reason %d", name, e.SerialNumber, found, err, e.RevocationTime, e.ReasonCode)
		}
	}
}

// compareAnswer holds the first part of an answer against golang.org/x/crypto/ocsp.
func compareAnswer(t *testing.T, name string, a *Answer) {
	t.Helper()
	other, err := ocsp.ParseResponse(a.Raw, nil)
	if err != nil {
		t.Errorf("%s: x/crypto/ocsp: %v", name, err)
		return
	}
	r := a.singles[0]
	if int(r.Status) != other.Status || !r.ThisUpdate.Equal(other.ThisUpdate) || !r.NextUpdate.Equal(other.NextUpdate) || !a.ProducedAt.Equal(other.ProducedAt) ||
		string(r.serial) != string(octets(other.SerialNumber)) || !r.Revocation.Time.Equal(other.RevokedAt) || r.Revocation.Reason != other.RevocationReason ||
		string(a.responderKey) != string(other.ResponderKeyHash) || string(a.responderName) != string(other.RawResponderName) || a.Algorithm != other.SignatureAlgorithm {
		t.Errorf("%s: %+v; x/crypto/ocsp has %+v", name, r, other)
	}
}

// TestCorpusCertificates reads certificates of many issuers, or says why crypto/x509 does not, and the addresses in them.
func TestCorpusCertificates(t *testing.T) {
	refused := map[string]string{
		"certificate--xf-pubkey-rsa-param-nonnull.pem": "RSA key missing NULL parameters",
		"certificate--xf-pubkey-ecdsa-secp192r1.pem":   "unsupported elliptic curve",
		"zlint-givenNameIncorrectPolicy.pem":           "authority info access incorrectly marked critical",
		"jkurwa-CAList.cer":                            "invalid authority key identifier",
		"jkurwa-SELF_SIGNED1.cer":                      "invalid authority key identifier",
		"jkurwa-SELF_SIGNED_ENC1.cer":                  "invalid authority key identifier",
	}
	addresses := 0
	for name, data := range corpusFiles(t, "certs") {
		certs, err := ParseCertificates(data)
		if why, ok := refused[name]; ok != (err != nil) || err != nil && !strings.Contains(err.Error(), "as crypto/x509 reads it: x509: "+why) {
			t.Errorf("%s: %v; expected %q", name, err, why)
		}
		for _, c := range certs {
			found, why := URLs(c)
			if len(why) > 0 || strings.Join(found, " ") != strings.Join(c.CRLDistributionPoints, " ") {
				t.Errorf("%s: lists at %v, %v; crypto/x509 has %v", name, found, why, c.CRLDistributionPoints)
			}
			addresses += len(found)
		}
	}
	if addresses < 15 {
		t.Errorf("%d addresses of lists", addresses)
	}
}

// TestCorpusHostile survives what breaks readers of ASN.1.
func TestCorpusHostile(t *testing.T) {
	for _, folder := range []string{"hostile", "cms"} {
		for name, data := range corpusFiles(t, folder) {
			begun := time.Now()
			for kind, read := range map[string]func([]byte) error{
				"list":         func(b []byte) error { _, err := ParseList(b); return err },
				"answer":       func(b []byte) error { _, err := ParseAnswer(b); return err },
				"certificates": func(b []byte) error { _, err := ParseCertificates(b); return err },
			} {
				if err := read(data); err == nil && folder == "hostile" {
					t.Errorf("%s is read as %s", name, kind)
				}
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("%s took %s", name, d)
			}
		}
	}
}
