//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// foreign is a signature that others made in this run.
type foreign struct {
	by string
	subject
}

func (f foreign) name() string { return strings.Join([]string{f.by, f.format, f.level, f.alg}, ", ") }

// makers of vectors: who, of which formats, and how its program is asked.
var makers = []struct {
	by, format string
	make       func(w *world, r *residents, s subject, in string) error
}{
	{"EU DSS", "PAdES", dssSigns("PAdES", "")},
	{"EU DSS", "CAdES detached", dssSigns("CAdES", "DETACHED")},
	{"EU DSS", "CAdES attached", dssSigns("CAdES", "ENVELOPING")},
	{"pyHanko", "PAdES", hankoSigns},
	{"openssl", "CAdES detached", opensslSigns(false)},
	{"openssl", "CAdES attached", opensslSigns(true)},
}

// vectors has others sign what is wanted: at every level that they know, with an elliptic curve and with PSS.
func (w *world) vectors(t *testing.T, r *residents, wanted func(foreign) bool) []foreign {
	t.Helper()
	var made []foreign
	for _, m := range makers {
		for _, level := range stages[:4] {
			for _, a := range []algorithm{algorithms[0], algorithms[9]} {
				if m.by == "openssl" && level != "B-B" {
					continue // it knows B-B alone
				}
				f := foreign{m.by, subject{format: m.format, level: level, alg: a.name, shape: base}}
				if !wanted(f) {
					continue
				}
				folder := t.TempDir()
				in := filepath.Join(folder, "in.pdf")
				write(t, in, lf(t))
				f.file = filepath.Join(folder, "signed"+map[string]string{"PAdES": ".pdf", "CAdES detached": ".p7s", "CAdES attached": ".p7m"}[m.format])
				if m.format == "CAdES detached" {
					f.content = in
				}
				if err := m.make(w, r, f.subject, in); err != nil {
					t.Fatalf("%s: %v", f.name(), err)
				}
				made = append(made, f)
			}
		}
	}
	return made
}

func lf(t *testing.T) []byte {
	t.Helper()
	for _, s := range pdftest.Signable() {
		if s.Name == base {
			return bytes.Clone(s.Data)
		}
	}
	t.Fatal("no shape " + base)
	return nil
}

// signing are the values that EU DSS and pyHanko take alike.
func (w *world) signing(s subject, in string) []string {
	key, pss := "P-256", ""
	if strings.HasPrefix(s.alg, "RSA") {
		key = "RSA-3072"
	}
	if strings.Contains(s.alg, "PSS") {
		pss = "1"
	}
	return []string{
		"file", in, "out", s.file, "store", w.signatory[key].store, "password", "store", "pss", pss,
		"tsa", w.tsa[key].URL(), "roots", w.roots, "online", "1",
	}
}

func dssSigns(format, packaging string) func(*world, *residents, subject, string) error {
	return func(w *world, r *residents, s subject, in string) error {
		var made struct{ Made string }
		level := format + "_BASELINE_" + strings.TrimPrefix(s.level, "B-")
		return r.java.ask(&made, "sign", append(w.signing(s, in), "level", level, "packaging", packaging)...)
	}
}

func hankoSigns(w *world, r *residents, s subject, in string) error {
	var made struct{ Made string }
	return r.python.ask(&made, "sign", append(w.signing(s, in), "level", strings.TrimPrefix(s.level, "B-"))...)
}

func opensslSigns(attached bool) func(*world, *residents, subject, string) error {
	return func(w *world, _ *residents, s subject, in string) error {
		name := filepath.Join(w.dir, strings.Fields(s.alg)[0])
		key := name + ".pem"
		args := []string{"cms", "-sign", "-cades", "-binary", "-md", "sha256", "-in", in, "-signer", key, "-inkey", key, "-certfile", name + ".above.pem", "-outform", "DER", "-out", s.file}
		if attached {
			args = append(args, "-nodetach")
		}
		if strings.Contains(s.alg, "PSS") {
			args = append(args, "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest")
		}
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("openssl: %w\n%s", err, out)
		}
		return nil
	}
}

