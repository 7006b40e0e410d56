package pades_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/metrics"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/mutations"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestMutations damages files ten thousand times, the same way each time, or as often as MUTATIONS says. No file makes
// a panic, takes more than a second of CPU or more than 128 MiB of allocations, and what is signed all the same passes
// qpdf, but for what is tolerated, and is no worse than before.
func TestMutations(t *testing.T) {
	count := mutations.Count(t, 10_000)
	id, sources := padestest.EC(), mutationSources(t)
	r := rand.New(rand.NewPCG(3, 4))
	signed, judged, clean, dir := 0, 0, 0, t.TempDir()
	for i := range count {
		in := mutate(r, sources[i%len(sources)])
		cpu, allocated := spent()
		_, _ = longterm.Verify(context.Background(), bytes.NewReader(in), int64(len(in)), pdf.Limits{})
		_, err := padestest.Prepare(in, padestest.Options(id))
		cpu2, allocated2 := spent()
		if cpu2-cpu > time.Second || allocated2-allocated > 128<<20 {
			t.Errorf("file %d: %v, %d bytes allocated", i, cpu2-cpu, allocated2-allocated)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("file %d: no line of text: %q", i, err)
			}
			continue
		}
		signed++
		out := padestest.SignPDF(t, in, id, padestest.Options(id))
		if !bytes.HasPrefix(out, in) {
			t.Errorf("file %d: the input is not a prefix of the output", i)
		}
		if signed%10 == 0 || count > 10_000 { // a process each: all of them where there is time for many
			judged++
			if passes(t, dir, i, in, out) {
				clean++
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if signed < count/50 || signed > count*9/10 {
		t.Errorf("%d of %d damaged files were signed", signed, count)
	}
	if clean < judged*95/100 {
		t.Errorf("qpdf finds fault with %d of %d", judged-clean, judged)
	}
	t.Logf("%d of %d damaged files signed, %d of them judged, %d without any fault", signed, count, judged, clean)
}

// mutationSources are files of every shape, signed ones, and small ones by others where there are any.
func mutationSources(t *testing.T) [][]byte {
	t.Helper()
	id := padestest.EC()
	var sources [][]byte
	for _, s := range pdftest.Signable() {
		if len(s.Data) < 10_000 {
			once := padestest.SignPDF(t, s.Data, id, padestest.Options(id))
			sources = append(sources, s.Data, once)
		}
	}
	sources = append(sources, padestest.SignPDF(t, sources[1], id, padestest.Options(id)), padestest.EmptyFields("/Lock << /Action /All >>").Streams(1, 5, 6))
	if _, err := os.Stat(corpus); err == nil {
		files := corpusPDF(t)
		var names []string
		for name, data := range files {
			if len(data) < 50_000 {
				names = append(names, name)
			}
		}
		sort.Strings(names)
		for _, name := range names {
			sources = append(sources, files[name])
		}
	}
	return sources
}

// mutate changes a few bytes. Mostly in place, so that offsets still lead somewhere.
func mutate(r *rand.Rand, source []byte) []byte {
	data := bytes.Clone(source)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(data))
		switch r.IntN(12) {
		case 0: // cut
			data = data[:at+1]
		case 1: // remove
			data = append(data[:at:at], data[min(len(data), at+1+r.IntN(9)):]...)
		case 2: // repeat
			data = append(data[:at:at], append(bytes.Clone(data[at/2:at]), data[at:]...)...)
		case 3: // a large number
			copy(data[at:], "9999999999")
		case 4, 5: // another digit in a number
			if n := bytes.IndexAny(data[at:], "0123456789"); n >= 0 {
				data[at+n] = byte('0' + r.IntN(10))
			}
		case 6: // another letter in a name
			if n := bytes.IndexByte(data[at:], '/'); n >= 0 && at+n+1 < len(data) {
				data[at+n+1] ^= byte(1 << r.IntN(5))
			}
		default:
			data[at] = "()<>[]{}/% \n\rR0123456789abcdefnx\x00\xff"[r.IntN(34)]
		}
		if len(data) == 0 {
			return []byte{'%'}
		}
	}
	return data
}

// spent returns the CPU time and the bytes allocated of this process.
func spent() (time.Duration, uint64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), sample[0].Value.Uint64()
}

// tolerated is what qpdf may find fault with in a damaged file that is signed: nothing that tells objects and pages apart.
var tolerated = regexp.MustCompile(`\(content, offset |\(content\): |ERROR: page \d+: content stream ` + // what a page draws
	`|error decoding stream data|stream will be re-processed|output may still be valid` + // the compression of it
	`|dictionary has duplicated key` + // in an object that signing does not need; in others it is refused
	`|Cross-reference stream data has the wrong size` + // rows that nobody counts in
	`|extraneous whitespace seen before xref` + // which most readers pass over
	`|integer out of range`) // said of comments, too, when it looks for a linearized file

// passes wants qpdf to find nothing but what is tolerated, and nothing that it did not find before.
func passes(t *testing.T, dir string, i int, in, out []byte) (clean bool) {
	t.Helper()
	check := func(data []byte) (string, int) {
		path := filepath.Join(dir, "checked.pdf") // one for all: there may be 40,000
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return padestest.Run(t, "qpdf", "--check", path)
	}
	said, code := check(out)
	if code == 0 && !strings.Contains(said, "WARNING") {
		return true
	}
	before, was := check(in)
	bad := was == 0 || (was == 3 && code == 2) || was == code && !within(complaints(said), complaints(before)) // 0 clean, 3 warnings, 2 errors
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "WARNING: ") || strings.HasPrefix(line, "ERROR: ") {
			bad = bad || !tolerated.MatchString(line)
		}
	}
	if bad {
		t.Errorf("file %d: qpdf before: %d\n%s\nafter: %d\n%s", i, was, before, code, said)
		if dir := os.Getenv("ECSIGNER_KEEP"); dir != "" {
			_ = os.WriteFile(dir+"/mutated.pdf", in, 0o600)
			_ = os.WriteFile(dir+"/mutated-signed.pdf", out, 0o600)
		}
	}
	return false
}

// complaints are what qpdf warns of, whatever the place: an array with one more element has one more place, and a page that
// was in an object stream has another.
func complaints(said string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "WARNING: ") {
			set[line[strings.LastIndex(line, ": "):]] = true
		}
	}
	return set
}

func within(some, all map[string]bool) bool {
	for c := range some {
		if !all[c] {
			return false
		}
	}
	return true
}
