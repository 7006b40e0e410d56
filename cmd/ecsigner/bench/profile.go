package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/google/pprof/profile"
)

// Parts of the server's CPU time that are no package of ours.
const (
	partHSM       = "PKCS#11 module"
	partSQLite    = "SQLite"
	partWire      = "TLS, gRPC, protobuf"
	partValidate  = "request rules"
	partGarbage   = "garbage collection"
	partScheduler = "Go runtime"
	partOther     = "other"
)

// module begins the names of our own functions.
const module = "github.com/ecsigner/ecsigner/"

// libraries says to which part a library belongs, by the beginning of its functions' names. C code has no name in a
// profile: its time is that of the binding that called it, which for C_Sign is our own.
func libraries() map[string]string {
	return map[string]string{
		"github.com/miekg/pkcs11": partHSM, module + "hsm._Cfunc_": partHSM,
		"github.com/mattn/go-sqlite3": partSQLite, "database/sql": partSQLite,
		"google.golang.org/grpc": partWire, "google.golang.org/protobuf": partWire, "crypto/tls": partWire, "golang.org/x/net": partWire,
		"buf.build/go/protovalidate": partValidate, "cel.dev/": partValidate, "github.com/google/cel-go": partValidate,
	}
}

// collecting are functions of the garbage collector; what is below them in a stack is its work, whoever's stack it is.
func collecting() []string {
	return []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcMarkDone", "runtime.deductSweepCredit"}
}

// starting is what the service does before it serves.
const starting = module + "cmd/ecsigner/engine.Open"

// profile serves again, under the profiler, and has one row's work done; the rows themselves are measured without.
func (r *run) profile(ctx context.Context, w workload) error {
	if err := r.server.stop(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.ProfileDir, 0o755); err != nil {
		return err
	}
	dir, err := filepath.Abs(r.ProfileDir)
	if err != nil {
		return err
	}
	callers := slices.Min(w.callers)
	r.say("%v: service under the profiler, %d callers", w, callers)
	file := filepath.Join(dir, "cpu-"+w.file()+".pprof")
	if err := r.server.start(ctx, file); err != nil {
		return err
	}
	documents, err := client.Dial(r.server.path("clients", documentsName))
	if err != nil {
		return err
	}
	l := load{
		workload: w, server: r.server, documents: documents, phone: r.phone, credentials: r.credentials[w.key],
		row: r.rows, number: callers,
	}
	r.rows++
	_, err = l.run(ctx, r.Duration)
	if err = errors.Join(err, documents.Close(), r.server.stop()); err != nil {
		return fmt.Errorf("%v, profiled: %w", w, err)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	p, err := profile.Parse(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	row, err := shares(p, l.completed*w.batch)
	row.Algorithm, row.Batch, row.Callers = w.name, w.batch, callers
	r.report.Profiles = append(r.report.Profiles, row)
	return err
}

// errProfile: a file holds no profile of CPU time.
var errProfile = errors.New("bench: no profile of CPU time")

// shares divides the time of a profile, in which so many signatures were made, among the parts.
func shares(p *profile.Profile, signatures int) (Profile, error) {
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if value < 0 {
		return Profile{}, errProfile
	}
	var total int64
	parts := map[string]int64{}
	for _, s := range p.Sample {
		part := partOf(stack(s))
		if part == "" {
			continue
		}
		parts[part] += s.Value[value]
		total += s.Value[value]
	}
	row := Profile{Signatures: signatures, CPUSeconds: round(float64(total)/1e9, 2)}
	if total == 0 || signatures == 0 {
		return row, nil
	}
	for part, n := range parts {
		row.Parts = append(row.Parts, Share{
			Part: part, Percent: round(100*float64(n)/float64(total), 1), CPUMicros: round(float64(n)/1e3/float64(signatures), 1),
		})
	}
	slices.SortFunc(row.Parts, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Percent, a.Percent), cmp.Compare(a.Part, b.Part))
	})
	return row, nil
}

// stack returns the functions of a sample, the running one first.
func stack(s *profile.Sample) (functions []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				functions = append(functions, line.Function.Name)
			}
		}
	}
	return functions
}

// partOf says whose time a stack is: that of the innermost function that belongs to anybody. It is "" for the start of the
// service, which no signature pays for.
func partOf(stack []string) string {
	begins := func(list []string) bool {
		return slices.ContainsFunc(stack, func(f string) bool {
			return slices.ContainsFunc(list, func(name string) bool { return f == name || strings.HasPrefix(f, name+".") })
		})
	}
	if begins([]string{starting}) {
		return ""
	}
	if begins(collecting()) {
		return partGarbage
	}
	for _, f := range stack {
		for library, part := range libraries() {
			if strings.HasPrefix(f, library) {
				return part
			}
		}
		if own, ok := strings.CutPrefix(f, module); ok {
			return packageOf(own)
		}
	}
	if len(stack) > 0 && strings.HasPrefix(stack[len(stack)-1], "runtime.") {
		return partScheduler
	}
	return partOther
}

// packageOf cuts the function, its receiver and its type arguments off: "store.port[...].View" is of "store".
func packageOf(function string) string {
	function, _, _ = strings.Cut(function, "[")
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + name
}
