package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// rateLimit is above what any machine reaches: the limit of calls a second is not what is measured.
const rateLimit = "100000"

// server is the service that is measured, a process of its own.
type server struct {
	program string
	dir     string
	address string
	cmd     *exec.Cmd
	log     *os.File
	rss     float64 // most memory used, in MB, once stopped
}

// initialise makes an installation in dir.
func initialise(ctx context.Context, program, dir string) (*server, error) {
	listen, public, err := freeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{program: program, dir: dir, address: listen}
	c := exec.CommandContext(ctx, program, "init", "--dir", dir, "--listen", listen, "--pki-listen", public, "--digits", "6", "--rate", rateLimit, "--budget", "0")
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init failed: %w\n%s", err, out)
	}
	return s, os.MkdirAll(s.path("outbox"), 0o700)
}

// freeAddresses finds two loopback ports that nobody uses.
func freeAddresses(ctx context.Context) (a, b string, err error) {
	var found [2]string
	for i := range found {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer func() { _ = l.Close() }()
		found[i] = l.Addr().String()
	}
	return found[0], found[1], nil
}

func (s *server) path(p ...string) string { return filepath.Join(append([]string{s.dir}, p...)...) }

// start serves and returns when the service answers. The end of ctx stops it as SIGTERM does. Where a file is named, the
// service writes a profile of its CPU time there when it stops.
func (s *server) start(ctx context.Context, profile string) (err error) {
	if s.log, err = os.Create(s.dir + ".log"); err != nil {
		return err
	}
	args := []string{"serve", "--config", s.path("ecsigner.yaml")}
	if profile != "" {
		args = append(args, "--cpu-profile", profile)
	}
	s.cmd = exec.CommandContext(ctx, s.program, args...)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 30 * time.Second
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.cmd = nil
		return errors.Join(err, s.log.Close())
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "serving") {
		return errors.Join(fmt.Errorf("serve did not start: %s%s", line, s.said()), s.stop())
	}
	return nil
}

// cpu is the CPU time that the service has used so far.
func (s *server) cpu() (time.Duration, error) { return processCPU(s.cmd.Process.Pid) }

// said returns the end of what the service logged.
func (s *server) said() string {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-4096):])
}

// stop ends the service cleanly; stopping twice is no error.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM) // when it has ended already, Wait says how
	err := cmd.Wait()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.rss = max(s.rss, round(float64(u.Maxrss)/1024, 1))
	}
	if err != nil {
		err = fmt.Errorf("serve ended badly: %w\n%s", err, s.said())
	}
	return errors.Join(err, s.log.Close())
}
