package system_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	softHSM = "/usr/lib/softhsm/libsofthsm2.so"
	// spyModule writes down every PKCS #11 call (Debian: opensc-pkcs11).
	spyModule = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"
	raw       = pb.SignatureFormat_SIGNATURE_FORMAT_RAW
)

// startSpied starts the server with one session behind the spy and returns the file that the spy writes.
func startSpied(t testing.TB, i *system.Installation) (file string) {
	t.Helper()
	if _, err := os.Stat(spyModule); err != nil {
		t.Fatalf("%v (Debian: apt-get install opensc-pkcs11)", err)
	}
	file = filepath.Join(t.TempDir(), "spy.log")
	configure(t, i, "module: "+softHSM, "module: "+spyModule)
	configure(t, i, "sessions: 4", "sessions: 1")
	i.Start(spied(file)...)
	return file
}

// spied is the environment in which the spy writes to file.
func spied(file string) []string { return []string{"PKCS11SPY=" + softHSM, "PKCS11SPY_OUTPUT=" + file} }

// usedKey is one wrapped key that the token unwrapped, and what was done with its handle.
type usedKey struct {
	wrapped   []byte
	signed    int
	destroyed bool
}

// usedKeys reads from the spy's file which keys were unwrapped, in order. With one session the calls do not overlap.
func usedKeys(t testing.TB, file string) []usedKey {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []*usedKey
	living := map[string]*usedKey{} // by handle
	var signing *usedKey            // nil: a service key
	for call := range strings.SplitSeq(string(text), "\n\n") {
		_, name, _ := strings.Cut(strings.SplitN(strings.TrimSpace(call), "\n", 2)[0], ": ")
		if !strings.Contains(call, "Returned:  0 CKR_OK") {
			continue
		}
		switch name {
		case "C_UnwrapKey":
			k := &usedKey{wrapped: dump(t, call, "pWrappedKey")}
			all, living[value(call, "hKey")] = append(all, k), k
		case "C_SignInit":
			signing = living[value(call, "hKey")]
		case "C_Sign":
			if signing != nil {
				signing.signed++
			}
		case "C_DestroyObject":
			if k := living[value(call, "hObject")]; k != nil {
				k.destroyed = true
				delete(living, value(call, "hObject"))
			}
		}
	}
	used := make([]usedKey, len(all))
	for n, k := range all {
		used[n] = *k
	}
	return used
}

// value returns what the spy wrote behind "name = ".
func value(call, name string) string {
	_, rest, _ := strings.Cut(call, " "+name+" = ")
	v, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(v)
}

// dump returns the bytes of the hexadecimal dump behind a name.
func dump(t testing.TB, call, name string) []byte {
	t.Helper()
	_, rest, _ := strings.Cut(call, name+"[")
	var all []byte
	for n, line := range strings.Split(rest, "\n") {
		if n == 0 {
			continue
		}
		offset, text, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || len(offset) != 8 {
			break
		}
		columns := strings.Fields(text[:min(len(text), 16*3)])
		b, err := hex.DecodeString(strings.Join(columns, ""))
		if err != nil {
			t.Fatalf("the spy's line %q: %v", line, err)
		}
		all = append(all, b...)
	}
	return all
}

// of returns the uses of one wrapped key.
func of(all []usedKey, wrapped any) []usedKey {
	blob, _ := wrapped.([]byte)
	return slices.DeleteFunc(slices.Clone(all), func(k usedKey) bool { return !bytes.Equal(k.wrapped, blob) })
}

// parallel runs n calls, at most 200 at a time, and returns their results in no order.
func parallel[T any](n int, call func(k int) T) []T {
	var all sync.WaitGroup
	results, free := make([]T, n), make(chan struct{}, 200)
	for k := range n {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			results[k] = call(k)
		})
	}
	all.Wait()
	return results
}

