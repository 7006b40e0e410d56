package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// rawCodec sends bytes as they are: what no client library would send.
type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

func raw() grpc.CallOption {
	return grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")})
}

// variant is a request with one thing changed.
type variant struct {
	name    string
	request proto.Message
}

// oddStrings are at the limits of a field and beyond what any takes.
func oddStrings(low, high int) map[string]string {
	out := map[string]string{
		"empty": "", "blank": " ", "NUL": "a\x00b", "two lines": "a\nb", "right to left": "a\u202eb", "not normal": "e\u0301",
		"outside the first plane": "𝔘𝔫𝔦", "path": "../../etc/passwd", "SQL": "' OR 1=1 --", "replacement": "\ufffd", "huge": strings.Repeat("x", 400<<10),
		"long": strings.Repeat("9", 300), "no character": "\uffff",
	}
	for _, n := range []int{low - 1, low, high, high + 1} {
		if n > 0 && n < 1<<16 {
			out[fmt.Sprintf("%d characters", n)] = strings.Repeat("a", n)
			out[fmt.Sprintf("%d wide characters", n)] = strings.Repeat("ї", n)
		}
	}
	return out
}

// values are all that is tried in a field that is not a message.
func values(f protoreflect.FieldDescriptor) map[string]protoreflect.Value {
	out := map[string]protoreflect.Value{}
	r := rulesOf(f)
	if f.IsList() {
		r = r.GetRepeated().GetItems()
	}
	switch f.Kind() {
	case protoreflect.StringKind:
		for name, s := range oddStrings(int(r.GetString().GetMinLen()), int(r.GetString().GetMaxLen())) { //nolint:gosec // limits of the proto
			out[name] = protoreflect.ValueOfString(s)
		}
	case protoreflect.BytesKind:
		b := r.GetBytes()
		for _, n := range []uint64{0, 1, b.GetLen(), b.GetLen() + 1, b.GetMinLen(), b.GetMaxLen(), b.GetMaxLen() + 1, 600 << 10} {
			if n < 700<<10 {
				out[fmt.Sprintf("%d bytes", n)] = protoreflect.ValueOfBytes(make([]byte, n))
			}
		}
	case protoreflect.EnumKind:
		for _, n := range []protoreflect.EnumNumber{-1, 0, 1, 99, math.MaxInt32, math.MinInt32} {
			out[fmt.Sprint(n)] = protoreflect.ValueOfEnum(n)
		}
		for i := range f.Enum().Values().Len() {
			out[string(f.Enum().Values().Get(i).Name())] = protoreflect.ValueOfEnum(f.Enum().Values().Get(i).Number())
		}
	case protoreflect.BoolKind:
		out["true"], out["false"] = protoreflect.ValueOfBool(true), protoreflect.ValueOfBool(false)
	case protoreflect.Uint32Kind:
		u := r.GetUint32()
		for _, n := range []uint32{0, 1, u.GetGte() - 1, u.GetGte(), u.GetLte(), u.GetLte() + 1, math.MaxInt32, math.MaxUint32} {
			out[fmt.Sprint(n)] = protoreflect.ValueOfUint32(n)
		}
	case protoreflect.Uint64Kind:
		for _, n := range []uint64{0, 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
			out[fmt.Sprint(n)] = protoreflect.ValueOfUint64(n)
		}
	case protoreflect.Int32Kind:
		for _, n := range []int32{0, -1, math.MaxInt32, math.MinInt32} {
			out[fmt.Sprint(n)] = protoreflect.ValueOfInt32(n)
		}
	case protoreflect.Int64Kind:
		for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
			out[fmt.Sprint(n)] = protoreflect.ValueOfInt64(n)
		}
	case protoreflect.DoubleKind:
		d := r.GetDouble()
		for _, n := range append([]float64{d.GetGte(), d.GetGte() - 1, d.GetLte(), d.GetLte() + 1, 0.5, 1}, oddNumbers...) {
			out[fmt.Sprint(n)] = protoreflect.ValueOfFloat64(n)
		}
	}
	return out
}

// variants changes every field of a request, also inside it, one at a time.
func variants(request proto.Message) []variant {
	var all []variant
	var walk func(d protoreflect.MessageDescriptor, at func(proto.Message) protoreflect.Message, path string)
	walk = func(d protoreflect.MessageDescriptor, at func(proto.Message) protoreflect.Message, path string) {
		add := func(name string, change func(protoreflect.Message)) {
			c := proto.Clone(request)
			change(at(c))
			all = append(all, variant{path + name, c})
		}
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			name := string(f.Name())
			add(name+" absent", func(m protoreflect.Message) { m.Clear(f) })
			if f.IsList() {
				for _, n := range []int{1, 2, int(rulesOf(f).GetRepeated().GetMaxItems()) + 1} { //nolint:gosec // a limit of the proto
					add(fmt.Sprintf("%s %d empty items", name, n), func(m protoreflect.Message) {
						l := m.Mutable(f).List()
						l.Truncate(0)
						for range n {
							l.Append(l.NewElement())
						}
					})
				}
			}
			switch {
			case f.Message() != nil:
				add(name+" empty", func(m protoreflect.Message) {
					if f.IsList() {
						m.Mutable(f).List().AppendMutable()
					} else {
						m.Set(f, m.NewField(f))
					}
				})
				walk(f.Message(), func(m proto.Message) protoreflect.Message {
					if f.IsList() {
						l := at(m).Mutable(f).List()
						if l.Len() == 0 {
							l.AppendMutable()
						}
						return l.Get(0).Message()
					}
					return at(m).Mutable(f).Message()
				}, path+name+".")
			default:
				for what, v := range values(f) {
					add(name+" "+what, func(m protoreflect.Message) {
						if f.IsList() {
							m.Mutable(f).List().Append(v)
						} else {
							m.Set(f, v)
						}
					})
				}
			}
		}
		for i := range d.Oneofs().Len() {
			o := d.Oneofs().Get(i)
			add(string(o.Name())+" without a choice", func(m protoreflect.Message) {
				if f := m.WhichOneof(o); f != nil {
					m.Clear(f)
				}
			})
		}
	}
	walk(request.ProtoReflect().Descriptor(), func(m proto.Message) protoreflect.Message { return m.ProtoReflect() }, "")
	return all
}

