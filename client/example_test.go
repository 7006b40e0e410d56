package client_test

import (
	"context"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/client"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"google.golang.org/grpc"
)

// A contract is signed at B-LTA. It never leaves this machine: the engine sees digests alone.
func Example() {
	conn, err := grpc.NewClient("engine.example.com:7443" /* with the client's certificate */)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	f, err := os.OpenFile("contract.pdf", os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		panic(err)
	}

	c := client.New(conn, "cred-…")
	op, err := c.Begin(ctx, client.Request{Title: "Contract No. 17", Language: "en", Level: cades.LevelBLTA}, client.File{
		Reader: f, Size: size, Options: pades.Options{Reason: "I agree", Location: "Kyiv"},
	})
	if err != nil {
		panic(err)
	}
	if err := op.Authorize(ctx, ask("The code from your phone:")); err != nil {
		panic(err) // after CODE_REJECTED there may be tries left
	}
	tail, err := op.Tail(ctx, 0)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteAt(tail, size); err != nil {
		panic(err)
	}
}

func ask(string) string { return "" }
