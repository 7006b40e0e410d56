package system_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestMetrics reads what a monitoring system reads: calls, refusals with their reasons, events of the log, health; and
// nothing of persons, clients or operations.
func TestMetrics(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	configure(t, i, "network.\n  listen: \"\"", "network.\n  listen: "+address)
	i.Start()
	credential := i.Credential(1)
	o, code := i.Operation(credential, "measured", raw, "document")
	if _, err := i.Authorize(o.GetId(), wrong(code)); err == nil {
		t.Fatal("a wrong code is accepted")
	}
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Fatal(err)
	}

	read := func() string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", r.Status, err)
		}
		return string(b)
	}
	const counted = `ecsigner_log_events_total{event="signing.signed"} 1`
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(read(), counted) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	text := read()
	for _, want := range []string{
		counted,
		`ecsigner_log_events_total{event="code.refused"} 1`,
		`ecsigner_calls_total{method="ecsigner.v1.SigningService/AuthorizeSigningOperation",reason=""} 1`,
		`ecsigner_calls_total{method="ecsigner.v1.SigningService/AuthorizeSigningOperation",reason="CODE_REJECTED"} 1`,
		`ecsigner_call_seconds_count{method="ecsigner.v1.SigningService/AuthorizeSigningOperation",reason=""} 1`,
		`ecsigner_call_seconds_count{method="ecsigner.v1.SigningService/AuthorizeSigningOperation",reason="CODE_REJECTED"} 1`,
		`ecsigner_calls_in_flight{kind="unary"} 0`, `ecsigner_calls_in_flight{kind="stream"} 0`, `ecsigner_hsm_sessions 4`,
		`ecsigner_hsm_sessions_busy `, `ecsigner_store_waiting `, `ecsigner_outbox_messages 0`, `ecsigner_outbox_oldest_seconds 0`,
		`ecsigner_crl_age_seconds `, `ecsigner_crl_left_seconds `,
		`ecsigner_healthy{part="read"} 1`, `ecsigner_healthy{part="crl"} 1`, `ecsigner_healthy{part="log"} 1`,
		`ecsigner_healthy{part="hsm"} 1`, `ecsigner_healthy{part="store"} 1`, `ecsigner_info{version=`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	person := system.Person(1)
	for _, secret := range []string{code, credential, o.GetId(), "documents", person.GetSurname(), person.GetIdentifier(), strings.TrimPrefix(person.GetPhone(), "+")} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics hold %q", secret)
		}
	}
	if code := i.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	// Without the key nothing is served.
	configure(t, i, "listen: "+address, `listen: ""`)
	i.Start()
	if _, err := i.Documents().Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()}); err != nil {
		t.Error(err)
	}
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = c.Close()
		t.Error("metrics are served though nobody asked for them")
	}
}
