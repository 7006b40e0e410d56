package tsptest

import (
	"encoding/asn1"
	"io"
	"math/big"
	"mime"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxRequest bounds a request in bytes; real ones have less than a hundred.
const maxRequest = 64 << 10

// Bits of PKIFailureInfo.
const (
	badAlgorithm  = 0
	badRequest    = 2
	badDataFormat = 5
	badPolicy     = 15
	systemFailure = 25
)

// Handler answers requests for time-stamps, whatever the path (RFC 3161 section 3.4), and serves ca.crl, root.crl, ca.cer and
// root.cer.
func (t *TSA) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", t.serveStamp)
	serve := func(name, contentType string, get func() ([]byte, error)) {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			der, err := get()
			if err != nil {
				http.Error(w, "no list", http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(der)
		})
	}
	serve("ca.crl", "application/pkix-crl", t.CRL)
	serve("root.crl", "application/pkix-crl", t.RootCRL)
	serve("ca.cer", "application/pkix-cert", func() ([]byte, error) { return t.ca.Certificate.Raw, nil })
	serve("root.cer", "application/pkix-cert", func() ([]byte, error) { return t.root.Certificate.Raw, nil })
	return mux
}

func (t *TSA) serveStamp(w http.ResponseWriter, r *http.Request) {
	t.requests.Add(1)
	f := t.faults.Load()
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/timestamp-query" {
		http.Error(w, "no time-stamp query", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "no request", http.StatusBadRequest)
		return
	}
	switch {
	case f.Stall:
		<-r.Context().Done()
		return
	case f.Redirect != "":
		status := f.Status
		if status == 0 {
			status = http.StatusTemporaryRedirect
		}
		http.Redirect(w, r, f.Redirect, status)
		return
	case f.Status != 0:
		http.Error(w, "told to answer so", f.Status)
		return
	}
	t.write(w, r, f, t.answer(body, f))
}

// write sends an answer as the faults of HTTP say.
func (t *TSA) write(w http.ResponseWriter, r *http.Request, f *Faults, answer []byte) {
	if f.Body != nil {
		answer = f.Body
	}
	answer = answer[:max(0, len(answer)-f.Truncate)]
	contentType := "application/timestamp-reply"
	if f.ContentType != "" {
		contentType = f.ContentType
	}
	w.Header().Set("Content-Type", contentType)
	if f.Slow == 0 && !f.Endless {
		_, _ = w.Write(answer)
		return
	}
	flush := http.NewResponseController(w)
	for first := true; first || len(answer) > 0 || f.Endless; first = false {
		if f.Slow > 0 {
			select {
			case <-time.After(f.Slow):
			case <-r.Context().Done():
				return
			}
		}
		if len(answer) == 0 {
			answer = make([]byte, 16<<10)
		}
		n := min(len(answer), 16)
		if f.Slow == 0 {
			n = len(answer)
		}
		if _, err := w.Write(answer[:n]); err != nil || flush.Flush() != nil {
			return
		}
		answer = answer[n:]
	}
}

// answer makes a TimeStampResp (RFC 3161 section 2.4.2).
func (t *TSA) answer(body []byte, f *Faults) []byte {
	if f.Reject != nil {
		return reject(*f.Reject)
	}
	r, bit := parseRequest(body)
	if bit < 0 && r.policy != nil && !r.policy.Equal(t.options.Policy) {
		bit = badPolicy
	}
	if bit >= 0 {
		return reject(Rejection{Status: 2, FailBit: bit})
	}
	token, err := t.token(r, f)
	if err != nil {
		return reject(Rejection{Status: 2, FailBit: systemFailure})
	}
	status := byte(0)
	if f.GrantedWithMods {
		status = 1
	}
	return wrap(0x30, f.BER, wrap(0x30, false, []byte{2, 1, status}), token)
}

func reject(r Rejection) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(int64(r.Status))
				if r.Text != "" {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(strings.ToValidUTF8(r.Text, "?"))) })
					})
				}
				if r.FailBit >= 0 {
					b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
						b.AddUint8(uint8(7 - r.FailBit%8)) //nolint:gosec // 0 to 7
						b.AddBytes(append(make([]byte, r.FailBit/8), 0x80>>(r.FailBit%8)))
					})
				}
			})
		})
	})
}

// parseRequest reads a TimeStampReq; bit is that of PKIFailureInfo, or -1.
func parseRequest(der []byte) (r request, bit int) {
	in := cryptobyte.String(der)
	var req, imprint, algorithm cryptobyte.String
	var version int
	if !in.ReadASN1(&req, cbasn1.SEQUENCE) || !in.Empty() || !req.ReadASN1Integer(&version) || version != 1 ||
		!req.ReadASN1(&imprint, cbasn1.SEQUENCE) || !imprint.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!imprint.ReadASN1Bytes(&r.imprint, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return r, badDataFormat
	}
	r.algorithm = algorithm
	if req.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && !req.ReadASN1ObjectIdentifier(&r.policy) {
		return r, badDataFormat
	}
	if req.PeekASN1Tag(cbasn1.INTEGER) {
		if r.nonce = new(big.Int); !req.ReadASN1Integer(r.nonce) {
			return r, badDataFormat
		}
	}
	if req.PeekASN1Tag(cbasn1.BOOLEAN) && !req.ReadASN1Boolean(&r.certReq) || !req.Empty() {
		return r, badRequest
	}
	return r, imprintFault(algorithm, len(r.imprint))
}

// imprintFault is the bit for a hash that is not SHA-256, SHA-384 or SHA-512, or does not fit the imprint, else -1.
func imprintFault(algorithm cryptobyte.String, size int) int {
	var seq cryptobyte.String
	var name asn1.ObjectIdentifier
	if !algorithm.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&name) {
		return badDataFormat
	}
	for _, h := range []struct {
		oid  asn1.ObjectIdentifier
		size int
	}{{oidSHA256, 32}, {oidSHA384, 48}, {oidSHA512, 64}} {
		if h.oid.Equal(name) {
			if size == h.size {
				return -1
			}
			return badDataFormat
		}
	}
	return badAlgorithm
}
