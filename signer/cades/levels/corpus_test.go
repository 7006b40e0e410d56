package levels_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// corpus is a collection of other people's files, too large and too mixed in licences for this repository.
const corpus = "../../../../shared/corpus"

// corpusCMS says of each file what it is: why it cannot be read; or the level of its first signature, whether that
// verifies, why it is no higher level, and why it cannot be raised to B-LTA (empty: it can).
var corpusCMS = map[string]struct {
	unreadable string
	level      cades.Level
	invalid    error
	missing    string
	refused    string
}{
	"bc-test-data-4.4.bin":                         {level: 0, invalid: cades.ErrUnsupported, missing: "digest algorithm 1.3.14.3.2.26", refused: "digest algorithm 1.3.14.3.2.26"},
	"bc-test-data-6.0.bin":                         {unreadable: "1.2.840.113549.1.7.5, not SignedData"},
	"bc-test-data-BIN_ER.ers.1.0.tsr":              {missing: "content-type is 1.2.840.113549.1.9.16.1.4", refused: "content-type"},
	"dss-BER_reordered_prova.txt.p7m":              {invalid: cades.ErrUnsupported, missing: "x509: invalid certificate policies", refused: "signer's certificate cannot be read"},
	"dss-C-B-B-basic.p7m":                          {level: cades.LevelBB, missing: "no signature-time-stamp", refused: "certificate has ended"},
	"dss-C-E-ERS_renewed_hashtree_invalid.p7m":     {level: cades.LevelBT, missing: "internal-evidence-records", refused: "internal-evidence-records"},
	"dss-CAdES-BpB-att-SHA256-SHA3_256withRSA.p7m": {invalid: cades.ErrUnsupported, missing: "2.16.840.1.101.3.4.3.14", refused: "2.16.840.1.101.3.4.3.14"},
	"dss-CAdES-BpB-att-SHA3_384-SHA256withRSA.p7m": {invalid: cades.ErrUnsupported, missing: "2.16.840.1.101.3.4.2.9", refused: "2.16.840.1.101.3.4.2.9"},
	"dss-CAdESDoubleLTA.p7m":                       {level: cades.LevelBLTA, refused: "archive time-stamp: no evidence"},
	"dss-FD1_FD2_FEA.pdf.p7m":                      {level: cades.LevelBB, invalid: cades.ErrUnsupported, missing: "no signature-time-stamp", refused: "RSA key of 1024 bits"},
	"dss-Signature-15-CBp-LT-2.p7m":                {level: cades.LevelBB, missing: "SHA-1", refused: "complete-certificate-references"},
	"dss-Signature-C-B-B-8.p7m":                    {level: cades.LevelBB, missing: "no signature-time-stamp", refused: "certificate has ended"},
	"dss-Signature-C-DE_CRY-3.p7m":                 {level: cades.LevelBB, missing: "ContentInfo: has tag 0x04", refused: "ContentInfo: has tag 0x04"},
	"dss-Signature-CBp-LT-2.p7m":                   {level: cades.LevelBLT, missing: "no archive-time-stamp-v3"},
	"dss-cades-ats-v3-wrong-cert.p7m":              {level: cades.LevelBLT, missing: "a certificate that it covers", refused: "a certificate that it covers"},
	"dss-cades-bes-signeddata-detached.p7s":        {invalid: cades.ErrContent, missing: "content-type is 1.2.840.113549.1.7.2", refused: "content of the detached"},
	"dss-cades-double-signing-time.p7m":            {level: cades.LevelBB, missing: "no signature-time-stamp", refused: "certificate has ended"},
	"dss-cades-dss1997.p7m":                        {level: cades.LevelBT, missing: "complete-certificate-references", refused: "complete-certificate-references"},
	"dss-cades-enveloping-broken.pkcs7":            {level: cades.LevelBB, invalid: cades.ErrDigest, missing: "no signature-time-stamp", refused: "content digest differs"},
	"dss-cades-enveloping.pkcs7":                   {level: cades.LevelBB, missing: "no signature-time-stamp", refused: "certificate has ended"},
	"dss-cades-lta-copied-atst.p7m":                {level: cades.LevelBLT, missing: "no hash index", refused: "no hash index"},
	"dss-cades-tstv2-detached.p7s":                 {level: cades.LevelBT, invalid: cades.ErrContent, missing: "archive-time-stamp-v2", refused: "content of the detached"},
	"dss-cades-two-sig-copied-tst.p7m":             {level: cades.LevelBB, missing: "no signature-time-stamp", refused: "certificate has ended"},
	"dss-cadesLTAwithATv2expired.p7s":              {level: cades.LevelBT, missing: "archive-time-stamp-v2", refused: "archive-time-stamp-v2"},
	"dss-cms-wrong-sign-cert-ref.p7m":              {level: cades.LevelBB, missing: "names another certificate", refused: "names another certificate"},
	"dss-counterSig.p7m":                           {invalid: cades.ErrUnsupported, missing: "1.3.14.3.2.26", refused: "1.3.14.3.2.26"},
	"dss-d-trust.tsr":                              {missing: "content-type is 1.2.840.113549.1.9.16.1.4", refused: "content-type"},
	"dss-disig.tst":                                {missing: "content-type is 1.2.840.113549.1.9.16.1.4", refused: "content-type"},
	"dss-signatureExtendedTwoLTA.p7s":              {level: cades.LevelBT, invalid: cades.ErrContent, missing: "archive-time-stamp-v2", refused: "content of the detached"},
	"dss-wrongContentHints.p7m":                    {missing: "content-hints are malformed", refused: "content-hints are malformed"},
	"jkurwa-message.p7":                            {invalid: cades.ErrUnsupported, missing: "x509: invalid authority key identifier", refused: "cannot be read"},
	"jkurwa-message_detached.p7":                   {invalid: cades.ErrUnsupported, missing: "x509: invalid authority key identifier", refused: "cannot be read"},
}

