package engine

import (
	"context"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/server"
)

// Parts of the service's health. What can only be read still serves auditors.
const (
	partHSM   = "hsm"   // the device answers
	partStore = "store" // something can be written
	partRead  = "read"  // the database can be read
	partLog   = "log"   // the operation log is published
	partCRL   = "crl"   // the revocation list is as new as promised
)

func (e *Engine) checks() []server.Check {
	return []server.Check{
		{Name: partHSM, Test: e.device.Healthy},
		{Name: partStore, Test: e.db.Healthy},
		{Name: partLog, Test: e.log.Healthy},
		{Name: partRead, Test: func(ctx context.Context) error {
			_, err := e.db.LastHead(ctx)
			return err
		}},
		{Name: partCRL, Test: e.tenure.CRLFresh},
	}
}

// needs says what each service cannot do without. Every service of the interface has a line.
func needs() map[string][]string {
	all := []string{partHSM, partStore}
	return map[string][]string{
		pb.EnrolmentService_ServiceDesc.ServiceName:    all,
		pb.CredentialService_ServiceDesc.ServiceName:   all,
		pb.DocumentService_ServiceDesc.ServiceName:     {partStore},
		pb.SigningService_ServiceDesc.ServiceName:      all,
		pb.AugmentationService_ServiceDesc.ServiceName: {partStore},
		pb.CaService_ServiceDesc.ServiceName:           {partCRL},
		pb.AuditService_ServiceDesc.ServiceName:        {partRead},
		pb.AdminService_ServiceDesc.ServiceName:        all,
	}
}
