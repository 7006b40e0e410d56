package system_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestServeRefuses damages an installation in one way at a time: serve ends with one clear sentence and an exit code.
func TestServeRefuses(t *testing.T) {
	i := system.New(t, build.Program(t))
	yaml, err := os.ReadFile(i.Path("ecsigner.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) func(t *testing.T) {
		return func(t *testing.T) {
			if !strings.Contains(string(yaml), from) {
				t.Fatalf("the configuration does not hold %q", from)
			}
			write(t, i.Path("ecsigner.yaml"), strings.Replace(string(yaml), from, to, 1), 0o600)
		}
	}
	pin, err := os.ReadFile(i.Path("secrets", "user.pin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T)
		says   string
	}{
		{"unknown key", replace("listen:", "lisen:"), "lisen"},
		{"value out of range", replace("digits: 6", "digits: 4"), "codes.digits must be 6 to 9"},
		{"no HSM library", replace("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/nowhere.so"), "PKCS #11 library"},
		{"no such token", replace("token: ecsigner", "token: other"), "token"},
		{"wrong PIN", func(t *testing.T) { write(t, i.Path("secrets", "user.pin"), "wrong-pin-of-24-letters!", 0o600) }, "PIN"},
		{"PIN that others can read", func(t *testing.T) { write(t, i.Path("secrets", "user.pin"), string(pin), 0o644) }, "chmod 600"},
		{"SoftHSM outside a test", replace("\ntest: true\n", "\ntest: false\n"), "SoftHSM is for test"},
		{"database that is none", func(t *testing.T) {
			if err := os.MkdirAll(i.Path("data", "db"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, i.Path("data", "db", "ecsigner.db"), strings.Repeat("this is no database ", 500), 0o600)
		}, "store:"},
		{"directory that cannot be written", func(t *testing.T) {
			if err := os.Mkdir(i.Path("data"), 0o500); err != nil {
				t.Fatal(err)
			}
			unprivileged(t, i)
		}, "the published log's directory cannot be made; check the owner"},
		{"full disk", func(t *testing.T) {
			d := newDisk(t)
			d.fails(0, syscall.ENOSPC, 0)
			for _, variable := range d.env() {
				name, value, _ := strings.Cut(variable, "=")
				t.Setenv(name, value)
			}
		}, "store: the disk is full; free some space"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() {
				write(t, i.Path("ecsigner.yaml"), string(yaml), 0o600)
				write(t, i.Path("secrets", "user.pin"), string(pin), 0o600)
				if err := os.RemoveAll(i.Path("data")); err != nil {
					t.Error(err)
				}
			})
			tt.damage(t)
			out, err := i.Try("serve", "--config", i.Path("ecsigner.yaml"))
			if err == nil || !strings.HasPrefix(out, "ecsigner: ") || !strings.Contains(out, tt.says) || strings.Contains(out, "goroutine") {
				t.Errorf("error %v, says:\n%s", err, out)
			}
			if strings.Contains(out, string(pin)) {
				t.Error("the PIN is in the error")
			}
		})
	}
}

// unprivileged has the program run without the power of root to write everywhere, until the test ends.
func unprivileged(t *testing.T, i *system.Installation) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	script := filepath.Join(t.TempDir(), "ecsigner")
	write(t, script, "#!/bin/sh\nexec setpriv --inh-caps=-dac_override --bounding-set=-dac_override "+i.Program+` "$@"`, 0o700)
	former := i.Program
	t.Cleanup(func() { i.Program = former })
	i.Program = script
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestOneProcessOneInstallation: a second server and a second init are refused and change nothing.
func TestOneProcessOneInstallation(t *testing.T) {
	i := system.New(t, build.Program(t))
	i.Start()
	if out, err := i.Try("serve", "--config", i.Path("ecsigner.yaml")); err == nil || !strings.Contains(out, "in use by another process") {
		t.Errorf("a second server: %v\n%s", err, out)
	}
	before, _ := os.ReadFile(i.Path("ecsigner.yaml"))
	if out, err := i.Try("init", "--dir", i.Dir); err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("a second init: %v\n%s", err, out)
	}
	if after, _ := os.ReadFile(i.Path("ecsigner.yaml")); !bytes.Equal(before, after) {
		t.Error("a second init changed the installation")
	}
	if i.Stop() != 0 {
		t.Error("the first server was disturbed")
	}
}

