package bench

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

func TestPartOf(t *testing.T) {
	const served = "google.golang.org/grpc.(*Server).processUnaryRPC"
	for _, c := range []struct {
		want  string
		stack []string // the running function first
	}{
		{"PKCS#11 module", []string{"runtime.cgocall", "github.com/miekg/pkcs11._Cfunc_UnwrapKey", "github.com/miekg/pkcs11.(*Ctx).UnwrapKey", module + "hsm.(*call).unwrap", served}},
		{"PKCS#11 module", []string{"runtime.cgocall", module + "hsm._Cfunc_call_sign", module + "hsm.(*library).sign", module + "sam.(*Service).Sign", served}},
		{"hsm", []string{"math/big.nat.setBytes", module + "hsm.(*algorithm).encode", module + "sam.(*Service).Sign", served}},
		{"SQLite", []string{"runtime.cgocall", "github.com/mattn/go-sqlite3._Cfunc__sqlite3_step_values", "database/sql.(*Rows).Next", module + "store/sqlc.(*Queries).Operation", module + "store.(*tx).Operation", served}},
		{"store", []string{"runtime.mallocgc", module + "store.port[...].View.func1", module + "signer.own", served}},
		{"store", []string{module + "store.port[github.com/ecsigner/ecsigner/signer.Tx].View", served}},
		{"signer/cades", []string{"crypto/internal/fips140/ecdsa.Verify[...]", module + "signer/cades.Algorithm.Verify", module + "signer.verify", served}},
		{"otp/sms", []string{"internal/runtime/syscall.Syscall6", "os.rename", module + "otp/sms.File.Send", module + "otp/sms.(*Sender).one"}},
		{"TLS, gRPC, protobuf", []string{"crypto/internal/fips140/aes/gcm.seal", "crypto/tls.(*halfConn).encrypt", "google.golang.org/grpc/internal/transport.(*loopyWriter).run"}},
		{"TLS, gRPC, protobuf", []string{"runtime.mallocgc", served, "runtime.goexit"}},
		{"request rules", []string{"reflect.Value.Call", "cel.dev/cel-go/interpreter.(*evalAnd).Eval", "buf.build/go/protovalidate.(*Validator).Validate", module + "server.(*gates).unary", served}},
		{"garbage collection", []string{"runtime.scanobject", "runtime.gcDrain", "runtime.gcBgMarkWorker.func2", "runtime.systemstack", "runtime.gcBgMarkWorker"}},
		{"garbage collection", []string{"runtime.gcDrainN", "runtime.gcAssistAlloc", "runtime.mallocgc", module + "signer.(*Service).Create", served}},
		{"Go runtime", []string{"runtime.futex", "runtime.notesleep", "runtime.findRunnable", "runtime.schedule", "runtime.mcall"}},
		{"other", []string{"github.com/prometheus/client_golang/prometheus.(*counter).Inc", "net/http.HandlerFunc.ServeHTTP"}},
		{"other", nil},
		{"", []string{"runtime.cgocall", "github.com/miekg/pkcs11._Cfunc_Login", module + "hsm.(*Module).Open", module + "cmd/ecsigner/engine.Open", "main.serveCommand.func1"}},
		{"cmd/ecsigner/engine", []string{module + "cmd/ecsigner/engine.OpenAgain"}}, // no other function is the start
	} {
		if got := partOf(c.stack); got != c.want {
			t.Errorf("%q is of %q, not %q", c.stack, got, c.want)
		}
	}
}

// sampled makes a profile whose samples took so many nanoseconds below these functions.
func sampled(kind string, stacks map[string]int64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: kind, Unit: "nanoseconds"}}}
	for f, ns := range stacks {
		fn := &profile.Function{ID: uint64(len(p.Function) + 1), Name: f}
		l := &profile.Location{ID: fn.ID, Line: []profile.Line{{Function: fn}}}
		p.Function, p.Location = append(p.Function, fn), append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{7, ns}})
	}
	return p
}

func TestShares(t *testing.T) {
	stacks := map[string]int64{
		module + "signer.(*Service).Create": 3e9, module + "signer.own": 1e9, "runtime.gcBgMarkWorker": 2e9,
		"github.com/miekg/pkcs11._Cfunc_Sign": 2e9, starting: 5e9,
	}
	got, err := shares(sampled("cpu", stacks), 1000)
	want := Profile{Signatures: 1000, CPUSeconds: 8, Parts: []Share{
		{"signer", 50, 4000}, {"PKCS#11 module", 25, 2000}, {"garbage collection", 25, 2000},
	}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := shares(sampled("cpu", stacks), 0); err != nil || len(got.Parts) > 0 {
		t.Errorf("no signatures: %+v, %v", got, err)
	}
	if got, err := shares(sampled("cpu", nil), 5); err != nil || len(got.Parts) > 0 {
		t.Errorf("no samples: %+v, %v", got, err)
	}
	if _, err := shares(sampled("inuse_space", stacks), 1); !errors.Is(err, errProfile) {
		t.Errorf("a profile of memory: %v", err)
	}
}