// TestCorpus tells the level of files that others made, and raises them or says why not. None of the authorities behind
// them can be asked any more, so that only what has its evidence already can be raised.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(corpus, "cms")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
	}
	raised := 0
	for _, e := range entries {
		data := cadestest.Must(os.ReadFile(filepath.Join(dir, e.Name())))
		want, known := corpusCMS[e.Name()]
		reports, err := levels.Inspect(data, nil)
		if err != nil {
			if known && (want.unreadable == "" || !strings.Contains(err.Error(), want.unreadable)) || !known && !errors.Is(err, cades.ErrMalformed) {
				t.Errorf("%s: %v", e.Name(), err)
			}
			continue
		}
		r := reports[0]
		missing := ""
		if r.Missing != nil {
			missing = r.Missing.Error()
		}
		if !known || r.Level != want.level || !errors.Is(r.Invalid, want.invalid) || !strings.Contains(missing, want.missing) || (missing == "") != (want.missing == "") {
			t.Errorf("%s: level %v, invalid: %v, missing: %v", e.Name(), r.Level, r.Invalid, r.Missing)
		}
		out, err := levels.Augment(t.Context(), data, nil, cades.LevelBLTA, services(authority(), &prover{err: errors.New("no evidence"), tsas: []*tsptest.TSA{authority()}}))
		if err != nil {
			if out != nil || want.refused == "" || !strings.Contains(err.Error(), want.refused) {
				t.Errorf("%s: not raised: %v", e.Name(), err)
			}
			continue
		}
		raised++
		if after := cadestest.Must(levels.Inspect(out, nil))[0]; want.refused != "" || after.Level != cades.LevelBLTA {
			t.Errorf("%s: raised to %v, missing: %v", e.Name(), after.Level, after.Missing)
		}
		before, after := cadestest.Must(cms.Parse(data)).Signers[0], cadestest.Must(cms.Parse(out)).Signers[0]
		if !bytes.Equal(before.SignedAttrs, after.SignedAttrs) || !bytes.Equal(before.Signature, after.Signature) || !bytes.Contains(after.Raw, before.Unsigned[0].Raw) {
			t.Errorf("%s: old octets changed", e.Name())
		}
	}
	if raised == 0 {
		t.Error("none could be raised")
	}
}

// TestHostile: no file takes more than two seconds or 256 MB.
func TestHostile(t *testing.T) {
	dir := filepath.Join(corpus, "hostile")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Skipf("NO CORPUS at %s: hostile files are not tested: %v", corpus, err)
	}
	for _, e := range entries {
		data := cadestest.Must(os.ReadFile(filepath.Join(dir, e.Name())))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := cpu(t)
		_, err := levels.Inspect(data, nil)
		_, errAugment := levels.Augment(t.Context(), data, nil, cades.LevelBLTA, services(authority(), &prover{}))
		_, errDecode := levels.Decode(data)
		runtime.ReadMemStats(&after)
		if took := cpu(t) - begun; took > 2*time.Second || after.TotalAlloc-before.TotalAlloc > 256<<20 {
			t.Errorf("%s: %v, %d bytes", e.Name(), took, after.TotalAlloc-before.TotalAlloc)
		}
		if err == nil || errAugment == nil {
			t.Errorf("%s: read: %v, %v, %v", e.Name(), err, errAugment, errDecode)
		}
	}
}
