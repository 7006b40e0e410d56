package server

import (
	"crypto/tls"
	"slices"
	"testing"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// ask asks one question of reflection.
func ask(t *testing.T, conn *grpc.ClientConn, r *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
	t.Helper()
	s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(within(t))
	if err != nil {
		return nil, err
	}
	_ = s.Send(r)
	_ = s.CloseSend()
	return s.Recv()
}

// A client that has nothing but its certificate lists the services, reads their descriptors and makes a call with them,
// as grpcurl does.
func TestReflection(t *testing.T) {
	e := serve(t, func(c *Config) { c.Reflection = true })
	conn := e.as("dms", pb.Role_ROLE_DOCUMENTS)
	a, err := ask(t, conn, &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range a.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, s := range serviceDescriptors() {
		if !slices.Contains(names, string(s.FullName())) {
			t.Errorf("%s is not listed in %v", s.FullName(), names)
		}
	}
	a, err = ask(t, conn, &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{
		FileContainingSymbol: "ecsigner.v1.CaService",
	}})
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	for _, b := range a.GetFileDescriptorResponse().GetFileDescriptorProto() {
		f := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(b, f); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, f)
	}
	files := new(protoregistry.Files)
	for _, f := range set.GetFile() {
		d, err := protodesc.FileOptions{AllowUnresolvable: true}.New(f, files)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.RegisterFile(d); err != nil {
			t.Fatal(err)
		}
	}
	d, err := files.FindDescriptorByName("ecsigner.v1.GetChainResponse")
	if err != nil {
		t.Fatal(err)
	}
	answer := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	if err := conn.Invoke(within(t), pb.CaService_GetChain_FullMethodName, &pb.GetChainRequest{}, answer); err != nil {
		t.Fatal(err)
	}
	if n := answer.Get(answer.Descriptor().Fields().ByName("certificates")).List().Len(); n != 2 {
		t.Errorf("%d certificates", n)
	}
}

// Off by default, and never without a certificate.
func TestReflectionIsOff(t *testing.T) {
	e := serve(t)
	list := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if _, err := ask(t, e.as("dms", pb.Role_ROLE_DOCUMENTS), list); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
	on := serve(t, func(c *Config) { c.Reflection = true })
	if _, err := ask(t, on.dial(func(*tls.Config) {}), list); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: %v", err)
	}
}
