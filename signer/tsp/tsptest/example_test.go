package tsptest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// An authority on loopback, and a client of it.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	tsa, err := tsptest.New(tsptest.Options{URL: "http://" + listener.Addr().String()})
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: tsa.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	client, err := tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: "test", URL: tsa.URL(), Roots: tsa.Roots()}},
		HTTP:        &http.Client{Transport: &http.Transport{}}, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256([]byte("content"))
	limit, err := client.MaxSize(context.Background(), crypto.SHA256) // before anything is signed
	if err != nil {
		panic(err)
	}
	raw, err := client.StampWithin(context.Background(), crypto.SHA256, digest[:], limit)
	if err != nil {
		panic(err)
	}
	token, err := tsp.Parse(raw)
	if err != nil {
		panic(err)
	}
	fmt.Println(token.Signer.Subject.CommonName, token.Policy, token.Accuracy, token.Covers(crypto.SHA256, digest[:]))
	// Output: Test TSA TSU 2.999.3161.1 1s <nil>
}
