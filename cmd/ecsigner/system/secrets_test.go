package system_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// spellings are the forms in which a secret could be written somewhere.
func spellings(secret string) map[string][]byte {
	var le, be []byte
	for _, u := range utf16.Encode([]rune(secret)) {
		le, be = append(le, byte(u), byte(u>>8)), append(be, byte(u>>8), byte(u))
	}
	s := map[string][]byte{
		"ASCII": []byte(secret), "UTF-16LE": le, "UTF-16BE": be,
		"hex": []byte(hex.EncodeToString([]byte(secret))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
	}
	for shift := range 3 {
		// What does not depend on the bytes around it, at each alignment.
		e := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		s["base64+"+strconv.Itoa(shift)] = []byte(e[(shift*8+5)/6 : len(e)-1])
	}
	return s
}

// find returns where a secret stands in any spelling, among files and texts.
func find(t *testing.T, dir string, texts map[string][]byte, secrets map[string]string) (places []string) {
	t.Helper()
	look := func(place string, content []byte) {
		for name, secret := range secrets {
			for spelling, bytesOf := range spellings(secret) {
				if bytes.Contains(content, bytesOf) {
					places = append(places, name+" as "+spelling+" in "+place)
				}
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "outbox" || d.Name() == "secrets" {
				return fs.SkipDir
			}
			return nil
		}
		b, err := os.ReadFile(path)
		look(path, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, content := range texts {
		look(place, content)
	}
	return places
}

// TestNoSecretAnywhere runs with codes of nine digits and a PIN of 24 characters, with wrong codes and a crash, and looks
// for them in every file, every output and every error.
func TestNoSecretAnywhere(t *testing.T) {
	i := system.New(t, build.Program(t), "--digits", "9")
	i.Start()
	secrets := map[string]string{}
	for _, name := range []string{"user.pin", "so.pin"} {
		b, err := os.ReadFile(i.Path("secrets", name))
		if err != nil || len(b) != 24 {
			t.Fatalf("%s: %d characters, %v", name, len(b), err)
		}
		secrets[name] = string(b)
	}
	var errorTexts bytes.Buffer
	id, agreement := i.Enrolment(1)
	accept := i.Accept(id, agreement)
	secrets["agreement code"] = accept.GetCode()
	a, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), accept)
	if err != nil {
		t.Fatal(err)
	}
	credential := a.GetEnrolment().GetCredentialId()
	i.Documents()
	i.Grant(credential, "documents")
	o, code := i.Operation(credential, "paper", pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B, "text")
	secrets["signing code"] = code
	wrong := string('0'+(code[0]-'0'+1)%10) + code[1:]
	secrets["wrong code"] = wrong
	if len(code) != 9 {
		t.Fatalf("a code of %d digits", len(code))
	}
	if _, err := i.Authorize(o.GetId(), wrong); err != nil {
		errorTexts.WriteString(err.Error())
	} else {
		t.Fatal("a wrong code was accepted")
	}
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(i.PID()) + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && f[4] != "0" {
			t.Errorf("core dumps are on: %s", line)
		}
	}
	i.Kill()
	i.Start()
	i.Stop()

	texts := map[string][]byte{"output": []byte(i.Stderr.String()), "errors": errorTexts.Bytes()}
	for _, place := range find(t, i.Dir, texts, secrets) {
		t.Error(place)
	}
	// The search must be able to find.
	for spelling, planted := range spellings(code) {
		if len(find(t, t.TempDir(), map[string][]byte{"planted": append([]byte("xx"), planted...)}, secrets)) == 0 {
			t.Errorf("a planted code as %s is not found", spelling)
		}
	}
	var phone int
	for _, kind := range []string{"phone", "agreement", "sign"} {
		files, _ := filepath.Glob(i.Path("outbox", "*.json"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", f, info.Mode(), err)
			}
			if bytes.Contains(b, []byte(`"kind": "`+kind+`"`)) {
				phone++
			}
		}
	}
	if phone != 3 {
		t.Errorf("%d messages with codes on the phone, want 3", phone)
	}
}
