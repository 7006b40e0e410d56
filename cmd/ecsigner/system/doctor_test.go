package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

type examination struct {
	Failed int
	Rows   []struct{ Row, Outcome, Found, Do string }
}

// examined runs the doctor and returns what it says; its exit code must fit.
func examined(t *testing.T, i *system.Installation) examination {
	t.Helper()
	out, err := i.Try("doctor", "--config", i.Path("ecsigner.yaml"), "--json")
	var e examination
	if bad := json.Unmarshal([]byte(out), &e); bad != nil {
		t.Fatalf("%v\n%s", bad, out)
	}
	if (err != nil) != (e.Failed > 0) {
		t.Errorf("%d rows failed, and the command ended with %v", e.Failed, err)
	}
	return e
}

func (e examination) outcome(row string) (outcome, found, do string) {
	for _, r := range e.Rows {
		if r.Row == row {
			return r.Outcome, r.Found, r.Do
		}
	}
	return "", "", ""
}

// pkcs11 runs pkcs11-tool on the installation's token, as somebody who holds the PIN.
func pkcs11(t *testing.T, i *system.Installation, args ...string) {
	t.Helper()
	pin, err := os.ReadFile(i.Path("secrets", "user.pin"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "pkcs11-tool", append([]string{
		"--module", "/usr/lib/softhsm/libsofthsm2.so", "--token-label", "ecsigner", "--login", "--pin", strings.TrimSpace(string(pin)),
	}, args...)...)
	c.Env = append(os.Environ(), "SOFTHSM2_CONF="+i.Path("softhsm", "softhsm2.conf"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("pkcs11-tool %v: %v\n%s", args, err, out)
	}
}

// endingCertificate is one that ends tomorrow.
func endingCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDoctor examines an installation that is served, and then breaks it in one way after the other: the right row fails each
// time, and says what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	one, two := i.Credential(1), i.Credential(2)
	backup := backedUp(t, i)
	for range 2 { // 3 + 2 wrong codes lock
		o, right := i.Operation(two, "locks", raw, "text")
		for range 3 {
			_, _ = i.Authorize(o.GetId(), wrong(right))
		}
	}
	open, _ := i.Operation(one, "first code", raw, "text")
	other, _ := i.Operation(one, "second code", raw, "text")
	e := examined(t, i)
	for _, r := range e.Rows {
		if r.Outcome == "fail" {
			t.Errorf("row %s fails in a sound installation: %s", r.Row, r.Found)
		}
	}
	for row, want := range map[string]string{
		"1": "pass", "4": "organisational", "5": "pass", "6": "pass", "7": "pass", "8": "pass", "9": "not applicable",
		"10": "not applicable", "11": "not applicable", "20": "shown by test", "A": "pass", "C": "pass", "F": "pass", "G": "pass",
	} {
		if got, found, _ := e.outcome(row); got != want {
			t.Errorf("row %s is %q (%s), want %q", row, got, found, want)
		}
	}
	if text := i.Run("doctor", "--config", i.Path("ecsigner.yaml")); !strings.Contains(text, " 0 fail") {
		t.Errorf("it says\n%s", text)
	}
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	db := newWriter(t, i)
	otherChallenge := db.get("operations", other.GetId())["challenge"]
	seal, err := os.ReadFile(i.Path("pki", "seal.cer"))
	if err != nil {
		t.Fatal(err)
	}
	bundle := i.Path("data", "log", "tile", "entries", bundleOf(t, i.Path("data", "log")))
	first, second := db.get("credentials", one), db.get("credentials", two)
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mode := func(path string, m os.FileMode) {
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		row, name    string
		change, mend func()
	}{
		{row: "1", name: "a key that can be extracted", change: func() {
			pkcs11(t, i, "--keygen", "--key-type", "aes:32", "--label", "loose", "--id", "aa", "--extractable")
		}, mend: func() { pkcs11(t, i, "--delete-object", "--type", "secrkey", "--label", "loose") }},
		{row: "2", name: "a foreign key-encryption key", change: func() {
			pkcs11(t, i, "--keygen", "--key-type", "aes:32", "--label", "kek-2030-1", "--id", "bb", "--extractable")
		}, mend: func() { pkcs11(t, i, "--delete-object", "--type", "secrkey", "--label", "kek-2030-1") }},
		{row: "5", name: "backups that others can enter", change: func() { mode(backup, 0o755) }, mend: func() { mode(backup, 0o700) }},
		{row: "5", name: "too many backups", change: func() {
			for k := range 7 {
				if err := os.CopyFS(i.Path("backups", fmt.Sprintf("demo-2026010%dT000000Z", k)), os.DirFS(backup)); err != nil {
					t.Fatal(err)
				}
			}
		}, mend: func() {
			for k := range 7 {
				if err := os.RemoveAll(i.Path("backups", fmt.Sprintf("demo-2026010%dT000000Z", k))); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{row: "6", name: "a changed binding", change: func() { db.replace("credentials", one, "record", "sms-code", "sms-cody") }, mend: func() {
			db.put("credentials", one, first)
		}},
		{row: "7", name: "certificates of two persons exchanged with their enrolments", change: func() {
			db.put("credentials", one, row{"enrolment": second["enrolment"]})
		}, mend: func() { db.put("credentials", one, first) }},
		{row: "8", name: "a certificate over another key", change: func() { db.put("credentials", one, row{"chain": second["chain"]}) }, mend: func() {
			db.put("credentials", one, first)
		}},
		{row: "14", name: "a changed entry in the published log", change: func() { flip(t, bundle, 300) }, mend: func() { flip(t, bundle, 300) }},
		{row: "15", name: "a changed entry in the published log", change: func() { flip(t, bundle, 300) }, mend: func() { flip(t, bundle, 300) }},
		{row: "C", name: "a changed entry in the published log", change: func() { flip(t, bundle, 300) }, mend: func() { flip(t, bundle, 300) }},
		{row: "16", name: "a PIN beside the data", change: func() {
			pin, err := os.ReadFile(i.Path("secrets", "user.pin"))
			if err != nil {
				t.Fatal(err)
			}
			write(i.Path("data", "notes"), append([]byte("pin: "), pin...))
		}, mend: func() { remove(t, i.Path("data", "notes")) }},
		{row: "18", name: "a lock taken away", change: func() { db.run("UPDATE locks SET locked = 0, failures = 0") }, mend: func() {
			db.run("UPDATE locks SET locked = 1, failures = 5")
		}},
		{row: "19", name: "two codes for one operation", change: func() {
			db.run("UPDATE challenges SET subject = ? WHERE subject = ?", open.GetId(), other.GetId())
		}, mend: func() { db.run("UPDATE challenges SET subject = ? WHERE id = ?", other.GetId(), otherChallenge) }},
		{row: "A", name: "a changed head file", change: func() { flip(t, i.Path("data", "heads"), 5) }, mend: func() { flip(t, i.Path("data", "heads"), 5) }},
		{row: "F", name: "a certificate that ends", change: func() { write(i.Path("pki", "seal.cer"), endingCertificate(t)) }, mend: func() {
			write(i.Path("pki", "seal.cer"), seal)
		}},
		{row: "G", name: "a database that others can enter", change: func() { mode(i.Path("data", "db"), 0o755) }, mend: func() {
			mode(i.Path("data", "db"), 0o700)
		}},
	} {
		c.change()
		if outcome, found, do := examined(t, i).outcome(c.row); outcome != "fail" || do == "" {
			t.Errorf("%s: row %s is %q, %s", c.name, c.row, outcome, found)
		}
		c.mend()
	}
	if e := examined(t, i); e.Failed != 0 {
		t.Errorf("after everything was mended %+v", e)
	}
	if left, _ := filepath.Glob(i.Path("data", ".doctor-*")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

// TestEndingCertificatesAreTold: the service says at its start what ends soon.
func TestEndingCertificatesAreTold(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	// The list of the root is not looked at for anything else at the start.
	list, err := os.ReadFile(i.Path("pki", "root.crl"))
	if err != nil {
		t.Fatal(err)
	}
	i.Start()
	if strings.Contains(i.Stderr.String(), "certificate or list ends") {
		t.Errorf("a new installation says\n%s", i.Stderr)
	}
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	if err := os.WriteFile(i.Path("pki", "root.crl"), list[:len(list)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	i.Start()
	await(t, "the service tells of the list", func() bool {
		return strings.Contains(i.Stderr.String(), "certificate or list ends") && strings.Contains(i.Stderr.String(), "root.crl")
	})
}

// TestMessageNamesWhatIsSigned: the text on the phone names the client, title, count and the beginning of the document's
// SHA-256, before the code can be given.
func TestMessageNamesWhatIsSigned(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	r := hashes(credential, "Contract 17", "the contract")
	if _, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	text := i.Message("sign", "Contract 17")
	digest := sha256.Sum256([]byte("the contract"))
	for _, want := range []string{"Client documents", `"Contract 17"`, "documents: 1", fmt.Sprintf("%x", digest)[:8]} {
		if !strings.Contains(text, want) {
			t.Errorf("the text %q does not name %q", text, want)
		}
	}
}
