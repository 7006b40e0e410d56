package tsp_test

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// corpus holds files that we did not make; it lies beside the repository and is not a part of it.
const corpus = "../../../shared/corpus"

func corpusFiles(t *testing.T, pattern string) []string {
	t.Helper()
	if _, err := os.Stat(corpus); err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
	}
	files := must(filepath.Glob(filepath.Join(corpus, pattern)))
	if len(files) == 0 {
		t.Fatalf("the corpus has no %s", pattern)
	}
	return files
}

// timeStamps are the unsigned attributes whose values are tokens: signature-time-stamp, archive-time-stamp-v3 and v2, and the
// two of CAdES-X (EN 319 122-1).
var timeStamps = []asn1.ObjectIdentifier{
	{1, 2, 840, 113549, 1, 9, 16, 2, 14},
	{0, 4, 0, 1733, 2, 4},
	{1, 2, 840, 113549, 1, 9, 16, 2, 48},
	{1, 2, 840, 113549, 1, 9, 16, 2, 25},
	{1, 2, 840, 113549, 1, 9, 16, 2, 26},
}

// tokensOf returns the tokens in a file, named, and certificates of the signature around them.
func tokensOf(t *testing.T, file string) (tokens map[string][]byte, known [][]byte) {
	t.Helper()
	data := must(os.ReadFile(file))
	name := filepath.Base(file)
	if ext := filepath.Ext(name); ext == ".tsr" || ext == ".tst" {
		return map[string][]byte{name: data}, nil
	}
	tokens = map[string][]byte{}
	sd, err := cms.Parse(data)
	if err != nil {
		return nil, nil // what signer/cms cannot read is its own test's
	}
	for i, s := range sd.Signers {
		for _, oid := range timeStamps {
			for j, v := range cms.AllValues(s.Unsigned, oid) {
				tokens[fmt.Sprintf("%s signer %d %v %d", name, i, oid, j)] = v
			}
		}
	}
	return tokens, sd.Certificates
}

