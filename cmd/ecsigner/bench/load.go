package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/sync/errgroup"
)

// load is one row: callers that each ask for one signature after the other. Every caller uses a person of its own as
// long as there are enough.
type load struct {
	server      *server
	documents   *client.Conn
	phone       *phone
	credentials []string
	row         int
	callers     int

	number atomic.Int64 // operations begun, in titles
	stop   atomic.Bool  // begin no more
}

// sample is one released signature.
type sample struct {
	end                            time.Time
	create, code, authorise, total time.Duration
}

// caller is what one caller did.
type caller struct {
	samples []sample
	last    *pb.SigningOperation
}

// usage is the CPU time of both sides at one moment.
type usage struct {
	at             time.Time
	server, client time.Duration
}

// run lets the callers warm up, measures a window of d, and lets them finish what they began. What completes in the
// window counts.
func (l *load) run(ctx context.Context, d time.Duration) (Service, error) {
	g, gctx := errgroup.WithContext(ctx)
	done := make([]caller, l.callers)
	for i := range done {
		g.Go(func() error { return l.call(gctx, l.credentials[i%len(l.credentials)], &done[i]) })
	}
	var begin, end usage
	g.Go(func() (err error) {
		defer l.stop.Store(true)
		if err := pause(gctx, min(2*time.Second, d/5)); err != nil {
			return err
		}
		if begin, err = l.usage(); err != nil {
			return err
		}
		if err := pause(gctx, d); err != nil {
			return err
		}
		end, err = l.usage()
		return err
	})
	if err := g.Wait(); err != nil {
		return Service{}, err
	}
	row := summary(done, begin, end)
	row.Callers = l.callers
	var err error
	row.Verified, err = l.verify(ctx, done)
	return row, err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *load) usage() (u usage, err error) {
	if u.server, err = l.server.cpu(); err != nil {
		return u, err
	}
	u.client, err = ownCPU()
	u.at = time.Now()
	return u, err
}

// call is the loop of one caller.
func (l *load) call(ctx context.Context, credential string, c *caller) error {
	for !l.stop.Load() {
		s, o, err := l.sign(ctx, credential)
		if err != nil {
			return err
		}
		c.samples, c.last = append(c.samples, s), o
	}
	return nil
}

// sign has one hash signed: create, code, authorise. The title is unique, so the person's text tells what it is for.
func (l *load) sign(ctx context.Context, credential string) (sample, *pb.SigningOperation, error) {
	title := fmt.Sprintf("bench-%d-%d", l.row, l.number.Add(1))
	hash := sha256.Sum256([]byte(title))
	key := signKey(title)
	text := l.phone.expect(key)
	start := time.Now()
	c, err := l.documents.Signing.CreateSigningOperation(ctx, &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en",
		Items: []*pb.SigningItemRequest{{
			Source: &pb.SigningItemRequest_Sha256{Sha256: hash[:]}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B,
		}},
	})
	if err != nil {
		l.phone.forget(key)
		return sample{}, nil, fmt.Errorf("creating an operation: %w", err)
	}
	created := time.Now()
	code, err := l.phone.wait(ctx, key, text)
	if err != nil {
		return sample{}, nil, err
	}
	arrived := time.Now()
	a, err := l.documents.Signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: c.GetOperation().GetId(), Code: code,
	})
	if err != nil {
		return sample{}, nil, fmt.Errorf("authorising an operation: %w", err)
	}
	end := time.Now()
	o := a.GetOperation()
	if o.GetState() != pb.SigningState_SIGNING_STATE_SIGNED || len(o.GetReceipt()) == 0 || len(o.GetItems()) != 1 || len(o.GetItems()[0].GetCms()) == 0 {
		return sample{}, nil, fmt.Errorf("operation %s came back in state %v without signature or receipt", o.GetId(), o.GetState())
	}
	return sample{
		end: end, create: created.Sub(start), code: arrived.Sub(created), authorise: end.Sub(arrived), total: end.Sub(start),
	}, o, nil
}

// summary counts what ended in the window.
func summary(done []caller, begin, end usage) Service {
	var create, code, authorise, total []time.Duration
	for _, c := range done {
		for _, s := range c.samples {
			if s.end.After(begin.at) && !s.end.After(end.at) {
				create, code = append(create, s.create), append(code, s.code)
				authorise, total = append(authorise, s.authorise), append(total, s.total)
			}
		}
	}
	window := end.at.Sub(begin.at)
	return Service{
		Signatures: len(total), Seconds: round(window.Seconds(), 3), PerSecond: rate(len(total), window),
		LatencyMS: Latency{
			Create: quantiles(create), Code: quantiles(code), Authorise: quantiles(authorise), Total: quantiles(total),
		},
		ServerCPUMicros: per(end.server-begin.server, len(total)), ClientCPUMicros: per(end.client-begin.client, len(total)),
	}
}

// errSignature: the service released a signature that its certificate does not verify.
var errSignature = errors.New("bench: a released signature is not valid")

// verify checks the last signature of every caller with the certificate of its credential. Checking each would have
// the callers compete with the service for the processor.
func (l *load) verify(ctx context.Context, done []caller) (int, error) {
	n := 0
	for _, c := range done {
		if c.last == nil {
			continue
		}
		k, err := l.documents.Credential.GetCredential(ctx, &pb.GetCredentialRequest{CredentialId: c.last.GetCredentialId()})
		if err != nil {
			return n, err
		}
		chain := k.GetCredential().GetCertificateChain()
		if len(chain) == 0 {
			return n, fmt.Errorf("%w: credential %s has no certificate", errSignature, c.last.GetCredentialId())
		}
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			return n, fmt.Errorf("%w: %w", errSignature, err)
		}
		item := c.last.GetItems()[0]
		key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
		if !ok || !ecdsa.VerifyASN1(key, item.GetDtbsr(), item.GetSignature()) {
			return n, fmt.Errorf("%w: operation %s", errSignature, c.last.GetId())
		}
		n++
	}
	return n, nil
}