// TestOneSignatureForManyCallers has one operation authorised and fetched by many at once, and counts below our own
// code how often the person's key signed.
func TestOneSignatureForManyCallers(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	file := startSpied(t, i)
	one, two := i.Credential(1), i.Credential(2)
	db := newWriter(t, i)
	o, code := i.Operation(one, "many", raw, "document")
	other, otherCode := i.Operation(two, "other", raw, "a", "b", "c")

	type answer struct {
		operation *pb.SigningOperation
		err       error
		fetched   bool
	}
	id, c := o.GetId(), i.Documents()
	answers := parallel(100, func(k int) answer {
		if k%2 == 0 {
			r, err := c.Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: id})
			return answer{r.GetOperation(), err, true}
		}
		signed, err := i.Authorize(id, code)
		return answer{signed, err, false}
	})
	if _, err := i.Authorize(other.GetId(), otherCode); err != nil {
		t.Fatal(err)
	}
	final, err := i.Authorize(id, "")
	if err != nil || len(final.GetItems()[0].GetSignature()) == 0 || len(final.GetReceipt()) == 0 {
		t.Fatalf("fetched again: %v, %v", final, err)
	}
	for _, a := range answers {
		switch {
		case a.err != nil:
			t.Errorf("one of the callers got %v", a.err)
		case a.fetched && a.operation.GetState() != pb.SigningState_SIGNING_STATE_SIGNED:
			if len(a.operation.GetItems()[0].GetSignature()) != 0 || len(a.operation.GetReceipt()) != 0 {
				t.Errorf("an operation in state %s shows a signature", a.operation.GetState())
			}
		case !proto.Equal(a.operation, final):
			t.Errorf("one of the callers got other bytes:\n%v\n%v", a.operation, final)
		}
	}

	all := usedKeys(t, file)
	for credential, want := range map[string]int{one: 1, two: 3} {
		// The key was unwrapped once when it was made, as a check, and once to sign.
		uses := of(all, db.get("credentials", credential)["wrapped_key"])
		if len(uses) != 2 || uses[0].signed != 0 || uses[1].signed != want || !uses[0].destroyed || !uses[1].destroyed {
			t.Errorf("the uses of the key of %s: %+v; want a check and one use with %d C_Sign", credential, uses, want)
		}
	}
}

// TestManyTriesOfOneCode has many guess at once: only as many as are allowed count, and the right code comes too late.
func TestManyTriesOfOneCode(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	o, code := i.Operation(credential, "guessed", raw, "document")
	const tries = 3
	answers := parallel(300, func(int) refusal {
		_, err := i.Authorize(o.GetId(), wrong(code))
		return refusalOf(err)
	})
	reasons, left := map[string]int{}, map[string]int{}
	for _, r := range answers {
		reasons[r.reason]++
		if r.reason == "CODE_REJECTED" {
			left[r.metadata["tries_left"]]++
		}
	}
	if reasons["CODE_REJECTED"] != tries || reasons["CODE_EXHAUSTED"] != len(answers)-tries || len(reasons) != 2 {
		t.Errorf("the answers were %v", reasons)
	}
	if left["2"] != 1 || left["1"] != 1 || left["0"] != 1 {
		t.Errorf("tries left were told as %v", left)
	}
	_, err := i.Authorize(o.GetId(), code)
	wantRefusal(t, err, codes.FailedPrecondition, "CODE_EXHAUSTED", "")
	entries := logFrom(i, 0)
	for attempt := 1; attempt <= tries; attempt++ {
		if n := count(entries, "code.refused", "subject", o.GetId(), "attempt", fmt.Sprint(attempt)); n != 1 {
			t.Errorf("attempt %d stands %d times in the log", attempt, n)
		}
	}
	if n := count(entries, "code.refused", "subject", o.GetId(), "attempt", "0"); n != len(answers)-tries+1 {
		t.Errorf("%d refusals without a count stand in the log", n)
	}
	if n := count(entries, "signing.activated"); n != 0 {
		t.Errorf("%d operations were activated", n)
	}
}

// wrong returns a code of the same length that is not this one.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}