// everyone returns a client for each role, of which those who can own the records of the world.
func everyone(w *world) map[pb.Role]*client.Conn {
	return map[pb.Role]*client.Conn{
		pb.Role_ROLE_PORTAL: w.Portal(), pb.Role_ROLE_DOCUMENTS: w.Documents(), pb.Role_ROLE_IDENTITY: w.Identity(),
		pb.Role_ROLE_OPERATOR: w.Operator(), pb.Role_ROLE_AUDITOR: w.role("auditor", pb.Role_ROLE_AUDITOR),
		pb.Role_ROLE_OFFICER: w.role("officer", pb.Role_ROLE_OFFICER),
	}
}

// TestEveryFieldAtItsLimits changes every field of every request to what lies at its limits and beyond, about records
// that exist, and sends it to the whole service. Nothing fails inside, and what the rules of the interface forbid is
// refused for that reason.
func TestEveryFieldAtItsLimits(t *testing.T) {
	w, mine, _ := owned(t)
	conns := everyone(w)
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, m := range methods(t) {
		base := example(m, mine, 1)
		for _, v := range variants(base) {
			tried++
			err := call(t, conns[m.roles[0]], m, v.request)
			broken := validator.Validate(v.request) != nil
			if broken && err == nil { // a stream that was not refused yet, on a busy machine
				m.patient = true
				err = call(t, conns[m.roles[0]], m, v.request)
				m.patient = false
			}
			switch reason := reasonOf(err); {
			case inside(err) || reason == "?":
				t.Errorf("%s, %s: %v", m.full, v.name, err)
			case broken && reason != "INVALID_REQUEST":
				t.Errorf("%s, %s breaks the rules, but: %q %v", m.full, v.name, reason, err)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d requests were tried", tried)
	}
}

// TestBytesThatAreNoMessage sends every method what no client library would: fields that it does not know, which are
// ignored, and bytes that are no message of its type, which are refused like any other bad request.
func TestBytesThatAreNoMessage(t *testing.T) {
	w, mine, _ := owned(t)
	conns := everyone(w)
	for _, m := range methods(t) {
		conn, good := conns[m.roles[0]], example(m, mine, 1)
		b, err := proto.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		future := protowire.AppendString(protowire.AppendTag(append([]byte{}, b...), 5000, protowire.BytesType), "of a later version")
		if err := call(t, conn, m, future, raw()); inside(err) || reasonOf(err) == "INVALID_REQUEST" && reasonOf(call(t, conn, m, good)) != "INVALID_REQUEST" {
			t.Errorf("%s with an unknown field: %v", m.full, err)
		}
		bad := map[string][]byte{
			"cut off": append(append([]byte{}, b...), 0x0a), "endless number": []byte(strings.Repeat("\xff", 20)), "wild": {0x0f, 0xff, 0x01},
		}
		if f := m.descriptor.Input().Fields(); f.Len() > 0 && f.Get(0).Kind() == protoreflect.StringKind {
			bad["not UTF-8"] = protowire.AppendString(protowire.AppendTag(nil, f.Get(0).Number(), protowire.BytesType), "a\xff\xfe")
		}
		for name, b := range bad {
			if err := call(t, conn, m, b, raw()); reasonOf(err) != "INVALID_REQUEST" {
				t.Errorf("%s, %s: %v", m.full, name, err)
			}
		}
		// The role is looked at first: nobody learns from a refusal how a method reads its messages.
		for _, r := range allRoles() {
			if err := call(t, conns[r], m, bad["cut off"], raw()); !slices.Contains(m.roles, r) && reasonOf(err) != "ROLE_NOT_ALLOWED" {
				t.Errorf("%s, malformed, as %s: %v", m.full, r, err)
			}
		}
	}
}

// TestRandomRequests draws requests of every method, good and bad, about records that exist, in the roles that may call.
func TestRandomRequests(t *testing.T) {
	w, mine, _ := owned(t)
	conns := everyone(w)
	all := methods(t)
	rapid.Check(t, func(r *rapid.T) {
		m := rapid.SampledFrom(all).Draw(r, "method")
		request := newMessage(m.descriptor.Input())
		drawer{ids: mine, wild: rapid.Bool().Draw(r, "wild")}.message(r, request.ProtoReflect(), 0)
		role := rapid.SampledFrom(m.roles).Draw(r, "role")
		if err := call(t, conns[role], m, request); inside(err) || reasonOf(err) == "?" {
			r.Fatalf("%s: %v\n%v", m.full, err, request)
		}
	})
}
