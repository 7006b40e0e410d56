package revtest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ServeHTTP answers for all authorities, or as Handle said.
func (p *PKI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	cas := slices.Clone(p.cas)
	handler := p.handlers[r.URL.Path]
	for prefix, h := range p.handlers {
		if handler == nil && strings.HasSuffix(prefix, "/ocsp") && strings.HasPrefix(r.URL.Path, prefix+"/") {
			handler = h // a request by GET has more behind it
		}
	}
	p.mu.Unlock()
	if handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	for _, ca := range cas {
		if rest, ok := strings.CutPrefix(r.URL.Path, ca.path+"/"); ok {
			ca.serve(w, r, rest)
			return
		}
	}
	http.NotFound(w, r)
}

// Handle replaces what stands at the path of a URL. A nil handler puts back what was there.
func (p *PKI) Handle(address string, h http.Handler) {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // a test's own mistake
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h == nil {
		delete(p.handlers, u.Path)
		return
	}
	p.handlers[u.Path] = h
}

// Requests returns method and path of what was asked since the last call.
func (p *PKI) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

func (ca *CA) serve(w http.ResponseWriter, r *http.Request, rest string) {
	switch {
	case rest == "ca.cer":
		send(w, "application/pkix-cert", ca.Raw)
	case rest == "ca.crl":
		der, err := ca.CRL()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, "application/pkix-crl", der)
	case rest == "ocsp" || strings.HasPrefix(rest, "ocsp/"):
		ca.ServeOCSP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// ServeOCSP answers a request by POST, or by GET with the request behind the path (RFC 6960 appendix A.1).
func (ca *CA) ServeOCSP(w http.ResponseWriter, r *http.Request) {
	var request []byte
	var err error
	if r.Method == http.MethodPost {
		request, err = io.ReadAll(io.LimitReader(r.Body, 1<<16))
	} else {
		request, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(r.URL.Path, ca.path+"/ocsp/"))
	}
	var der []byte
	if err == nil {
		der, err = ca.OCSP(request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	send(w, "application/ocsp-response", der)
}

func send(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // who went away needs no answer
}

// Bytes answers with a fixed body.
func Bytes(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w, "application/octet-stream", body) })
}

// Fail answers with an HTTP status.
func Fail(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "refused", code) })
}

// Redirect sends the client elsewhere.
func Redirect(to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}

// Huge answers with so many bytes. Whether it says so before is told by declared.
func Huge(size int64, declared bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<16)
		if declared {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		for sent := int64(0); sent < size; sent += int64(len(chunk)) {
			if _, err := w.Write(chunk[:min(int64(len(chunk)), size-sent)]); err != nil {
				return
			}
		}
	})
}

// Slow sends the head of an answer, and nothing more until the client goes away.
func Slow() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // who went away needs no answer
		<-r.Context().Done()
	})
}

// Zipped answers with so many zeros, compressed although nobody asked for that.
func Zipped(size int) http.Handler {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, err := z.Write(make([]byte, size))
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		send(w, "application/octet-stream", body.Bytes())
	})
}