// TestRefusedDocuments uploads what cannot be signed.
func TestRefusedDocuments(t *testing.T) {
	i := system.New(t, build.Program(t))
	yaml, err := os.ReadFile(i.Path("ecsigner.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, i.Path("ecsigner.yaml"), strings.Replace(string(yaml), "document_bytes: 104857600", "document_bytes: 300000", 1), 0o600)
	i.Start()
	credential := i.Credential(3)
	contract, err := os.ReadFile("../../../testdata/contract/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := filepath.Join(t.TempDir(), "encrypted.pdf")
	if out, err := exec.Command("qpdf", "--encrypt", "u", "o", "256", "--", "../../../testdata/contract/contract.pdf", encrypted).CombinedOutput(); err != nil {
		t.Fatalf("qpdf: %v\n%s", err, out)
	}
	secret, err := os.ReadFile(encrypted)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, reason string
		body         []byte
	}{
		{"empty", "DOCUMENT_EMPTY", nil},
		{"above the cap", "DOCUMENT_TOO_LARGE", make([]byte, 300_001)},
		{"no PDF", "NOT_A_PDF", []byte("Dear Sir or Madam,")},
		{"encrypted", "PDF_ENCRYPTED", secret},
		{"damaged xref", "PDF_DAMAGED", bytes.Replace(contract, []byte("\nxref\n"), []byte("\nxrff\n"), 1)},
		{"cut off", "PDF_DAMAGED", contract[:len(contract)/2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := i.Documents().Upload(t.Context(), "a.pdf", bytes.NewReader(tt.body), func(int64) {})
			if err == nil {
				_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), &pb.CreateSigningOperationRequest{
					RequestId: client.RequestID(), CredentialId: credential, Title: "a", Language: "en",
					Items: []*pb.SigningItemRequest{{
						Source: &pb.SigningItemRequest_DocumentId{DocumentId: d.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
					}},
				})
			}
			explained(t, err, tt.reason)
		})
	}
}

// explained asserts that a refusal carries its reason and what to do.
func explained(t *testing.T, err error, want string) {
	t.Helper()
	var remedy string
	for _, d := range status.Convert(err).Details() {
		if m, ok := d.(*errdetails.LocalizedMessage); ok {
			remedy = m.GetMessage()
		}
	}
	if reason(err) != want || remedy == "" {
		t.Errorf("reason %s with remedy %q, want %s", reason(err), remedy, want)
	}
}

// TestVoucherInParallel redeems one voucher twenty times at once.
func TestVoucherInParallel(t *testing.T) {
	i := system.New(t, build.Program(t))
	i.Start()
	portal := i.Portal()
	v, err := i.Operator().Admin.CreateVouchers(t.Context(), &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: 1, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := portal.Enrolment.CreateEnrolment(t.Context(), &pb.CreateEnrolmentRequest{
				RequestId: client.RequestID(), VoucherCode: v.GetCodes()[0], Language: "uk",
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got["redeemed"]++
			} else {
				got[reason(err)]++
			}
		})
	}
	wg.Wait()
	if got["redeemed"] != 1 || got["VOUCHER_USED"] != 19 {
		t.Errorf("%v", got)
	}
}

// TestClientGoneInMidStream leaves nothing of the document behind.
func TestClientGoneInMidStream(t *testing.T) {
	i := system.New(t, build.Program(t))
	i.Start()
	documents := i.Documents()
	_, err := documents.Upload(t.Context(), "a.pdf", &breaking{left: 5}, func(int64) {})
	if err == nil {
		t.Fatal("an upload that broke off was accepted")
	}
	i.Stop()
	files, err := filepath.Glob(i.Path("data", "spool", "*"))
	if err != nil || len(files) != 0 {
		t.Errorf("the spool holds %v, %v", files, err)
	}
}

// breaking gives some chunks and then fails.
type breaking struct{ left int }

func (b *breaking) Read(p []byte) (int, error) {
	if b.left--; b.left < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}
