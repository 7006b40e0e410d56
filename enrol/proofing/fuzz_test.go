package proofing_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/proofing"
)

// judge holds a parser of callbacks to what every one promises: nothing unsigned is read, whatever is signed is a
// callback about one session or one of two errors, and the same bytes are the same event.
func judge(t *testing.T, p enrol.Provider, header, signature string, body []byte) {
	t.Helper()
	given := http.Header{header: {signature}, proofing.VeriffClientHeader: {apiKey}}
	if c, err := p.ParseCallback(given, body, now); signature != mac(newSecret, body) && (!errors.Is(err, enrol.ErrCallback) || c != (enrol.Callback{})) {
		t.Fatalf("unsigned: %+v, %v", c, err)
	}
	right := signed(header, newSecret, body)
	c, err := p.ParseCallback(right, body, now)
	switch {
	case err == nil && (c.Session == "" || c.Event == ""):
		t.Fatalf("%+v", c)
	case err != nil && (c != enrol.Callback{} || !errors.Is(err, enrol.ErrCallbackBody) && !errors.Is(err, enrol.ErrCallback)):
		t.Fatalf("%+v, %v", c, err)
	}
	again, err2 := p.ParseCallback(right, body, now)
	if again != c || (err == nil) != (err2 == nil) {
		t.Fatalf("%+v, %v; again %+v, %v", c, err, again, err2)
	}
}

func fuzzLink() proofing.Link {
	return proofing.Link{Secrets: [][]byte{[]byte(newSecret)}, Key: []byte(apiKey), Timeout: time.Second, MaxBytes: 1024}
}

func FuzzGenericCallback(f *testing.F) {
	p, err := proofing.NewGeneric(proofing.Generic{
		Link: fuzzLink(), StartURL: "https://idp.example/s", FetchURL: "https://idp.example/s/{session}", Tolerance: time.Minute,
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{
		`{"event":"e-1","session":"s-1","at":"2026-11-24T10:00:00Z"}`, `{"event":"e-1","session":"s-1","at":"2026-11-24T10:00:00Z"} `,
		`{"EVENT":"e","session":null,"at":"0000-01-01T00:00:00Z"}`, `{}`, `[]`, `{"event":"\ud800","session":"s","at":""}`, ``,
	} {
		f.Add("", []byte(body))
		f.Add(mac(oldSecret, []byte(body)), []byte(body))
	}
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		judge(t, p, proofing.SignatureHeader, signature, body)
	})
}

func FuzzVeriffCallback(f *testing.F) {
	p, err := proofing.NewVeriff(proofing.Veriff{Link: fuzzLink(), URL: "https://veriff.example", IdentifierType: "PNO", PhoneField: "x"})
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{
		approved, `{"id":"s-1","attemptId":"a","feature":"selfid","code":7001,"action":"started","vendorData":"r"}`,
		`{"status":"success","verification":null}`, `{"id":"s","verification":{"id":"t"}}`, `{"verification":{"id":"` + "\x00" + `"}}`, `1`, ``,
	} {
		f.Add("", []byte(body))
		f.Add(mac(oldSecret, []byte(body)), []byte(body))
	}
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		judge(t, p, proofing.VeriffSignatureHeader, signature, body)
	})
}
