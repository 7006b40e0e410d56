package system_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// phoneNetwork is a provider of text messages that writes what it takes where the "phone" of the tests is.
type phoneNetwork struct {
	*httptest.Server
	dir string
	mu  sync.Mutex
	ids []string
}

const gatewayToken = "Bearer 5c1e-secret-token"

func newPhoneNetwork(t *testing.T, dir string) *phoneNetwork {
	n := &phoneNetwork{dir: dir}
	n.Server = httptest.NewTLSServer(http.HandlerFunc(n.serve))
	t.Cleanup(n.Close)
	return n
}

func (n *phoneNetwork) serve(w http.ResponseWriter, r *http.Request) {
	var m struct{ ID, Kind, To, Text string }
	err := json.NewDecoder(r.Body).Decode(&m)
	if r.Header.Get("Authorization") != gatewayToken || err != nil || m.To == "" || r.Header.Get("Idempotency-Key") != m.ID {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids = append(n.ids, m.ID)
	b, _ := json.Marshal(map[string]string{"kind": m.Kind, "to": m.To, "text": m.Text})
	temporary := n.dir + "/.part-" + m.ID
	if os.MkdirAll(n.dir, 0o700) != nil || os.WriteFile(temporary, b, 0o600) != nil || os.Rename(temporary, n.dir+"/"+m.ID+".json") != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, `{"status":"queued","name":"n-%s"}`, m.ID)
}

// TestGateway: texts go over HTTPS to the second provider while the first is down; what the network reports, with proof, is
// shown to the caller and counted, also after a restart; neither log nor metrics hold a number or a text.
func TestGateway(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	down := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(down.Close)
	network := newPhoneNetwork(t, i.Path("outbox"))
	callbacks, watched := freeAddress(t), freeAddress(t)
	for name, content := range map[string]string{
		"ca.pem":              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: network.Certificate().Raw})),
		"secrets/gateway":     gatewayToken + "\n",
		"secrets/reports":     "0123456789abcdef\n",
		"secrets/unprotected": "x",
	} {
		if err := os.WriteFile(i.Path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gateway := `
    - {name: down, url: "` + down.URL + `/", ca_file: ca.pem, format: form, body: "to={to}&text={text}", tries: 1}
    - name: network
      url: "` + network.URL + `/messages"
      ca_file: ca.pem
      secret_headers: {Authorization: secrets/gateway}
      format: json
      body: '{"id":"{id}","kind":"{kind}","to":"{to}","text":"{text}"}'
      success_field: status
      success_values: [queued]
      reference_field: name
      reports: {secret_file: secrets/reports, header: X-Signature, hmac: true, reference_field: name, status_field: state, delivered: [done], failed: [lost]}`
	configure(t, i, "  provider: file", "  provider: http")
	configure(t, i, "  gateways: []", "  gateways:"+gateway)
	configure(t, i, "  listen: \"\"\n  certificate_file", "  listen: "+callbacks+"\n  certificate_file")
	configure(t, i, "network.\n  listen: \"\"", "network.\n  listen: "+watched)
	i.Start()
	o, _ := i.Operation(i.Credential(1), "sent for real", raw, "document")
	sent := func() *pb.SentCode {
		t.Helper()
		a, err := i.Documents().Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		return a.GetOperation().GetSentCode()
	}
	for deadline := time.Now().Add(20 * time.Second); sent().GetDelivery() == pb.Delivery_DELIVERY_WAITING && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if s := sent(); s.GetDelivery() != pb.Delivery_DELIVERY_ACCEPTED || s.GetDeliveryTime() == nil || s.GetSentCount() != 1 || s.GetDigits() != 6 {
		t.Errorf("after the provider took it: %v", s)
	}

	network.mu.Lock()
	last := "n-" + network.ids[len(network.ids)-1]
	network.mu.Unlock()
	report := func(body, key string) int {
		t.Helper()
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(body))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+callbacks+"/sms/network", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Signature", hex.EncodeToString(h.Sum(nil)))
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		return a.StatusCode
	}
	body := `{"name":"` + last + `","state":"done"}`
	for _, c := range []struct {
		body, key string
		want      int
		status    pb.Delivery
	}{
		{body, "another key 5678", 401, pb.Delivery_DELIVERY_ACCEPTED},
		{`{"name":"n-unknown","state":"done"}`, "0123456789abcdef", 404, pb.Delivery_DELIVERY_ACCEPTED},
		{body, "0123456789abcdef", 200, pb.Delivery_DELIVERY_DELIVERED},
		{strings.Replace(body, "done", "lost", 1), "0123456789abcdef", 200, pb.Delivery_DELIVERY_DELIVERED},
	} {
		if got := report(c.body, c.key); got != c.want || sent().GetDelivery() != c.status {
			t.Errorf("%s: status %d, delivery %v", c.body, got, sent().GetDelivery())
		}
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+watched+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	metrics := string(b)
	for _, want := range []string{
		`ecsigner_messages_total{kind="sign",status="accepted"} 1`, `ecsigner_messages_total{kind="sign",status="delivered"} 1`,
		`ecsigner_messages_total{kind="phone",status="accepted"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	i.Stop()
	for _, secret := range []string{"380500000001", "sent for real", "5c1e-secret", "0123456789abcdef", last} {
		if strings.Contains(i.Stderr.String(), secret) || strings.Contains(metrics, secret) {
			t.Errorf("log or metrics hold %q", secret)
		}
	}
	i.Start()
	if s := sent(); s.GetDelivery() != pb.Delivery_DELIVERY_DELIVERED {
		t.Errorf("after a restart: %v", s)
	}
	i.Stop()
	if err := os.Chmod(i.Path("secrets", "gateway"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := i.Try("serve", "--config", i.Path("ecsigner.yaml")); err == nil || !strings.Contains(out, "chmod 600") || strings.Count(out, "\n") != 1 {
		t.Errorf("with a secret that all can read: %v\n%s", err, out)
	}
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
