package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// WritePDF writes a file of exactly size bytes: one page, and a stream of bytes that do not compress.
func WritePDF(path string, size int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var head bytes.Buffer
	var offsets []int
	object := func(body string) {
		offsets = append(offsets, head.Len())
		fmt.Fprintf(&head, "%d 0 obj\n%s\n", len(offsets), body)
	}
	head.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	object("<< /Type /Catalog /Pages 2 0 R >>\nendobj")
	object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj")
	object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> >>\nendobj")
	const lengthAt = "0000000000" // the stream's length, with leading zeros
	object("<< /Length " + lengthAt + " >>\nstream")
	begin := int64(head.Len())
	tail := func(end int64) string {
		var b strings.Builder
		b.WriteString("\nendstream\nendobj\nxref\n0 5\n0000000000 65535 f \n")
		for _, o := range offsets {
			fmt.Fprintf(&b, "%010d 00000 n \n", o)
		}
		fmt.Fprintf(&b, "trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%010d\n%%%%EOF\n", end+int64(len("\nendstream\nendobj\n")))
		return b.String()
	}
	length := size - begin - int64(len(tail(0)))
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = w.WriteString(strings.Replace(head.String(), lengthAt, fmt.Sprintf("%010d", length), 1))
	if err == nil {
		_, err = io.CopyN(w, mrand.NewChaCha8([32]byte{}), length)
	}
	if err == nil {
		_, err = w.WriteString(tail(begin + length))
	}
	return errors.Join(err, w.Flush())
}

// allowDocument raises the limit of the installation to what is measured.
func allowDocument(path string, size int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	limit := regexp.MustCompile(`(?m)^( *document_bytes:).*$`)
	if !limit.Match(b) {
		return fmt.Errorf("bench: %s has no document_bytes", path)
	}
	return os.WriteFile(path, limit.ReplaceAll(b, fmt.Appendf(nil, "${1} %d", max(size, 100<<20))), 0o600)
}

// memory reads a value of /proc/PID/status, which the kernel gives in KiB, in MB.
func (s *server) memory(key string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			n, err := strconv.ParseFloat(f[1], 64)
			return round(n*1024/1e6, 1), err
		}
	}
	return 0, fmt.Errorf("bench: /proc/PID/status has no %s", key)
}

// resetPeak makes VmHWM count from now on (proc(5), clear_refs).
func (s *server) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0)
}

// usedBy runs a command and returns its CPU time.
func usedBy(c *exec.Cmd) (time.Duration, error) {
	if out, err := c.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", filepath.Base(c.Path), err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// transferCPU sends the file over TLS 1.3 to a process that drops it, and returns the CPU time of that process.
func transferCPU(ctx context.Context, program, path string) (used time.Duration, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c := exec.CommandContext(ctx, program, "bench", "drain")
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	defer func() {
		if waited := c.Wait(); waited != nil {
			err = errors.Join(err, fmt.Errorf("drain: %w", waited))
			return
		}
		used = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, errors.Join(err, c.Process.Kill())
	}
	// Its certificate was made a moment ago, by itself: what is measured is the cost of the transfer.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}} //nolint:gosec // see above
	conn, err := d.DialContext(ctx, "tcp", strings.TrimSpace(address))
	if err != nil {
		return 0, errors.Join(err, c.Process.Kill())
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{f}, make([]byte, 64<<10))
	return 0, errors.Join(err, conn.Close())
}

// Drain takes one TLS 1.3 connection on loopback, whose address it writes first, and drops what comes.
func Drain(ctx context.Context, w io.Writer) (err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "drain"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if _, err := fmt.Fprintln(w, l.Addr()); err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	t := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{t}, make([]byte, 64<<10))
	return errors.Join(err, t.Close())
}
