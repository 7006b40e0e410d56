// Benchpdf compares programs that sign one large PDF with the same key in the same SoftHSM token: the packages of this
// module, pdfsign, pyHanko and EU DSS. Each signs as a process of its own, start included; beside each signature
// sha256sum reads the same file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/bench"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchpdf:", err)
		os.Exit(1)
	}
}

// run compares, or, named as the first argument, is one of the programs that are compared.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) == 4 && (args[0] == "ecsigner" || args[0] == "pdfsign") {
		s, err := openSignatory(ctx, args[1])
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		if args[0] == "pdfsign" {
			return signWithPDFSign(s, args[2], args[3])
		}
		return signWithOurs(ctx, s, args[2], args[3])
	}
	f := flag.NewFlagSet("benchpdf", flag.ContinueOnError)
	size := f.Int64("size", 100_000_000, "size of the PDF in bytes")
	pairs := f.Int("pairs", 5, "signatures of each program")
	pyhanko := f.String("pyhanko", "", "the pyhanko command; empty: not compared")
	dss := f.String("dss", "", "directory with the jars of EU DSS; empty: not compared")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "benchpdf-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	in := filepath.Join(dir, "in.pdf")
	if err := bench.WritePDF(in, *size); err != nil {
		return err
	}
	if err := makeSignatory(ctx, dir); err != nil {
		return err
	}
	all, err := programs(ctx, dir, in, *pyhanko, *dss)
	if err != nil {
		return err
	}
	return compare(ctx, all, in, *pairs, out)
}

// program is one of those that are compared.
type program struct {
	name    string
	out     string
	command func() *exec.Cmd
	idle    float64 // MB that it uses without a document
	runs    []usage
}

// usage is what one run took.
type usage struct {
	cpu, wall time.Duration
	peak      float64 // MB
	hash      time.Duration
}

func programs(ctx context.Context, dir, in, pyhanko, dss string) ([]*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "SOFTHSM2_CONF="+filepath.Join(dir, "softhsm2.conf"))
	make := func(name string, command func(in, out string) *exec.Cmd) (*program, error) {
		out := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".pdf")
		with := func(in string) *exec.Cmd {
			c := command(in, out)
			c.Env, c.Dir = env, dir
			return c
		}
		small := filepath.Join(dir, "small.pdf")
		if err := bench.WritePDF(small, 100_000); err != nil {
			return nil, err
		}
		idle, err := measure(with(small))
		return &program{name: name, out: out, command: func() *exec.Cmd { return with(in) }, idle: idle.peak}, err
	}
	var all []*program
	for _, name := range []string{"ecsigner", "pdfsign"} {
		p, err := make(name, func(in, out string) *exec.Cmd { return exec.CommandContext(ctx, self, name, dir, in, out) })
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if pyhanko != "" {
		p, err := make("pyHanko", func(in, out string) *exec.Cmd {
			return exec.CommandContext(ctx, pyhanko, "--config", filepath.Join(dir, "pyhanko.yml"), "sign", "addsig", "--use-pades", "--field", "Sig1",
				"pkcs11", "--p11-setup", "hsm", in, out)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if dss != "" {
		if err := compileDSS(ctx, dir, dss); err != nil {
			return nil, err
		}
		p, err := make("EU DSS", func(in, out string) *exec.Cmd {
			return exec.CommandContext(ctx, "java", "-Xmx2g", "-cp", filepath.Join(dss, "*")+":"+dir, "SignLarge", hsmtest.Module, testPIN, in, out)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// compare lets the programs take turns, each beside sha256sum, and writes the medians.
func compare(ctx context.Context, all []*program, in string, pairs int, out io.Writer) error {
	for range pairs {
		for _, p := range all {
			_ = os.Remove(p.out)
			u, err := measure(p.command())
			if err != nil {
				return err
			}
			if err := valid(ctx, p.out); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			h, err := measure(exec.CommandContext(ctx, "sha256sum", in))
			if err != nil {
				return err
			}
			u.hash = h.cpu
			p.runs = append(p.runs, u)
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintf(w, "program\tCPU s\tratio to sha256sum\ts in all\tMB at most\tMB above a small PDF\n")
	for _, p := range all {
		var cpu, ratio, wall, peak []float64
		for _, u := range p.runs {
			cpu, wall = append(cpu, u.cpu.Seconds()), append(wall, u.wall.Seconds())
			ratio, peak = append(ratio, u.cpu.Seconds()/u.hash.Seconds()), append(peak, u.peak)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\n", p.name, median(cpu), median(ratio), median(wall), median(peak), median(peak)-p.idle)
	}
	return w.Flush()
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// valid asks a program that wrote none of them.
func valid(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, "pdfsig", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Signature is Valid.") {
		return fmt.Errorf("pdfsig: %w\n%s", err, out)
	}
	return nil
}

func measure(c *exec.Cmd) (usage, error) {
	start := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, out)
	}
	u := usage{wall: time.Since(start), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if r, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = float64(r.Maxrss) * 1024 / 1e6
	}
	return u, nil
}
