package engine

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	up   = healthpb.HealthCheckResponse_SERVING
	down = healthpb.HealthCheckResponse_NOT_SERVING
)

func service(name string) string { return "ecsigner.v1." + name + "Service" }

// awaitHealth waits until the services that are named, and no others, do not serve.
func (w *world) awaitHealth(failing ...string) {
	w.t.Helper()
	health := healthpb.NewHealthClient(w.Operator())
	var wrong []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		r, err := health.List(ctx, &healthpb.HealthListRequest{})
		cancel()
		if err != nil {
			w.t.Fatal(err)
		}
		wrong = nil
		for name, s := range r.GetStatuses() {
			if !strings.HasPrefix(name, "ecsigner.") {
				continue
			}
			want := up
			for _, f := range failing {
				if name == service(f) {
					want = down
				}
			}
			if s.GetStatus() != want {
				wrong = append(wrong, name+" is "+s.GetStatus().String())
			}
		}
		if len(wrong) == 0 {
			return
		}
		select {
		case <-w.t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.t.Fatalf("with %v failing: %v", failing, wrong)
}

// TestHealthNamesEveryService: a service without a line in needs would be unknown to load balancers.
func TestHealthNamesEveryService(t *testing.T) {
	for _, m := range methods(t) {
		name := string(m.descriptor.Parent().FullName())
		if len(needs()[name]) == 0 {
			t.Errorf("needs has no line for %s", name)
		}
	}
}

// TestHealthWithoutHSM takes the device away: what needs keys stops serving, what only reads goes on, and who watches is
// told.
func TestHealthWithoutHSM(t *testing.T) {
	w := newWorld(t)
	auditor := w.role("auditor", pb.Role_ROLE_AUDITOR)
	w.Documents()
	w.awaitHealth()
	if _, err := auditor.CA.GetCrl(t.Context(), &pb.GetCrlRequest{}); err != nil { // connected: the key of TLS is in the HSM, too
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watches := map[string]healthpb.Health_WatchClient{}
	for _, name := range []string{service("Signing"), service("Audit"), "", "hsm", "nobody"} {
		s, err := healthpb.NewHealthClient(w.Documents()).Watch(ctx, &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		want := up
		if name == "nobody" {
			want = healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		}
		if r, err := s.Recv(); err != nil || r.GetStatus() != want {
			t.Fatalf("%q is %v, %v", name, r.GetStatus(), err)
		}
		watches[name] = s
	}
	w.broken = true
	if err := w.engine.device.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{service("Signing"), "", "hsm"} {
		if r, err := watches[name].Recv(); err != nil || r.GetStatus() != down {
			t.Errorf("watching %q: %v, %v", name, r.GetStatus(), err)
		}
	}
	w.awaitHealth("Signing", "Enrolment", "Credential", "Admin")
	if _, err := auditor.Audit.ListEntries(ctx, &pb.ListEntriesRequest{}); err != nil {
		t.Errorf("AuditService says that it serves: %v", err)
	}
	if _, err := auditor.CA.GetCrl(ctx, &pb.GetCrlRequest{}); err != nil {
		t.Errorf("CaService says that it serves: %v", err)
	}
}

// TestHealthWithoutWriting lets nobody write to the database: what only reads goes on, and all serve again afterwards.
func TestHealthWithoutWriting(t *testing.T) {
	w := newWorld(t)
	w.awaitHealth()
	db, err := sql.Open("sqlite3", "file:"+w.Path("data", "db", "ecsigner.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	blocking, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitHealth("Signing", "Enrolment", "Credential", "Admin", "Document", "Augmentation")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	crl, err := w.Operator().CA.GetCrl(ctx, &pb.GetCrlRequest{})
	if err != nil || len(crl.GetCrl()) == 0 {
		t.Errorf("CaService says that it serves: %v", err)
	}
	if err := blocking.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.awaitHealth()
}
