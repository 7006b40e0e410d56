package server

import (
	"strconv"
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
	m := req.ProtoReflect()
	if path, ok := resolve(name, m); ok {
		return path
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() || f.IsMap() {
			continue
		}
		if path, ok := resolve(name, m.Get(f).Message()); ok {
			return string(f.Name()) + "." + path
		}
	}
	return name
}

// resolve follows a path such as items[0].hash through messages.
func resolve(name string, m protoreflect.Message) (string, bool) {
	part, rest, more := strings.Cut(name, ".")
	base, index, indexed := strings.Cut(part, "[")
	fields := m.Descriptor().Fields()
	f := fields.ByName(protoreflect.Name(base))
	if f == nil {
		f = fields.ByName(protoName(base, m))
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
	inner, ok := inside(m, f, index)
	if !ok {
		return "", false
	}
	tail, ok := resolve(rest, inner)
	return path + "." + tail, ok
}

// inside returns the message in a field, or the element of a list that an index such as "0]" names.
func inside(m protoreflect.Message, f protoreflect.FieldDescriptor, index string) (protoreflect.Message, bool) {
	if f.Message() == nil || f.IsMap() {
		return nil, false
	}
	if !f.IsList() {
		return m.Get(f).Message(), true
	}
	list := m.Get(f).List()
	if n, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil && n >= 0 && n < list.Len() {
		return list.Get(n).Message(), true
	}
	return list.NewElement().Message(), true
}

// protoName is what the proto calls a field whose name in the use cases is shorter.
func protoName(name string, m protoreflect.Message) protoreflect.Name {
	switch name {
	case "voucher":
		return "voucher_code"
	case "expires":
		return "expire_time"
	case "credential", "document":
		return protoreflect.Name(name + "_id")
	case "hash": // as it was given
		if f := m.Descriptor().Fields().ByName("digest"); f != nil && m.Has(f) {
			return "digest"
		}
		return "sha256"
	}
	return ""
}
