package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// Requests for the tests of the edge are drawn from the descriptors and the rules in them, so that a new method or field
// is tested without anybody thinking of it. Only what must be true of the world stands in the tables below.

// method is one method of the interface.
type method struct {
	full       string // /ecsigner.v1.X/Y
	descriptor protoreflect.MethodDescriptor
	roles      []pb.Role
	patient    bool // a stream is given the time of an ordinary call to end
}

// methods returns every method of every service in the package of the interface.
func methods(t testing.TB) []method {
	t.Helper()
	var all []method
	protoregistry.GlobalFiles.RangeFilesByPackage("ecsigner.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for k := range s.Methods().Len() {
				m := s.Methods().Get(k)
				roles, _ := proto.GetExtension(m.Options(), pb.E_Roles).([]pb.Role)
				all = append(all, method{fmt.Sprintf("/%s/%s", s.FullName(), m.Name()), m, roles, false})
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b method) int { return strings.Compare(a.full, b.full) })
	if len(all) < 35 {
		t.Fatalf("only %d methods were found", len(all))
	}
	return all
}

func allRoles() []pb.Role {
	var all []pb.Role
	for n := range pb.Role_name {
		if n != 0 {
			all = append(all, pb.Role(n))
		}
	}
	slices.Sort(all)
	return all
}

func newMessage(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// ids are the values of the fields that name a record, by the field's name.
type ids map[string]string

// recordFields are all such fields, with an id of that kind which nobody has.
var recordFields = ids{
	"enrolment_id": "enr-aaaaaaaaaaaaaaaaaaaaaaaaaa", "credential_id": "cred-aaaaaaaaaaaaaaaaaaaaaaaaaa",
	"operation_id": "op-aaaaaaaaaaaaaaaaaaaaaaaaaa", "document_id": "doc-aaaaaaaaaaaaaaaaaaaaaaaaaa",
	"content_document_id": "doc-aaaaaaaaaaaaaaaaaaaaaaaaaa", "augmentation_id": "aug-aaaaaaaaaaaaaaaaaaaaaaaaaa",
}

// sensible returns values that a random one could not stand for: the use cases check them further than the interface.
func sensible(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	if m := f.Message(); m != nil && !f.IsList() {
		var v proto.Message
		switch m.FullName() {
		case "ecsigner.v1.PersonalData":
			v = system.Person(7)
		case "ecsigner.v1.SignatureOptions": // which of them go together, signer's own tests try
			v = &pb.SignatureOptions{}
		case "google.protobuf.Timestamp":
			v = timestamppb.New(time.Now().Add(time.Hour))
			if strings.HasPrefix(string(f.Name()), "complete") {
				v = timestamppb.Now()
			}
		default:
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfMessage(v.ProtoReflect()), true
	}
	switch f.Name() {
	case "request_id":
		return protoreflect.ValueOfString(client.RequestID()), true
	case "voucher_code":
		return protoreflect.ValueOfString("0000-0000-0000-0000-0000"), true // its check symbol is right
	case "language":
		return protoreflect.ValueOfString("en"), true
	case "reserved_cms_bytes":
		return protoreflect.ValueOfUint32(0), true
	case "years":
		return protoreflect.ValueOfUint32(1), true
	case "role":
		return protoreflect.ValueOfEnum(pb.Role_ROLE_DOCUMENTS.Number()), true
	case "algorithm":
		return protoreflect.ValueOfEnum(1), true
	}
	return protoreflect.Value{}, false
}

// oddNumbers are those that comparisons and printing treat unlike others.
var oddNumbers = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.MaxFloat64}

// rulesOf returns what the proto demands of a field.
func rulesOf(f protoreflect.FieldDescriptor) *validate.FieldRules {
	r, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	if r == nil {
		r = &validate.FieldRules{}
	}
	return r
}

// drawer draws messages.
type drawer struct {
	ids  ids
	wild bool // values that the rules may forbid, too
}

// message draws one that the rules allow, unless the drawer is wild.
func (d drawer) message(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	oneofs := m.Descriptor().Oneofs()
	chosen := map[protoreflect.Name]bool{}
	for i := range oneofs.Len() {
		o := oneofs.Get(i)
		if d.wild && rapid.Bool().Draw(t, "no "+string(o.Name())) {
			continue
		}
		chosen[o.Fields().Get(rapid.IntRange(0, o.Fields().Len()-1).Draw(t, string(o.Name()))).Name()] = true
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil && !chosen[f.Name()] {
			continue
		}
		if d.wild && rapid.IntRange(0, 3).Draw(t, "leave out "+string(f.Name())) == 0 {
			continue
		}
		d.field(t, m, f, depth)
	}
}

func (d drawer) field(t *rapid.T, m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	if id, ok := d.ids[string(f.Name())]; ok && f.Kind() == protoreflect.StringKind && !f.IsList() {
		m.Set(f, protoreflect.ValueOfString(id))
		return
	}
	odd := d.wild && rapid.IntRange(0, 2).Draw(t, "odd "+string(f.Name())) == 0
	if v, ok := sensible(f); ok && !odd && !f.IsList() {
		m.Set(f, v)
		return
	}
	switch {
	case f.IsList():
		r := rulesOf(f).GetRepeated()
		n := max(1, int(r.GetMinItems()))
		if odd {
			n = rapid.IntRange(0, 3).Draw(t, "items")
		}
		list := m.Mutable(f).List()
		for range n {
			if f.Message() != nil {
				d.message(t, list.AppendMutable().Message(), depth+1)
			} else {
				list.Append(d.scalar(t, f, odd, r.GetItems()))
			}
		}
	case f.IsMap():
		t.Fatalf("%s is a map; nothing draws one yet", f.FullName())
	case f.Message() != nil:
		if depth < 4 {
			d.message(t, m.Mutable(f).Message(), depth+1)
		}
	default:
		m.Set(f, d.scalar(t, f, odd, rulesOf(f)))
	}
}

func (d drawer) scalar(t *rapid.T, f protoreflect.FieldDescriptor, odd bool, r *validate.FieldRules) protoreflect.Value {
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(drawString(t, name, odd, r.GetString()))
	case protoreflect.BytesKind:
		low, high := int(r.GetBytes().GetMinLen()), int(r.GetBytes().GetMaxLen())
		if r.GetBytes().HasLen() {
			low, high = int(r.GetBytes().GetLen()), int(r.GetBytes().GetLen())
		}
		if high == 0 || odd {
			high = low + 64
		}
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), low, min(high, low+256)).Draw(t, name))
	case protoreflect.EnumKind:
		if odd {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(t, name)))
		}
		low := 0
		if slices.Contains(r.GetEnum().GetNotIn(), 0) {
			low = 1
		}
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(rapid.IntRange(low, f.Enum().Values().Len()-1).Draw(t, name)).Number())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.Uint32Kind:
		low, high := r.GetUint32().GetGte(), r.GetUint32().GetLte()
		if odd || high == 0 {
			high = 1<<32 - 1
		}
		return protoreflect.ValueOfUint32(rapid.Uint32Range(low, high).Draw(t, name))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, name))
	case protoreflect.Int32Kind:
		low, high := r.GetInt32().GetGte(), r.GetInt32().GetLte()
		if odd || high == 0 {
			high = 1<<31 - 1
		}
		return protoreflect.ValueOfInt32(rapid.Int32Range(low, high).Draw(t, name))
	case protoreflect.Int64Kind:
		low, high := r.GetInt64().GetGte(), r.GetInt64().GetLte()
		if odd || high == 0 {
			high = 1<<63 - 1
		}
		return protoreflect.ValueOfInt64(rapid.Int64Range(low, high).Draw(t, name))
	case protoreflect.DoubleKind:
		if odd {
			return protoreflect.ValueOfFloat64(rapid.OneOf(rapid.Float64(), rapid.SampledFrom(oddNumbers)).Draw(t, name))
		}
		low, high := r.GetDouble().GetGte(), r.GetDouble().GetLte()
		if high == 0 {
			high = math.MaxFloat64
		}
		return protoreflect.ValueOfFloat64(rapid.Float64Range(low, high).Draw(t, name))
	}
	t.Fatalf("%s is a %s; nothing draws one yet", f.FullName(), f.Kind())
	return protoreflect.Value{}
}

