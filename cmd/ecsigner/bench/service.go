package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// clients are the sides of the interface. Each is one connection, as one system has.
type clients struct {
	operator, portal, identity, documents *client.Conn
}

// Names of clients that others are told of: who proves identities, who is granted the credentials.
const (
	identityName  = "bench-identity"
	documentsName = "bench-documents"
)

// parallelEnrolments keeps the service busy without measuring how it queues.
const parallelEnrolments = 8

// served serves the installation, enrols the persons, does what is given, and stops.
func (r *run) served(ctx context.Context, do func() error) (err error) {
	if err := r.server.start(ctx, ""); err != nil {
		return err
	}
	defer func() { r.report.Server.MaxRSSMegabytes = r.server.rss }()
	defer func() { err = errors.Join(err, r.server.stop()) }()
	if r.phone, err = openPhone(r.server.path("outbox")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.phone.close()) }()
	if r.clients, err = r.server.connect(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.clients.close()) }()
	if err := r.enrol(ctx); err != nil {
		return err
	}
	return do()
}

// rates takes the rows of every workload, and profiles it if that is wanted.
func (r *run) rates(ctx context.Context) error {
	all := r.workloads()
	for _, w := range all {
		err := r.around(ctx, w, func() error {
			for _, callers := range w.callers {
				row, err := r.row(ctx, w, callers)
				if err != nil {
					return err
				}
				r.report.Service = append(r.report.Service, row)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !r.Profile {
		return nil
	}
	for _, w := range all {
		if err := r.profile(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// row measures one row of the service.
func (r *run) row(ctx context.Context, w workload, callers int) (Service, error) {
	r.say("%v: service, %d callers", w, callers)
	l := load{
		workload: w, server: r.server, documents: r.clients.documents, phone: r.phone, credentials: r.credentials[w.key],
		row: r.rows, number: callers,
	}
	r.rows++
	s, err := l.run(ctx, r.Duration)
	if err != nil {
		return Service{}, fmt.Errorf("%v, %d callers: %w", w, callers, err)
	}
	return s, nil
}

// connect adds a client of each role and connects it.
func (s *server) connect(ctx context.Context) (_ *clients, err error) {
	c := &clients{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.operator, err = client.Dial(s.path("clients", "operator")); err != nil {
		return nil, err
	}
	for _, add := range []struct {
		name string
		role pb.Role
		conn **client.Conn
	}{
		{"bench-portal", pb.Role_ROLE_PORTAL, &c.portal},
		{identityName, pb.Role_ROLE_IDENTITY, &c.identity},
		{documentsName, pb.Role_ROLE_DOCUMENTS, &c.documents},
	} {
		key, csr, err := client.NewKey(add.name)
		if err != nil {
			return nil, err
		}
		a, err := c.operator.Admin.CreateClient(ctx, &pb.CreateClientRequest{
			RequestId: client.RequestID(), Name: add.name, DisplayName: "Benchmark", Role: add.role, Csr: csr,
		})
		if err != nil {
			return nil, err
		}
		chain, dir := a.GetCertificateChain(), s.path("clients", add.name)
		if err := client.WriteProfile(dir, s.address, key, chain, chain[len(chain)-1]); err != nil {
			return nil, err
		}
		if *add.conn, err = client.Dial(dir); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *clients) close() error {
	var err error
	for _, conn := range []*client.Conn{c.operator, c.portal, c.identity, c.documents} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}

// enrol takes the persons from a voucher to a credential that the document system may use, kind of key by kind.
func (r *run) enrol(ctx context.Context) error {
	r.credentials = map[string][]string{}
	first := 0
	for _, key := range r.keys() {
		n := r.persons(key)
		r.say("enrolling %d persons with %s keys through the service", n, key)
		row, credentials, err := r.enrolAll(ctx, key, first, n)
		if err != nil {
			return err
		}
		r.report.Enrolment = append(r.report.Enrolment, row)
		r.credentials[key] = credentials
		first += n
	}
	return nil
}

// enrolAll enrols n persons, beginning with the first-th.
func (r *run) enrolAll(ctx context.Context, key string, first, n int) (Enrolment, []string, error) {
	cpu, err := r.server.cpu()
	if err != nil {
		return Enrolment{}, nil, err
	}
	start := time.Now()
	credentials := make([]string, n)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelEnrolments)
	for i := range n {
		g.Go(func() error {
			e := enrolment{clients: r.clients, phone: r.phone, person: person(first + i), key: wireKey(key)}
			if err := e.run(gctx); err != nil {
				return fmt.Errorf("enrolling person %d: %w", first+i, err)
			}
			credentials[i] = e.credential
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Enrolment{}, nil, err
	}
	took := time.Since(start)
	used, err := r.server.cpu()
	return Enrolment{
		Key: key, Persons: n, Parallel: min(n, parallelEnrolments), Seconds: round(took.Seconds(), 2), PerSecond: rate(n, took),
		CPUMillis: round(per(used-cpu, n)/1000, 2),
	}, credentials, err
}

// enrolment is the way of one person.
type enrolment struct {
	*clients
	phone  *phone
	person *pb.PersonalData
	key    pb.KeyAlgorithm

	id, credential string
}

func (e *enrolment) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"redeeming a voucher", e.redeem},
		{"data and phone", e.giveData},
		{"identity", e.prove},
		{"agreement", e.accept},
		{"grant", e.grant},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (e *enrolment) grant(ctx context.Context) error {
	_, err := e.operator.Credential.GrantAccess(ctx, &pb.GrantAccessRequest{
		RequestId: client.RequestID(), CredentialId: e.credential, Client: documentsName,
	})
	return err
}

func (e *enrolment) redeem(ctx context.Context) error {
	v, err := e.operator.Admin.CreateVouchers(ctx, &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: 1, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	if err != nil {
		return err
	}
	if len(v.GetCodes()) != 1 {
		return fmt.Errorf("asked for one voucher, got %d", len(v.GetCodes()))
	}
	c, err := e.portal.Enrolment.CreateEnrolment(ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: v.GetCodes()[0], Language: "uk",
	})
	if err != nil {
		return err
	}
	e.id = c.GetEnrolment().GetId()
	_, err = e.portal.Enrolment.SetParameters(ctx, &pb.SetParametersRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Parameters: &pb.CertificateParameters{
			Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: e.key,
		},
	})
	return err
}

func (e *enrolment) giveData(ctx context.Context) error {
	_, err := e.portal.Enrolment.SetPersonalData(ctx, &pb.SetPersonalDataRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, PersonalData: e.person,
	})
	if err != nil {
		return err
	}
	key := textKey("phone", e.person.GetPhone())
	text := e.phone.expect(key)
	if _, err := e.portal.Enrolment.SendPhoneCode(ctx, &pb.SendPhoneCodeRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id,
	}); err != nil {
		return err
	}
	code, err := e.phone.wait(ctx, key, text)
	if err != nil {
		return err
	}
	_, err = e.portal.Enrolment.ConfirmPhone(ctx, &pb.ConfirmPhoneRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Code: code,
	})
	return err
}

func (e *enrolment) prove(ctx context.Context) error {
	p, err := e.portal.Enrolment.StartIdentityProofing(ctx, &pb.StartIdentityProofingRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Provider: identityName,
	})
	if err != nil {
		return err
	}
	_, err = e.identity.Enrolment.ReportIdentityResult(ctx, &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Reference: p.GetEnrolment().GetProofingReference(),
		Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, ProvenData: e.person,
		IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Evidence: []byte("benchmark"), CompleteTime: timestamppb.Now(),
	})
	return err
}

func (e *enrolment) accept(ctx context.Context) error {
	h, _, err := e.portal.Agreement(ctx, e.id)
	if err != nil {
		return err
	}
	key := textKey("agreement", e.person.GetPhone())
	text := e.phone.expect(key)
	if _, err := e.portal.Enrolment.SendAgreementCode(ctx, &pb.SendAgreementCodeRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id,
	}); err != nil {
		return err
	}
	code, err := e.phone.wait(ctx, key, text)
	if err != nil {
		return err
	}
	a, err := e.portal.Enrolment.AcceptAgreement(ctx, &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, AgreementSha256: h.GetSha256(), Code: code,
		Consents: []string{"data", "obligations", "device", "records"},
	})
	if err != nil {
		return err
	}
	issued, err := e.portal.Issued(ctx, a.GetEnrolment())
	e.credential = issued.GetCredentialId()
	return err
}
