package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ecsigner/ecsigner/audit"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// rolePrefix starts the subject alternative name that carries a client's role.
const rolePrefix = "urn:ecsigner:role:"

// maxDisplay is the longest registered name in characters: that of an organisation in a certificate (RFC 5280 A.1,
// ub-organization-name).
const maxDisplay = 64

// Client is who calls, by its certificate.
type Client struct {
	Name    string  // common name; an identifier of the operation log
	Display string  // organisation: the registered name that signatories are shown
	Role    pb.Role // from the one urn:ecsigner:role: name
}

// RoleURI is the subject alternative name that gives a client certificate a role.
func RoleURI(r pb.Role) string {
	return rolePrefix + RoleName(r)
}

// RoleName is a role in lower case, such as portal.
func RoleName(r pb.Role) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
}

// ParseClient reads who a verified client certificate is for. Anything but exactly one name, one organisation and one
// role is refused: a certificate that could be read in two ways names nobody.
func ParseClient(cert *x509.Certificate) (Client, error) {
	var names int
	for _, a := range cert.Subject.Names {
		if a.Type.String() == "2.5.4.3" {
			names++
		}
	}
	name := cert.Subject.CommonName
	if names != 1 || len(name) > 64 || !audit.ValidID(name) {
		return Client{}, fmt.Errorf("client certificate %x: the common name is not one identifier of at most 64 characters", cert.SerialNumber)
	}
	if len(cert.Subject.Organization) != 1 || !validDisplay(cert.Subject.Organization[0]) {
		return Client{}, fmt.Errorf("client certificate of %s: the organisation is not one name of 1 to %d printable characters", name, maxDisplay)
	}
	if len(cert.URIs) != 1 {
		return Client{}, fmt.Errorf("client certificate of %s: %d URI names instead of one %sNAME", name, len(cert.URIs), rolePrefix)
	}
	for _, r := range roles() {
		if cert.URIs[0].String() == RoleURI(r) {
			return Client{Name: name, Display: cert.Subject.Organization[0], Role: r}, nil
		}
	}
	return Client{}, fmt.Errorf("client certificate of %s: %q is not a role", name, cert.URIs[0])
}

// validDisplay keeps out what hides or reorders text on a phone.
func validDisplay(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxDisplay &&
		strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// roles are all roles but none.
func roles() []pb.Role {
	var all []pb.Role
	for n := range pb.Role_name {
		if n != int32(pb.Role_ROLE_UNSPECIFIED) {
			all = append(all, pb.Role(n))
		}
	}
	slices.Sort(all)
	return all
}

// clientKey finds the Client in a call's context.
type clientKey struct{}

// client returns who calls. Every handler runs behind the gate that puts it there.
func client(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}

// identify reads the client from its connection.
func identify(ctx context.Context, now time.Time) (Client, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Client{}, refuse(ReasonNotAuthenticated)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Client{}, refuse(ReasonNotAuthenticated)
	}
	leaf := info.State.VerifiedChains[0][0]
	if now.After(leaf.NotAfter) { // ended while the connection was open
		return Client{}, refuse(ReasonNotAuthenticated)
	}
	c, err := ParseClient(leaf)
	if err != nil {
		return Client{}, &refusal{reason: ReasonClientUnknown, cause: err}
	}
	return c, nil
}

// Reflection, where it is served, tells everybody who has a certificate what this repository tells everybody.
const (
	reflectionV1    = "grpc.reflection.v1.ServerReflection"
	reflectionAlpha = "grpc.reflection.v1alpha.ServerReflection"
)

// declaredRoles reads from the proto who may call each method.
func declaredRoles(services map[string]grpc.ServiceInfo) (map[string][]pb.Role, error) {
	declared := map[string][]pb.Role{}
	for _, service := range serviceDescriptors() {
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			r, ok := proto.GetExtension(m.Options(), pb.E_Roles).([]pb.Role)
			if !ok || len(r) == 0 || slices.Contains(r, pb.Role_ROLE_UNSPECIFIED) {
				return nil, fmt.Errorf("server: %s declares no roles", m.FullName())
			}
			declared["/"+string(service.FullName())+"/"+string(m.Name())] = r
		}
	}
	for name, info := range services {
		for _, m := range info.Methods {
			method := "/" + name + "/" + m.Name
			if name == healthpb.Health_ServiceDesc.ServiceName || name == reflectionV1 || name == reflectionAlpha {
				declared[method] = roles()
			}
			if declared[method] == nil {
				return nil, fmt.Errorf("server: %s is served but declares no roles", method)
			}
		}
	}
	return declared, nil
}

// serviceDescriptors returns the services of the proto.
func serviceDescriptors() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, f := range []protoreflect.FileDescriptor{
		pb.File_ecsigner_v1_enrolment_proto, pb.File_ecsigner_v1_credential_proto, pb.File_ecsigner_v1_document_proto,
		pb.File_ecsigner_v1_signing_proto, pb.File_ecsigner_v1_augmentation_proto, pb.File_ecsigner_v1_ca_proto, pb.File_ecsigner_v1_audit_proto,
		pb.File_ecsigner_v1_admin_proto,
	} {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
	}
	return all
}

// requests returns the request messages of all methods.
func requests() []protoreflect.MessageDescriptor {
	var all []protoreflect.MessageDescriptor
	for _, service := range serviceDescriptors() {
		for i := range service.Methods().Len() {
			all = append(all, service.Methods().Get(i).Input())
		}
	}
	return all
}
