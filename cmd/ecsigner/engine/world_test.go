package engine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/server"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// world is a whole installation with real services, served in this process, and its clients.
type world struct {
	*system.Installation
	t      *testing.T
	engine *Engine
	log    *system.Output
	broken bool // what the server needs was taken away: it cannot end well
}

// newWorld makes and serves an installation until the test ends. Its server is stopped as by SIGTERM.
func newWorld(t *testing.T, edit ...func(*config.Config)) *world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "installation")
	text, err := config.Template(config.Values{
		Installation: "test", Listen: "127.0.0.1:0", PKIListen: "127.0.0.1:0", Module: "/usr/lib/softhsm/libsofthsm2.so",
		Token: "ecsigner", Digits: 6, Rate: 1e6,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Init(t.Context(), dir, text, time.Now(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, FileConfig))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(&cfg)
	}
	w := &world{t: t, log: &system.Output{}}
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.engine, err = Open(t.Context(), cfg, "test", logger); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.engine.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !w.broken {
			t.Errorf("the server ended with %v", err)
		}
		vkey, err := os.ReadFile(w.Path(FileLogKey))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := tiles.VerifyDir(context.Background(), w.engine.logDir(), strings.TrimSpace(string(vkey))); err != nil && !w.broken {
			t.Errorf("the log that is left: %v: %v", err, r.Findings)
		}
		if text := w.log.String(); strings.Contains(text, `"INTERNAL"`) || strings.Contains(text, "panicked") {
			t.Errorf("the server failed inside:\n%s", linesWith(text, `"INTERNAL"`, "panicked"))
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	address, _ := w.engine.Addresses()
	// The profile of the first operator was written before the port was known.
	if err := os.WriteFile(filepath.Join(dir, "clients", "operator", client.ServerFile), []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Installation = system.Attach(t, dir, address)
	return w
}

// role returns a client of any role; officers too, whom no operator can make.
func (w *world) role(name string, role pb.Role) *client.Conn {
	w.t.Helper()
	dir := w.Path("clients", name)
	if _, err := os.Stat(dir); err != nil {
		key, csr, err := client.NewKey(name)
		if err != nil {
			w.t.Fatal(err)
		}
		chain, err := issueClient(w.t.Context(), w.engine.tlsRoot, server.ClientRequest{
			Name: name, Display: "Client " + name, Role: server.RoleName(role), CSR: csr,
		}, time.Now())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := client.WriteProfile(dir, w.Address, key, chain, w.engine.tlsRoot.Certificate().Raw); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.Client(name, role)
}

// reasonOf returns the reason of a refusal, "" for an answer, "?" for an error without one.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return "?"
}

// linesWith returns the lines of text that hold one of the words.
func linesWith(text string, words ...string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, word := range words {
			if strings.Contains(line, word) {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