// foreignSection has the judges look at what others made, before and after we raised it: they must say of both what they say of ours.
// It returns a section of the document.
func foreignSection(t *testing.T) string {
	w, r, expected, allowed := shared(t), judges(t), readVerdicts(t, "foreign.txt"), readAllowed(t)
	var b strings.Builder
	b.WriteString(foreignPreface)
	for _, f := range w.vectors(t, r, func(foreign) bool { return true }) {
		raised, err := w.raise(f)
		if err != nil {
			t.Errorf("%s: %v", f.name(), err)
			continue
		}
		for i, s := range append([]subject{f.subject}, raised...) {
			s.origin = []string{"by-" + strings.ReplaceAll(f.by, " ", "-"), "from-" + f.level}
			if i > 0 {
				w.unchanged(t, s)
			} else {
				s.origin = append(s.origin, "as-made")
			}
			for _, j := range all[:3] {
				v, err := expected.of(j, s)
				if err != nil {
					t.Fatal(err)
				}
				if v.text == "" {
					continue
				}
				if said, err := j.ask(w, r, s); err != nil || allowed.allow(j, s, said) != v.text {
					t.Errorf("%s, now %s: %s\nsays  %s %v\nmust  %s", f.name(), s.level, j.name, said, err, v.text)
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.by, f.format, f.level, f.alg)
	}
	if !t.Failed() {
		expected.unused(t, "foreign.txt")
	}
	return b.String()
}

const foreignPreface = `
## Signed elsewhere, raised by us

Each of these was made by another program in the run, raised to B-LTA by us and then renewed, with all its bytes in their place. EU DSS and
pyHanko judge the three files, EU DSS also for a time after the signatory's certificate ended; what they must say stands in
` + "`interop/foreign.txt`" + `.

| Made by | Format | At | Algorithm |
|---|---|---|---|
`

// unchanged demands that what was signed and what was there are still there: of a PDF as its beginning.
func (w *world) unchanged(t *testing.T, s subject) {
	t.Helper()
	data := read(t, s.file)
	if s.pdf() && !bytes.HasPrefix(data, s.before) {
		t.Errorf("%s: the file below is not its beginning", s.file)
	}
	if len(data) <= len(s.before) {
		t.Errorf("%s: it did not grow", s.file)
	}
}

// raise brings a signature of others to B-LTA, and renews it, with our packages. The files of both are returned.
func (w *world) raise(f foreign) ([]subject, error) {
	services := w.services["P-256"]
	if strings.HasPrefix(f.alg, "RSA") { // as the signature time-stamp's
		services = w.services["RSA-3072"]
	}
	data, err := os.ReadFile(f.file)
	if err != nil {
		return nil, err
	}
	var raised []subject
	for _, level := range []string{"B-LTA", "B-LTA renewed"} {
		s := f.subject
		s.before, s.level, s.file = data, level, strings.TrimSuffix(f.file, filepath.Ext(f.file))+name(level)+filepath.Ext(f.file)
		if s.pdf() {
			tail, err := longterm.Augment(context.Background(), bytes.NewReader(data), int64(len(data)), cades.LevelBLTA, services, pdf.Limits{})
			if err != nil {
				return nil, err
			}
			data = append(bytes.Clone(data), tail...)
		} else {
			var content levels.Content
			if f.content != "" {
				signed, err := os.ReadFile(f.content)
				if err != nil {
					return nil, err
				}
				content = digester(signed)
			}
			if data, err = levels.Augment(context.Background(), data, content, cades.LevelBLTA, services); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(s.file, data, 0o600); err != nil {
			return nil, err
		}
		raised = append(raised, s)
	}
	return raised, nil
}
