package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/otp/sms"
	"golang.org/x/time/rate"
)

// Reports says how a provider reports what became of a text: as JSON, as a form, or in the address.
type Reports struct {
	Name      string   // of the provider, as in Config
	Secret    []byte   // at least 16 bytes
	Header    string   // that carries the proof
	HMAC      bool     // it is HMAC-SHA-256 of the body in hexadecimal, else the secret itself, "Bearer " before it or not
	Message   string   // field with our id; empty: Reference is used
	Reference string   // field with the provider's own name of the text
	Status    string   // field with the status
	Delivered []string // its values that mean delivered
	Failed    []string // its values that mean: never will be. All others are ignored
}

func (r Reports) check() error {
	switch {
	case r.Name == "" || strings.ContainsAny(r.Name, "/ "):
		return fmt.Errorf("%w: reports need the name of their provider", ErrConfig)
	case len(r.Secret) < 16 || r.Header == "":
		return fmt.Errorf("%w: reports of %s need a header and a secret of at least 16 bytes", ErrConfig, r.Name)
	case r.Message == "" && r.Reference == "" || r.Status == "" || len(r.Delivered) == 0:
		return fmt.Errorf("%w: reports of %s need the fields of the text and of the status, and the values of the latter", ErrConfig, r.Name)
	}
	return nil
}

const (
	maxReport  = 64 << 10
	reportTime = 8 * time.Second
)

// Handler answers /sms/NAME for each provider that reports: with success once a report is durable, or means nothing. told
// hears of each text that was delivered or is undeliverable. ErrConfig.
func Handler(ledger sms.Ledger, now func() time.Time, told func(sms.Kind, sms.Status), logger *slog.Logger, all ...Reports) (http.Handler, error) {
	mux := http.NewServeMux()
	refusals := rate.NewLimiter(1, 10) // lines that strangers can cause
	for _, r := range all {
		if err := r.check(); err != nil {
			return nil, err
		}
		mux.HandleFunc("/sms/"+r.Name, func(w http.ResponseWriter, q *http.Request) {
			ctx, cancel := context.WithTimeout(q.Context(), reportTime)
			defer cancel()
			w.Header().Set("Cache-Control", "no-store")
			status, err := r.take(ctx, ledger, now, told, w, q)
			w.WriteHeader(status)
			if err != nil && refusals.Allow() {
				logger.WarnContext(ctx, "delivery report refused", "provider", r.Name, "error", err)
			}
		})
	}
	return mux, nil
}

var (
	errProof  = errors.New("gateway: report without a valid proof")
	errReport = errors.New("gateway: report cannot be read")
)

// take reads one report. What it says of a text that is not ours is an error of the sender, who may try again: a report
// can come before we know the provider's name of the text.
func (r Reports) take(
	ctx context.Context, ledger sms.Ledger, now func() time.Time, told func(sms.Kind, sms.Status), w http.ResponseWriter, q *http.Request,
) (int, error) {
	if q.Method != http.MethodPost && (q.Method != http.MethodGet || r.HMAC) { // an address is under no HMAC
		return http.StatusMethodNotAllowed, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxReport))
	if err != nil {
		return http.StatusRequestEntityTooLarge, errReport
	}
	if !r.authentic(q.Header.Get(r.Header), body) {
		return http.StatusUnauthorized, errProof
	}
	field, err := fields(q, body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	report := sms.Report{Provider: r.Name, At: now()}
	switch status := field(r.Status); {
	case slices.Contains(r.Delivered, status):
		report.Status = sms.Delivered
	case slices.Contains(r.Failed, status):
		report.Status = sms.Failed
	default:
		return http.StatusOK, nil
	}
	if r.Message != "" {
		report.Message = field(r.Message)
	} else {
		report.Reference = field(r.Reference)
	}
	if report.Message == "" && report.Reference == "" {
		return http.StatusBadRequest, errReport
	}
	d, err := ledger.Report(ctx, report)
	switch {
	case errors.Is(err, sms.ErrUnknownMessage):
		return http.StatusNotFound, err
	case err != nil:
		w.Header().Set("Retry-After", "5")
		return http.StatusServiceUnavailable, err
	}
	if told != nil && d.Status == report.Status && d.At.Equal(report.At) { // this report changed it
		told(d.Kind, d.Status)
	}
	return http.StatusOK, nil
}

func (r Reports) authentic(proof string, body []byte) bool {
	if !r.HMAC {
		proof = strings.TrimPrefix(proof, "Bearer ")
		a, b := sha256.Sum256([]byte(proof)), sha256.Sum256(r.Secret)
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1
	}
	given, err := hex.DecodeString(strings.TrimPrefix(proof, "sha256="))
	h := hmac.New(sha256.New, r.Secret)
	h.Write(body)
	return err == nil && hmac.Equal(given, h.Sum(nil))
}

// fields returns what finds a field of a report.
func fields(q *http.Request, body []byte) (func(string) string, error) {
	if q.Method == http.MethodGet {
		return q.URL.Query().Get, nil
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		if !json.Valid(trimmed) {
			return nil, errReport
		}
		return func(path string) string { value, _ := lookup(trimmed, path); return value }, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errReport
	}
	return form.Get, nil
}
