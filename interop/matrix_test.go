//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// base is the shape over which every algorithm signs.
const base = "lf"

// shape is an input.
type shape struct {
	name string
	data []byte
}

// pdfShapes are the files of package pdftest, and some of them as qpdf, mutool and pyHanko write them anew.
func pdfShapes(t *testing.T) []shape {
	t.Helper()
	var shapes []shape
	for _, s := range pdftest.Signable() {
		shapes = append(shapes, shape{s.Name, s.Data})
	}
	form := shapes[slices.IndexFunc(shapes, func(s shape) bool { return s.name == "form-indirect" })]
	for _, tool := range []struct {
		name string
		args []string
	}{
		{"qpdf linearized", []string{"qpdf", "--linearize", "--deterministic-id", "IN", "OUT"}},
		{"qpdf object streams", []string{"qpdf", "--object-streams=generate", "--deterministic-id", "IN", "OUT"}},
		{"qpdf linearized object streams", []string{"qpdf", "--linearize", "--object-streams=generate", "--deterministic-id", "IN", "OUT"}},
		{"qpdf PDF 1.4", []string{"qpdf", "--force-version=1.4", "--object-streams=disable", "--deterministic-id", "IN", "OUT"}},
		{"mutool clean", []string{"mutool", "clean", "-ggg", "IN", "OUT"}},
		{"mutool merge", []string{"mutool", "merge", "-o", "OUT", "IN", "1", "IN", "1"}},
	} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
		write(t, in, form.data)
		args := slices.Clone(tool.args)
		for i := range args {
			args[i] = strings.NewReplacer("IN", in, "OUT", out).Replace(args[i])
		}
		if said, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool.name, err, said)
		}
		shapes = append(shapes, shape{tool.name, read(t, out)})
	}
	return shapes
}

// contents are what CAdES signs. Their lengths are around those where DER needs one more octet.
func contents() []shape {
	return []shape{
		{base, []byte("Договір № 7\n")},
		{"empty", nil},
		{"one octet", []byte{0}},
		{"127 octets", make([]byte, 127)},
		{"128 octets", make([]byte, 128)},
		{"65536 octets", make([]byte, 1<<16)},
		{"3 MiB", slices.Repeat([]byte("0123456789abcdef"), 3<<16)},
	}
}

// combination is one signature of the matrix; all its levels are judged.
type combination struct {
	format string
	shape  shape
	alg    algorithm
}

// combinations covers every pair of level and algorithm, and of level and shape; the shapes take the algorithms in turn. The
// choice is the same in every run.
func combinations(t *testing.T) []combination {
	t.Helper()
	var all []combination
	for format, shapes := range map[string][]shape{"PAdES": pdfShapes(t), "CAdES attached": contents(), "CAdES detached": contents()} {
		for i, s := range shapes {
			if s.name == base {
				for _, a := range algorithms {
					all = append(all, combination{format, s, a})
				}
				continue
			}
			all = append(all, combination{format, s, algorithms[i%len(algorithms)]})
		}
	}
	order := []string{"PAdES", "CAdES attached", "CAdES detached"}
	slices.SortStableFunc(all, func(a, b combination) int { return slices.Index(order, a.format) - slices.Index(order, b.format) })
	return all
}

// workers judge at the same time; each resident judge takes one question after another.
const workers = 4

// matrix signs every combination once, raises it through all levels, and has every judge look at every file. What is said must be
// what verdicts.txt says. It returns the sections of the document.
func matrix(t *testing.T) string {
	w, r, expected, allowed := shared(t), judges(t), readVerdicts(t, "verdicts.txt"), readAllowed(t)
	all := combinations(t)
	results := make([][]result, len(all))
	work := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range work {
				var err error
				if results[i], err = w.run(r, expected, allowed, t.TempDir(), all[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range all {
		work <- i
	}
	close(work)
	wg.Wait()
	asked := 0
	for _, rs := range results {
		for _, one := range rs {
			if one.wrong != "" {
				t.Errorf("%s of %v\nsays  %s\nmust  %s", one.judge, one.subject, one.wrong, one.expected.text)
			}
			if one.expected.text != "" {
				asked++
			}
		}
	}
	if !t.Failed() {
		expected.unused(t, "verdicts.txt")
		allowed.unused(t, "allowed.txt")
	}
	t.Logf("%d signatures, %d files, %d verdicts", len(all), len(all)*len(stages), asked)
	if t.Failed() {
		return ""
	}
	return matrixSections(results, expected, allowed)
}

// result is one cell.
type result struct {
	subject  subject
	judge    string
	expected *verdict
	wrong    string // what was said instead
}

func (w *world) run(r *residents, expected, allowed expectations, folder string, c combination) ([]result, error) {
	subjects, err := w.chain(folder, c.format, c.shape.name, c.alg, c.shape.data)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, s := range subjects {
		if err := prefix(s); err != nil {
			return nil, err
		}
		for _, j := range all {
			if !strings.Contains(j.formats, strings.Fields(s.format)[0]) {
				continue
			}
			v, err := expected.of(j, s)
			if err != nil {
				return nil, err
			}
			one := result{subject: s, judge: j.name, expected: v}
			if v.text != "" {
				said, err := j.ask(w, r, s)
				if said = allowed.allow(j, s, said); err != nil || said != v.text {
					one.wrong = fmt.Sprint(said, " ", err)
				}
			}
			results = append(results, one)
		}
	}
	return results, nil
}

// prefix demands of a PDF that nothing of what was there is changed.
func prefix(s subject) error {
	data, err := os.ReadFile(s.file)
	if err == nil && s.pdf() && s.level != "B-T" && !strings.HasPrefix(string(data), string(s.before)) {
		err = fmt.Errorf("%v: the file below is not its beginning", s)
	}
	return err
}
