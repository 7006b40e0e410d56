package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// idle waits until no call of a client is counted any more.
func (e *edge) idle(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		e.server.gates.mu.Lock()
		q := *e.server.gates.clients[name]
		e.server.gates.mu.Unlock()
		if q.calls == 0 && q.streams == 0 && q.uploads == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("places are still taken: %d calls, %d streams, %d uploads", q.calls, q.streams, q.uploads)
		}
	}
}

func metadataOf(name string) *pb.UploadDocumentRequest {
	return &pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Metadata{Metadata: &pb.DocumentMetadata{RequestId: requestID, Name: name}}}
}

// A client that sends a byte now and then, or nothing at all, loses its place, and nothing of it is kept.
func TestSlowUpload(t *testing.T) {
	e := serve(t, func(c *Config) { c.Limits.Idle, c.Limits.UploadRate = 200*time.Millisecond, 1<<20 })
	client := pb.NewDocumentServiceClient(e.as("slow", pb.Role_ROLE_DOCUMENTS))
	for name, send := range map[string]func(pb.DocumentService_UploadDocumentClient) error{
		"a byte now and then": func(s pb.DocumentService_UploadDocumentClient) error {
			if err := s.Send(metadataOf("slow")); err != nil {
				return err
			}
			for {
				if err := s.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Chunk{Chunk: []byte{1}}}); err != nil {
					return err
				}
				time.Sleep(10 * time.Millisecond) // the pace of the hostile client
			}
		},
		"nothing after the metadata": func(s pb.DocumentService_UploadDocumentClient) error { return s.Send(metadataOf("slow")) },
		"nothing at all":             func(pb.DocumentService_UploadDocumentClient) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := client.UploadDocument(within(t))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := send(s); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			err = s.RecvMsg(&pb.UploadDocumentResponse{})
			wantReason(t, err, codes.DeadlineExceeded, ReasonSlow)
			if r, ok := detail[*errdetails.RetryInfo](err); !ok || r.GetRetryDelay().AsDuration() <= 0 {
				t.Error("no delay is named")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it held its place for %s", took)
			}
			e.idle(t, "slow")
		})
	}
	if e.kept != 0 {
		t.Errorf("%d documents were kept", e.kept)
	}
	// One that keeps the pace may take far longer than the idle time.
	s, err := client.UploadDocument(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(metadataOf("steady")); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 500*time.Millisecond; {
		if err := s.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Chunk{Chunk: make([]byte, 60<<10)}}); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond) // 3 MiB a second
	}
	if _, err := s.CloseAndRecv(); reasonOf(t, err) == ReasonSlow {
		t.Errorf("a steady client was cut off: %v", err)
	}
}