// Every token of the corpus is read, or refused for its true cause; OpenSSL and another library read the same in it.
func TestCorpus(t *testing.T) {
	refused := map[string]string{ // by the beginning of the name
		"dss-Signature-C-DE_CRY-3.p7m":    "ContentInfo: has tag 0x04, not 0x30", // an OCTET STRING where the token should be
		"dss-cms-wrong-sign-cert-ref.p7m": "signing-certificate names another certificate",
		"dss-counterSig.p7m":              "an RSA key of 1024 bits",
	}
	read, seen := 0, map[string]bool{}
	for _, file := range corpusFiles(t, "cms/*") {
		tokens, known := tokensOf(t, file)
		for name, raw := range tokens {
			token, err := tsp.ParseWith(raw, known)
			if reason, ok := refused[filepath.Base(file)]; ok {
				seen[filepath.Base(file)] = true
				if !errors.Is(err, tsp.ErrToken) || !strings.Contains(err.Error(), reason) {
					t.Errorf("%s: %v; the true cause: %s", name, err, reason)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			read++
			switch name {
			case "bc-test-data-BIN_ER.ers.1.0.tsr": // has OCSP answers beside the certificates, which PKCS #7 does not know
				cannotRead(t, name, token, "Type=X509_CRL", "sequence tag mismatch")
			case "dss-d-trust.tsr": // is signed with RSASSA-PSS
				sameByOpenSSL(t, name, token)
				cannotRead(t, name, token, "Policy OID: 0.4.0.2023.1.1", "unsupported algorithm")
			default:
				sameByOpenSSL(t, name, token)
				sameByDigitorus(t, name, token)
			}
		}
	}
	if read != 23 || len(seen) != len(refused) {
		t.Errorf("%d tokens were read, and %d of %d refused", read, len(seen), len(refused))
	}
}

// cannotRead holds the others to what they cannot do.
func cannotRead(t *testing.T, name string, token *tsp.Token, byOpenSSL, byDigitorus string) {
	t.Helper()
	der := must(token.DER())
	if said := openssl(t, nil, der, nil, "ts", "-reply", "-token_in", "-in", "token", "-text", "-token_out"); !strings.Contains(said, byOpenSSL) {
		t.Errorf("%s: openssl: %s", name, said)
	}
	if _, err := timestamp.Parse(der); err == nil || !strings.Contains(err.Error(), byDigitorus) {
		t.Errorf("%s: digitorus/timestamp: %v", name, err)
	}
}

// sameByOpenSSL compares with what `openssl ts` shows, and asks it whether DER is DER.
func sameByOpenSSL(t *testing.T, name string, token *tsp.Token) {
	t.Helper()
	der, err := token.DER()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if again, err := tsp.ParseWith(der, [][]byte{token.Signer.Raw}); err != nil || again.Serial.Cmp(token.Serial) != 0 || !again.Signer.Equal(token.Signer) {
		t.Errorf("%s: in DER: %v", name, err)
	}
	shown := openssl(t, nil, der, nil, "ts", "-reply", "-token_in", "-in", "token", "-text", "-token_out")
	zone := token.Time.Format("Jan _2 15:04:05.999999999 2006") + " GMT"
	for _, want := range []string{fmt.Sprintf("Serial number: 0x%X\n", token.Serial), "Policy OID: " + token.Policy.String() + "\n", "Time stamp: " + zone + "\n"} {
		if !strings.Contains(strings.ReplaceAll(shown, "number: 0x0", "number: 0x"), want) {
			t.Errorf("%s: openssl shows no %q in\n%s", name, want, shown)
		}
	}
	if shown := openssl(t, nil, der, nil, "asn1parse", "-inform", "DER", "-in", "token"); strings.Contains(shown, "l=inf") || !strings.Contains(shown, "TSTInfo") {
		t.Errorf("%s: not DER", name)
	}
}

// sameByDigitorus compares with the reading of another library. It can panic on damaged input; these are whole.
func sameByDigitorus(t *testing.T, name string, token *tsp.Token) {
	t.Helper()
	other, err := timestamp.Parse(must(token.DER()))
	if err != nil {
		t.Errorf("%s: digitorus/timestamp: %v", name, err)
		return
	}
	if !other.Time.Equal(token.Time) || other.Accuracy != token.Accuracy || other.HashAlgorithm != token.Hash ||
		string(other.HashedMessage) != string(token.Imprint) || other.SerialNumber.Cmp(token.Serial) != 0 || !other.Policy.Equal(token.Policy) ||
		(other.Nonce == nil) != (token.Nonce == nil) || other.Nonce != nil && other.Nonce.Cmp(token.Nonce) != 0 {
		t.Errorf("%s: digitorus/timestamp reads %v %v %v %v %v, not %v %v %v %v %v", name, other.Time, other.Accuracy, other.HashAlgorithm,
			other.SerialNumber, other.Nonce, token.Time, token.Accuracy, token.Hash, token.Serial, token.Nonce)
	}
}

// The same of what the authority of the tests makes.
func TestOthersReadTheSame(t *testing.T) {
	tsa := must(tsptest.New(tsptest.Options{Accuracy: 2*time.Second + 30*time.Millisecond + 4*time.Microsecond}))
	for name, f := range map[string]tsptest.Faults{"DER": {}, "BER": {BER: true}, "padded BER": {BER: true, Size: 70000}, "v1": {SigningCertificateV1: true}} {
		token, err := tsp.Parse(stamp(t, tsa, f))
		if err != nil {
			t.Fatal(name, err)
		}
		sameByOpenSSL(t, name, token)
		sameByDigitorus(t, name, token)
		if name == "DER" && string(must(token.DER())) != string(token.Raw) {
			t.Error("DER is encoded anew")
		}
	}
}

// Hostile files end in an error, at once.
func TestHostile(t *testing.T) {
	for _, file := range corpusFiles(t, "hostile/*") {
		data := must(os.ReadFile(file))
		start := time.Now()
		if _, err := tsp.Parse(data); !errors.Is(err, tsp.ErrToken) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		if _, err := answered(data); err == nil {
			t.Errorf("%s is taken for an answer", filepath.Base(file))
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", filepath.Base(file), took)
		}
	}
}

// Tokens of long ago may stamp a digest that nobody takes any more: that is told, not refused, and never made anew.
func TestOldImprint(t *testing.T) {
	for _, file := range corpusFiles(t, "cms/dss-Signature-15-CBp-LT-2.p7m") {
		tokens, _ := tokensOf(t, file)
		for name, raw := range tokens {
			if token, err := tsp.Parse(raw); err != nil || token.Hash != crypto.SHA1 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
