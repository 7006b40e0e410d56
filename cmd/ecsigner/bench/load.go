package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/sync/errgroup"
)

// load is one row: callers that each have one operation after the other signed. Every caller uses a person of its own
// as long as there are enough.
type load struct {
	workload
	server      *server
	documents   *client.Conn
	phone       *phone
	credentials []string
	row         int
	number      int // of callers

	begun atomic.Int64 // operations, in titles
	ended atomic.Int64 // operations that were released
	stop  atomic.Bool  // begin no more

	completed int // operations, warming up and ending included; once run has returned
}

// sample is one released operation.
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
// window counts; it stays open until there is something for each caller.
func (l *load) run(ctx context.Context, d time.Duration) (Service, error) {
	g, gctx := errgroup.WithContext(ctx)
	done := make([]caller, l.number)
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
		enough := l.ended.Load() + int64(l.number)
		if err := pause(gctx, d); err != nil {
			return err
		}
		for l.ended.Load() < enough {
			if err := pause(gctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
		end, err = l.usage()
		return err
	})
	if err := g.Wait(); err != nil {
		return Service{}, err
	}
	for _, c := range done {
		l.completed += len(c.samples)
	}
	row := summary(done, l.batch, begin, end)
	row.Algorithm, row.Batch, row.Callers = l.name, l.batch, l.number
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
		l.ended.Add(1)
	}
	return nil
}

// sign has a batch of hashes signed under one code: create, code, authorise. The title is unique, so the person's text
// tells what it is for.
func (l *load) sign(ctx context.Context, credential string) (sample, *pb.SigningOperation, error) {
	title := fmt.Sprintf("bench-%d-%d", l.row, l.begun.Add(1))
	items := make([]*pb.SigningItemRequest, l.batch)
	for i, hash := range digests(l.hash, title, l.batch) {
		items[i] = &pb.SigningItemRequest{
			Source: &pb.SigningItemRequest_Digest{Digest: hash}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B,
		}
	}
	key := signKey(title)
	text := l.phone.expect(key)
	start := time.Now()
	c, err := l.documents.Signing.CreateSigningOperation(ctx, &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en", Algorithm: l.wire, Items: items,
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
	lacks := func(i *pb.SigningItem) bool { return len(i.GetCms()) == 0 }
	if o.GetState() != pb.SigningState_SIGNING_STATE_SIGNED || len(o.GetReceipt()) == 0 || len(o.GetItems()) != l.batch ||
		slices.ContainsFunc(o.GetItems(), lacks) {
		return sample{}, nil, fmt.Errorf("operation %s came back in state %v without signatures or receipt", o.GetId(), o.GetState())
	}
	return sample{
		end: end, create: created.Sub(start), code: arrived.Sub(created), authorise: end.Sub(arrived), total: end.Sub(start),
	}, o, nil
}

// summary counts what ended in the window, each operation as batch signatures.
func summary(done []caller, batch int, begin, end usage) Service {
	var create, code, authorise, total []time.Duration
	for _, c := range done {
		for _, s := range c.samples {
			if s.end.After(begin.at) && !s.end.After(end.at) {
				create, code = append(create, s.create), append(code, s.code)
				authorise, total = append(authorise, s.authorise), append(total, s.total)
			}
		}
	}
	window, n := end.at.Sub(begin.at), len(total)*batch
	return Service{
		Operations: len(total), Signatures: n, Seconds: round(window.Seconds(), 3),
		OperationsPerSecond: rate(len(total), window), PerSecond: rate(n, window),
		LatencyMS: Latency{
			Create: quantiles(create), Code: quantiles(code), Authorise: quantiles(authorise), Total: quantiles(total),
		},
		ServerCPUMicros: per(end.server-begin.server, n), ClientCPUMicros: per(end.client-begin.client, n),
	}
}

// errSignature: the service released a signature that its certificate does not verify.
var errSignature = errors.New("bench: a released signature is not valid")

// verify checks the signatures of every caller's last operation with the certificate of its credential. Checking each
// would have the callers compete with the service for the processor.
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
		for i, item := range c.last.GetItems() {
			if !l.valid(leaf.PublicKey, item.GetDtbsr(), item.GetSignature()) {
				return n, fmt.Errorf("%w: operation %s, item %d", errSignature, c.last.GetId(), i)
			}
			n++
		}
	}
	return n, nil
}
