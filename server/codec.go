package server

import (
	"bytes"
	"errors"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// errMalformed: the bytes of a message are not one of its type.
var errMalformed = errors.New("server: malformed message")

// codec is gRPC's own for protobuf. gRPC would answer bytes that are no message, such as text that is not UTF-8, by
// itself: with INTERNAL, without a reason, before role and rate were looked at. So they become an empty message with a
// mark, which the gates refuse like any other bad request.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Unmarshal fails for nothing that a client sends.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	m, ok := v.(proto.Message)
	if err == nil || !ok {
		return err //nolint:wrapcheck // gRPC wraps it
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(malformedMark())
	return nil
}

// malformedMark is the highest field number, which no message here has. A client that sends it marks its own message.
func malformedMark() []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.VarintType), 1)
}

func malformed(m proto.Message) bool {
	return bytes.Equal(m.ProtoReflect().GetUnknown(), malformedMark())
}
