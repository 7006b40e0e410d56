package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/otp/sms"
)

// ledger keeps reports in memory.
type ledger struct {
	known map[string]sms.Delivery // by message and by reference
	got   []sms.Report
	err   error
}

func (l *ledger) Report(_ context.Context, r sms.Report) (sms.Delivery, error) {
	d, ok := l.known[r.Message+r.Reference]
	if l.err != nil {
		return d, l.err
	}
	if !ok {
		return d, sms.ErrUnknownMessage
	}
	l.got = append(l.got, r)
	d.Status, d.At = r.Status, r.At
	return d, nil
}

func mac(body string) string {
	h := hmac.New(sha256.New, []byte("0123456789abcdef"))
	h.Write([]byte(body))
	return hex.EncodeToString(h.Sum(nil))
}

func TestReports(t *testing.T) {
	signed := Reports{
		Name: "one", Secret: []byte("0123456789abcdef"), Header: "X-Signature", HMAC: true, Reference: "results.0.id",
		Status: "results.0.status", Delivered: []string{"DELIVERED"}, Failed: []string{"EXPIRED", "REJECTED"},
	}
	token := Reports{
		Name: "two", Secret: []byte("fedcba9876543210"), Header: "Authorization", Message: "ref", Status: "status",
		Delivered: []string{"1"}, Failed: []string{"2"},
	}
	const good = `{"results":[{"id":"prov-1","status":"DELIVERED"}]}`
	const bearer = "Bearer fedcba9876543210"
	for name, c := range map[string]struct {
		method, path, header, proof, body string
		want                              int
		report                            sms.Report
	}{
		"signed":                 {"POST", "/sms/one", "X-Signature", mac(good), good, 200, sms.Report{Provider: "one", Reference: "prov-1", Status: sms.Delivered}},
		"signed with its prefix": {"POST", "/sms/one", "X-Signature", "sha256=" + mac(good), good, 200, sms.Report{Provider: "one", Reference: "prov-1", Status: sms.Delivered}},
		"changed":                {"POST", "/sms/one", "X-Signature", mac(good), strings.Replace(good, "1", "2", 1), 401, sms.Report{}},
		"without proof":          {"POST", "/sms/one", "X-Other", mac(good), good, 401, sms.Report{}},
		"the secret for a MAC":   {"POST", "/sms/one", "X-Signature", "0123456789abcdef", good, 401, sms.Report{}},
		"in the address, no MAC": {"GET", "/sms/one?results.0.id=prov-1", "X-Signature", mac(""), "", 405, sms.Report{}},
		"on its way still":       {"POST", "/sms/one", "X-Signature", mac(`{"results":[{"id":"prov-1","status":"SENT"}]}`), `{"results":[{"id":"prov-1","status":"SENT"}]}`, 200, sms.Report{}},
		"no JSON":                {"POST", "/sms/one", "X-Signature", mac("{"), "{", 400, sms.Report{}},
		"form with a token":      {"POST", "/sms/two", "Authorization", bearer, "ref=msg-1&status=2", 200, sms.Report{Provider: "two", Message: "msg-1", Status: sms.Failed}},
		"in the address":         {"GET", "/sms/two?ref=msg-1&status=1", "Authorization", bearer, "", 200, sms.Report{Provider: "two", Message: "msg-1", Status: sms.Delivered}},
		"number as status":       {"POST", "/sms/two", "Authorization", "fedcba9876543210", `{"ref":"msg-1","status":1}`, 200, sms.Report{Provider: "two", Message: "msg-1", Status: sms.Delivered}},
		"another token":          {"POST", "/sms/two", "Authorization", "Bearer x", "ref=msg-1&status=2", 401, sms.Report{}},
		"of nobody":              {"POST", "/sms/two", "Authorization", bearer, "status=2", 400, sms.Report{}},
		"of an unknown text":     {"POST", "/sms/two", "Authorization", bearer, "ref=msg-2&status=2", 404, sms.Report{}},
		"huge":                   {"POST", "/sms/two", "Authorization", bearer, "ref=msg-1&status=2&x=" + strings.Repeat("x", maxReport), 413, sms.Report{}},
		"of an unknown provider": {"POST", "/sms/three", "Authorization", bearer, good, 404, sms.Report{}},
		"by another method":      {"PUT", "/sms/two", "Authorization", bearer, good, 405, sms.Report{}},
	} {
		t.Run(name, func(t *testing.T) {
			at := time.Unix(1_800_000_000, 0)
			l := &ledger{known: map[string]sms.Delivery{"msg-1": {Kind: sms.KindSign}, "prov-1": {Kind: sms.KindSign}}}
			var told []string
			var log bytes.Buffer
			h, err := Handler(l, func() time.Time { return at }, func(k sms.Kind, s sms.Status) { told = append(told, fmt.Sprint(k, s)) },
				slog.New(slog.NewJSONHandler(&log, nil)), signed, token)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set(c.header, c.proof)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
			if c.report == (sms.Report{}) {
				if len(l.got) != 0 || len(told) != 0 {
					t.Errorf("kept %+v, told %v", l.got, told)
				}
				return
			}
			c.report.At = at
			if len(l.got) != 1 || l.got[0] != c.report || len(told) != 1 {
				t.Errorf("kept %+v, told %v; want %+v", l.got, told, c.report)
			}
		})
	}
}

// A report that cannot be kept is not answered with success: the provider sends it again.
func TestReportsAreDurable(t *testing.T) {
	l := &ledger{known: map[string]sms.Delivery{"msg-1": {}}, err: errors.New("disk")}
	h, err := Handler(l, time.Now, nil, slog.New(slog.DiscardHandler), Reports{
		Name: "two", Secret: []byte("fedcba9876543210"), Header: "X-Token", Message: "ref", Status: "status", Delivered: []string{"1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/sms/two", strings.NewReader("ref=msg-1&status=1"))
	r.Header.Set("X-Token", "fedcba9876543210")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a report that was lost is answered with %d", w.Code)
	}
}

func TestWrongReports(t *testing.T) {
	good := Reports{Name: "n", Secret: make([]byte, 16), Header: "h", Message: "m", Status: "s", Delivered: []string{"d"}}
	for name, change := range map[string]func(*Reports){
		"name": func(r *Reports) { r.Name = "a/b" }, "secret": func(r *Reports) { r.Secret = r.Secret[:15] },
		"header": func(r *Reports) { r.Header = "" }, "text": func(r *Reports) { r.Message = "" },
		"status": func(r *Reports) { r.Status = "" }, "values": func(r *Reports) { r.Delivered = nil },
	} {
		r := good
		change(&r)
		if _, err := Handler(&ledger{}, time.Now, nil, slog.New(slog.DiscardHandler), r); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