func drawString(t *rapid.T, name string, odd bool, r *validate.StringRules) string {
	switch {
	case odd:
		return rapid.StringN(0, 300, -1).Draw(t, name)
	case r.GetUuid():
		return client.RequestID()
	case len(r.GetIn()) > 0:
		return rapid.SampledFrom(r.GetIn()).Draw(t, name)
	case r.HasPattern():
		s := rapid.StringMatching(r.GetPattern()).Draw(t, name)
		if r.HasMaxLen() {
			s = string([]rune(s)[:min(len([]rune(s)), int(r.GetMaxLen()))])
		}
		return s
	}
	high := int(r.GetMaxLen())
	if high == 0 {
		high = max(64, int(r.GetMinLen()))
	}
	return rapid.StringN(int(r.GetMinLen()), high, -1).Draw(t, name)
}

// fieldsSent returns every field that a request of some method can hold, at any depth.
func fieldsSent(t testing.TB) []protoreflect.FieldDescriptor {
	var all []protoreflect.FieldDescriptor
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			all = append(all, f)
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	for _, m := range methods(t) {
		walk(m.descriptor.Input())
	}
	return all
}

// TestEveryFieldIsTried: the tests of the edge have values for every field of the interface, so that a field of a new
// kind is not left out of them, nor found only in the runs that happen to draw it.
func TestEveryFieldIsTried(t *testing.T) {
	fields := fieldsSent(t)
	if len(fields) < 100 {
		t.Fatalf("only %d fields were found", len(fields))
	}
	rapid.Check(t, func(r *rapid.T) {
		for _, f := range fields {
			for _, wild := range []bool{false, true} {
				drawer{wild: wild}.field(r, newMessage(f.ContainingMessage()).ProtoReflect(), f, 0)
			}
		}
	})
	for _, f := range fields {
		if f.Message() == nil && len(values(f)) == 0 {
			t.Errorf("%s is a %s, which is never at its limits", f.FullName(), f.Kind())
		}
	}
}

// example returns the n-th request of a method that the rules allow, about the records with these ids.
func example(m method, about ids, n int) proto.Message {
	return rapid.Custom(func(t *rapid.T) proto.Message {
		rapid.Bool().Draw(t, "something") // rapid wants some choice, and an empty message has none
		r := newMessage(m.descriptor.Input())
		drawer{ids: about}.message(t, r.ProtoReflect(), 0)
		return r
	}).Example(n)
}
