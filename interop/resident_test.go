//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// resident is a judge that runs as one process for all tests: a line asks, a line of JSON answers.
type resident struct {
	name  string
	mu    sync.Mutex
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	noise *os.File
}

// residents are the judges that live in a process of their own.
type residents struct{ java, python, node *resident }

// The processes start with the first test that needs them and end with the last.
var bench = sync.OnceValues(startAll)

func TestMain(m *testing.M) {
	if level := os.Getenv(asSigner); level != "" && len(os.Args) == 3 {
		os.Exit(signOne(level, os.Args[1], os.Args[2]))
	}
	code := m.Run()
	if dir != "" {
		if r, err := bench(); err == nil {
			for _, p := range []*resident{r.java, r.python, r.node} {
				p.stop()
			}
		}
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// dir is where the processes have their files; empty while they were not asked for.
var dir string

func startAll() (*residents, error) {
	var err error
	if dir, err = os.MkdirTemp("", "judges"); err != nil {
		return nil, err
	}
	for _, name := range []string{"ECSIGNER_PYTHON", "ECSIGNER_JARS", "ECSIGNER_NODE", "ECSIGNER_NODE_MODULES"} {
		if os.Getenv(name) == "" {
			return nil, fmt.Errorf("%s is not set: run make interop, which installs the judges", name)
		}
	}
	jars, classes := filepath.Join(os.Getenv("ECSIGNER_JARS"), "*"), filepath.Join(dir, "classes")
	sources, err := filepath.Glob("judges/java/*.java")
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("javac", append([]string{"-nowarn", "-cp", jars, "-d", classes}, sources...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javac: %w\n%s", err, out)
	}
	// Node looks for modules beside the program.
	program, err := os.ReadFile("judges/node/judge.mjs")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "judge.mjs"), program, 0o600); err != nil {
		return nil, err
	}
	if err := os.Symlink(os.Getenv("ECSIGNER_NODE_MODULES"), filepath.Join(dir, "node_modules")); err != nil {
		return nil, err
	}
	var r residents
	for _, p := range []struct {
		to   **resident
		name string
		args []string
	}{
		{&r.java, "java", []string{"java", "-Xmx1g", "-cp", jars + ":" + classes, "Judge"}},
		{&r.python, "python", []string{os.Getenv("ECSIGNER_PYTHON"), "judges/python/judge.py"}},
		{&r.node, "node", []string{os.Getenv("ECSIGNER_NODE"), filepath.Join(dir, "judge.mjs")}},
	} {
		if *p.to, err = start(p.name, p.args); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

func start(name string, args []string) (*resident, error) {
	r := &resident{name: name, cmd: exec.Command(args[0], args[1:]...)}
	var err error
	if r.noise, err = os.Create(filepath.Join(dir, name+".log")); err != nil {
		return nil, err
	}
	r.cmd.Stderr = r.noise
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	return r, r.cmd.Start()
}

func (r *resident) stop() {
	_ = r.in.Close()
	_ = r.cmd.Wait()
	_ = r.noise.Close()
}

// ask sends a request, whose values come in pairs of key and value, and decodes the answer. A value that is empty is left out.
func (r *resident) ask(answer any, operation string, pairs ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := operation
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			line += "\t" + pairs[i] + "=" + pairs[i+1]
		}
	}
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	reply, err := r.out.ReadBytes('\n')
	if err != nil {
		log, _ := os.ReadFile(r.noise.Name())
		return fmt.Errorf("%s ended: %w\n%s", r.name, err, log)
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(reply, &failed); err != nil {
		return fmt.Errorf("%s answered %q: %w", r.name, reply, err)
	}
	if failed.Error != "" {
		return fmt.Errorf("%s: %s", r.name, strings.ReplaceAll(failed.Error, "\n", " "))
	}
	return json.Unmarshal(reply, answer)
}

// judges returns the processes.
func judges(t *testing.T) *residents {
	t.Helper()
	r, err := bench()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
