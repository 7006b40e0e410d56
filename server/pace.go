package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// gatedStream checks every message that comes in, and that both directions move: a client that sends a byte a second, or
// does not read, would otherwise hold its place for as long as its own deadline lasts.
type gatedStream struct {
	grpc.ServerStream
	gates *gates
	ctx   context.Context //nolint:containedctx // how grpc hands a stream its context
	first any             // message, for the log and for the paths of fields
	pace  *pace
}

// pace is how fast a client has to send.
type pace struct {
	limits   Limits
	began    time.Time
	received int // bytes of messages
}

func newPace(l Limits) *pace { return &pace{limits: l, began: time.Now()} }

// due is when the next message has to be there, at the latest: what came so far, at the least rate, took until then.
func (p *pace) due() time.Time {
	allowed := time.Duration(float64(p.received) / float64(p.limits.UploadRate) * float64(time.Second))
	return p.began.Add(p.limits.Idle + allowed)
}

// Context carries the client and the cut deadline.
func (s *gatedStream) Context() context.Context { return s.ctx }

// RecvMsg receives a message and holds it against the rules of the proto. One that does not come in time ends the
// call: the receiving goroutine ends with it.
func (s *gatedStream) RecvMsg(m any) error {
	if err := s.within(time.Until(s.pace.due()), func() error { return s.ServerStream.RecvMsg(m) }); err != nil {
		return err
	}
	if p, ok := m.(proto.Message); ok {
		s.pace.received += proto.Size(p)
	}
	if s.first == nil {
		s.first = m
	}
	return s.gates.valid(m)
}

// SendMsg sends a message. A client that does not take it in time is given up.
func (s *gatedStream) SendMsg(m any) error {
	return s.within(s.pace.limits.Idle, func() error { return s.ServerStream.SendMsg(m) })
}

// within runs one call of the stream. When it takes too long, or the call's time is over, its result is not waited for;
// gRPC ends it once the handler has returned.
func (s *gatedStream) within(d time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return refuse(ReasonSlow)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
