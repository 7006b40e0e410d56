package engine

import (
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/server"
)

// TestLimitsOfConfiguration: what is left out is the default, what is set reaches the edge.
func TestLimitsOfConfiguration(t *testing.T) {
	want := server.DefaultLimits()
	want.Rate, want.Burst = 7, 7
	if got := edgeLimits(config.Limits{RatePerClient: 7}); got != want {
		t.Errorf("defaults: %+v, want %+v", got, want)
	}
	set := edgeLimits(config.Limits{
		RatePerClient: 1, CallsPerClient: 2, StreamsPerClient: 3, UploadsPerClient: 4, CallTime: 5, StreamTime: 6, MessageBytes: 7,
		UploadRate: 8, IdleTime: 9, KeepAliveTime: 10, Connections: 11, ConnectionsPerHost: 12,
	})
	if set != (server.Limits{
		Rate: 1, Burst: 1, Calls: 2, Streams: 3, Uploads: 4, Unary: 5, Stream: 6, Watch: want.Watch, Message: 7, UploadRate: 8, Idle: 9,
		KeepAlive: 10, Connections: 11, ConnectionsPerHost: 12,
	}) {
		t.Errorf("set: %+v", set)
	}
	// The template shows the defaults.
	text, err := config.Template(config.Values{Installation: "test", Listen: "a", PKIListen: "b", Module: "c", Token: "d", Digits: 6, Rate: 500})
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := edgeLimits(c.Limits); got != server.DefaultLimits() || c.Limits.BytesPerClient != bytesPerClient {
		t.Errorf("the template says %+v", got)
	}
}

// TestBytesKept refuses a client whose documents take up its space; another client is not concerned.
func TestBytesKept(t *testing.T) {
	w := newWorld(t, func(c *config.Config) { c.Limits.BytesPerClient = 100 })
	upload := func(name string) error {
		_, err := w.role(name, pb.Role_ROLE_DOCUMENTS).Upload(t.Context(), "a.txt", strings.NewReader(strings.Repeat("x", 60)), func(int64) {})
		return err
	}
	for range 2 {
		if err := upload("greedy"); err != nil {
			t.Fatal(err)
		}
	}
	if err := upload("greedy"); reasonOf(err) != "TOO_MANY_BYTES_KEPT" {
		t.Errorf("120 bytes of 100 are kept: %v", err)
	}
	if err := upload("other"); err != nil {
		t.Errorf("another client pays for it: %v", err)
	}
}
