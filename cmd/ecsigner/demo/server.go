package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// server is the engine, running as a process of its own.
type server struct {
	cmd     *exec.Cmd
	dir     string
	address string
	public  string // of the HTTP publication
	seen    map[string]bool
	log     *os.File
	tsa     *authority
}

// start runs init and serve and returns when the service answers.
func start(ctx context.Context, program, work string, p printer) (*server, error) {
	listen, public, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	s := &server{dir: filepath.Join(work, "installation"), address: listen, public: public, seen: map[string]bool{}}
	init := exec.CommandContext(ctx, program, "init", "--dir", s.dir, "--listen", listen, "--pki-listen", public)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init failed: %w\n%s", err, out)
	}
	p.item("init", "token, keys, certification authorities, operator")
	if s.tsa, err = startAuthority(ctx, program, s.dir, p); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(work, "serve.log")); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, "serve", "--config", s.path("ecsigner.yaml"))
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "serving") {
		said, _ := os.ReadFile(s.log.Name())
		return nil, fmt.Errorf("serve did not start: %s%s", line, said)
	}
	p.item("serve", "gRPC over mutual TLS 1.3 on loopback")
	return s, nil
}

// freeAddresses finds two loopback ports that nobody uses.
func freeAddresses() (a, b string, err error) {
	var l [2]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", "", err
		}
		defer func() { _ = l[i].Close() }()
	}
	return l[0].Addr().String(), l[1].Addr().String(), nil
}

func (s *server) path(p ...string) string { return filepath.Join(append([]string{s.dir}, p...)...) }

// stop ends the service cleanly; stopping twice is no error.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := cmd.Wait()
	_ = s.log.Close()
	if err != nil {
		said, _ := os.ReadFile(s.log.Name())
		return errors.Join(fmt.Errorf("serve ended badly: %w\n%s", err, said), s.tsa.stop())
	}
	return s.tsa.stop()
}

// message waits for the next text of a kind on the "phone".
func (s *server) message(ctx context.Context, kind string, p printer) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		files, err := filepath.Glob(s.path("outbox", "*.json"))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return "", err
			}
			var m struct{ Kind, Text string }
			if json.Unmarshal(b, &m) == nil && m.Kind == kind && !s.seen[f] {
				s.seen[f] = true
				p.item("phone", "✉ "+m.Text)
				return m.Text, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no message of kind %s came to the phone", kind)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// code waits for a message and reads the code in it.
func (s *server) code(ctx context.Context, kind string, p printer) (string, error) {
	text, err := s.message(ctx, kind, p)
	if err != nil {
		return "", err
	}
	code := regexp.MustCompile(`\b\d{6,9}\b`).FindString(text)
	if code == "" {
		return "", errors.New("the message holds no code")
	}
	return code, nil
}

// get fetches a public file over HTTP.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.public+path, nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, a.Status)
	}
	return io.ReadAll(a.Body)
}

// takeLog copies the published log and its key.
func (s *server) takeLog(out string) error {
	if err := os.CopyFS(filepath.Join(out, "log"), os.DirFS(s.path("data", "log"))); err != nil {
		return err
	}
	key, err := os.ReadFile(s.path("pki", "log.vkey"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "log.vkey"), key, 0o644)
}