// A unary call whose message never comes ends at the limit of calls, even without a deadline of its own.
func TestUnaryCallWithoutItsMessage(t *testing.T) {
	e := serve(t, func(c *Config) { c.Limits.Unary = 200 * time.Millisecond })
	s, err := e.as("mute", pb.Role_ROLE_DOCUMENTS).NewStream(within(t), &grpc.StreamDesc{ClientStreams: true}, pb.CaService_GetChain_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.RecvMsg(&pb.GetChainResponse{}); status.Code(err) != codes.DeadlineExceeded || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// One that never reads is given up, and its place is free again.
func TestClientThatNeverReads(t *testing.T) {
	var closed sync.WaitGroup
	closed.Add(1)
	e := serve(t, func(c *Config) { c.Limits.Idle = 200 * time.Millisecond })
	e.result = signer.Artifact{ReaderAt: bytes.NewReader(make([]byte, 32<<20)), Size: 32 << 20, Name: "big", Close: func() error { closed.Done(); return nil }}
	s, err := pb.NewDocumentServiceClient(e.as("deaf", pb.Role_ROLE_DOCUMENTS)).DownloadArtifact(within(t), &pb.DownloadArtifactRequest{
		OperationId: "op-1", Content: pb.ArtifactContent_ARTIFACT_CONTENT_FULL,
	})
	if err != nil {
		t.Fatal(err)
	}
	closed.Wait() // the handler has returned
	e.idle(t, "deaf")
	for err == nil {
		_, err = s.Recv()
	}
	wantReason(t, err, codes.DeadlineExceeded, ReasonSlow)
}

// A client that opens a thousand streams gets as many as it may have; the others are refused, and another client is
// answered meanwhile as ever.
func TestThousandStreams(t *testing.T) {
	e := serve(t, func(c *Config) { c.Limits.Streams, c.Limits.Uploads = 8, 5 })
	other := pb.NewCaServiceClient(e.as("other", pb.Role_ROLE_DOCUMENTS))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	refused := make(chan error, 1000)
	for range 10 {
		client := pb.NewDocumentServiceClient(e.as("greedy", pb.Role_ROLE_DOCUMENTS))
		for range 100 {
			s, err := client.UploadDocument(ctx)
			if err != nil {
				t.Fatal(err)
			}
			go func() { refused <- s.RecvMsg(&pb.UploadDocumentResponse{}) }()
		}
	}
	for range 995 {
		err := <-refused
		if reasonOf(t, err) != ReasonInFlight {
			t.Fatalf("refused with %v", err)
		}
		if r, ok := detail[*errdetails.RetryInfo](err); !ok || r.GetRetryDelay().AsDuration() <= 0 {
			t.Fatal("no delay is named")
		}
	}
	select {
	case err := <-refused:
		t.Errorf("a sixth was refused or ended: %v", err)
	default:
	}
	for range 50 {
		began := time.Now()
		if _, err := other.GetChain(within(t), &pb.GetChainRequest{}); err != nil || time.Since(began) > 2*time.Second {
			t.Fatalf("another client waited %s: %v", time.Since(began), err)
		}
	}
	cancel()
	for range 5 {
		if err := <-refused; status.Code(err) != codes.Canceled {
			t.Errorf("one that was let in ended with %v", err)
		}
	}
	e.idle(t, "greedy")
}

// Connections above the number are closed before the handshake; one that ends makes room.
func TestConnectionsAreCounted(t *testing.T) {
	e := serve(t, func(c *Config) { c.Limits.ConnectionsPerHost = 3 })
	var held []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		held = append(held, c)
	}
	ended := func(c net.Conn) error {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		return err
	}
	fourth, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fourth.Close() }()
	if err := ended(fourth); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the fourth connection stays: %v", err)
	}
	_ = held[0].Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := pb.NewCaServiceClient(e.as("next", pb.Role_ROLE_DOCUMENTS)).GetChain(ctx, &pb.GetChainRequest{})
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place was not given back: %v", err)
		}
	}
}

// A client that pings all the time is told to calm down and cut off (RFC 9113 section 7, ENHANCE_YOUR_CALM).
func TestTooManyPings(t *testing.T) {
	e := serve(t)
	cert := e.ca.client("nervous", pb.Role_ROLE_DOCUMENTS)
	c, err := tls.Dial("tcp", e.addr, &tls.Config{
		RootCAs: e.ca.pool(), ServerName: "localhost", Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	frame := func(kind byte, payload []byte) []byte {
		return append([]byte{0, 0, byte(len(payload)), kind, 0, 0, 0, 0, 0}, payload...)
	}
	out := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, nil)...) // SETTINGS
	for range 20 {
		out = append(out, frame(6, make([]byte, 8))...) // PING
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatalf("no GOAWAY came: %v", err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, payload); err != nil {
			t.Fatal(err)
		}
		if head[3] == 7 { // GOAWAY
			if code := binary.BigEndian.Uint32(payload[4:]); code != 11 || !strings.Contains(string(payload[8:]), "ping") {
				t.Errorf("code %d, %q", code, payload[8:])
			}
			return
		}
	}
}
