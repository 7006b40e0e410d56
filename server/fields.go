package server

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fieldPath gives a field of a use case the path that it has in the request, such as parameters.years for years. A name
// that the request does not have stays as it is.
func fieldPath(name string, req proto.Message) string {
	if req == nil {
		return name
	}
	fields := req.ProtoReflect().Descriptor().Fields()
	if path, ok := resolve(name, fields); ok {
		return path
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() {
			continue
		}
		if path, ok := resolve(name, f.Message().Fields()); ok {
			return string(f.Name()) + "." + path
		}
	}
	return name
}

// resolve follows a path such as items[0].hash through messages.
func resolve(name string, fields protoreflect.FieldDescriptors) (string, bool) {
	part, rest, more := strings.Cut(name, ".")
	base, index, indexed := strings.Cut(part, "[")
	f := fields.ByName(protoreflect.Name(base))
	if f == nil {
		f = fields.ByName(protoName(base))
	}
	if f == nil {
		return "", false
	}
	path := string(f.Name())
	if indexed {
		path += "[" + index
	}
	if !more {
		return path, true
	}
	if f.Message() == nil {
		return "", false
	}
	tail, ok := resolve(rest, f.Message().Fields())
	return path + "." + tail, ok
}

// protoName is what the proto calls a field whose name in the use cases is shorter.
func protoName(name string) protoreflect.Name {
	switch name {
	case "voucher":
		return "voucher_code"
	case "expires":
		return "expire_time"
	case "credential", "document":
		return protoreflect.Name(name + "_id")
	case "hash":
		return "sha256"
	}
	return ""
}
