// Package engine wires an installation: it makes a new one, and runs one.
package engine

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/tracing"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/server"
	"github.com/ecsigner/ecsigner/server/pki"
	"github.com/ecsigner/ecsigner/server/webhook"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
)

// Engine is one running installation.
type Engine struct {
	config  config.Config
	version string
	logger  *slog.Logger

	device *hsm.Device
	trust  *sam.Module
	memory *otp.Memory
	db     *store.DB
	spool  *store.Spool
	log    *publisher

	issuing *ca.Authority
	tlsRoot *ca.Authority
	rootCRL []byte
	chain   [][]byte // issuing, root

	enrol   *enrol.Service
	tenure  *tenure.Service
	signer  *signer.Service
	augment *augment.Service
	prover  *revinfo.Collector // nil without time-stamping authorities
	sender  *sms.Sender
	server  *server.Server

	grpcListener, httpListener net.Listener
	http                       *pki.Server
	tracing                    *tracing.Tracing // nil unless configured
	metrics                    *metrics         // nil unless configured
	metricsListener            net.Listener     // the same
	callbacks                  *webhook.Server
	callbackListener           net.Listener // nil unless configured, and so is callbacks
	workers                    sync.WaitGroup
}

// Open opens device, store and services in the order in which they need each other, and listens. Nothing is served yet.
// Every error is one sentence that says what to do; what was opened is closed again.
func Open(ctx context.Context, cfg config.Config, version string, logger *slog.Logger) (_ *Engine, err error) {
	e := &Engine{config: cfg, version: version, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	for _, open := range []func(context.Context) error{
		e.openTracing, e.openDevice, e.openStore, e.openAuthorities, e.openServices, e.rebuild, e.openServer, e.listen,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// traceFailed tells the operator that a collector does not take spans.
func (e *Engine) traceFailed(err error) { e.logger.Warn("spans are not sent", "error", err) }

// openTracing begins to trace, if a collector is configured.
func (e *Engine) openTracing(ctx context.Context) (err error) {
	c := e.config.Tracing
	if c.Endpoint == "" {
		return nil
	}
	e.tracing, err = tracing.Start(ctx, tracing.Config{Endpoint: c.Endpoint, Insecure: c.Insecure, Ratio: c.Ratio, Version: e.version, Failed: e.traceFailed})
	return err
}

func (e *Engine) openDevice(ctx context.Context) (err error) {
	if e.device, err = openDevice(ctx, e.config); err != nil {
		return err
	}
	epoch, err := e.device.Epoch(ctx)
	if err != nil {
		return err
	}
	e.trust, err = sam.Open(ctx, e.device, sam.Config{
		Installation: e.config.Installation, Epoch: epoch, Digits: e.config.Codes.Digits, Now: time.Now,
	})
	return err
}

func (e *Engine) openStore(ctx context.Context) error {
	key, err := e.device.Signer(ctx, keyLog)
	if err != nil {
		return err
	}
	head, err := audit.NewNoteSigner(logOrigin(e.config), key)
	if err != nil {
		return err
	}
	vkey, err := os.ReadFile(e.config.Path(FileLogKey))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(e.config.Path(e.config.Data, RestoringDir)); err == nil {
		return ErrRestoring
	}
	if err := os.MkdirAll(e.logDir(), 0o755); err != nil { // the published log is for everybody to read
		return fmt.Errorf("the published log's directory cannot be made; check the owner of the directories above it: %w", err)
	}
	e.log = &publisher{
		dir: e.logDir(), now: time.Now, alarm: e.alarm, logger: e.logger, tiles: tiles.NewExporter(e.logDir(), strings.TrimSpace(string(vkey))),
	}
	e.db, err = store.Open(ctx, store.Config{
		Dir: e.config.Path(e.config.Data, "db"), HeadFile: e.config.Path(e.config.Data, "heads"),
		HeadMAC: e.trust.Head, Head: head, Now: time.Now, Committed: e.log.committed, Activating: e.log.activating,
	})
	if err != nil {
		return err
	}
	if err := e.log.open(ctx, e.db, e.trust.Head); err != nil {
		return err
	}
	e.spool, err = store.OpenSpool(e.config.Path(e.config.Data, "spool"), e.trust.SpoolKey)
	return err
}

func (e *Engine) logDir() string { return e.config.LogDir() }

func (e *Engine) openAuthorities(ctx context.Context) (err error) {
	e.issuing, err = authority(ctx, e.config, e.device, ca.IssuingCA, fileIssuing, fileRoot, keyIssuing)
	if err != nil {
		return err
	}
	if e.tlsRoot, err = tlsAuthority(ctx, e.config, e.device); err != nil {
		return err
	}
	root, err := os.ReadFile(e.config.Path(fileRoot))
	if err != nil {
		return err
	}
	e.chain = [][]byte{e.issuing.Certificate().Raw, root}
	e.rootCRL, err = os.ReadFile(e.config.Path(fileRootCRL))
	return err
}

func (e *Engine) openServices(ctx context.Context) error {
	sealKey, err := e.device.Signer(ctx, keySeal)
	if err != nil {
		return err
	}
	seal, err := os.ReadFile(e.config.Path(fileSeal))
	if err != nil {
		return err
	}
	limits := codeLimits(e.config)
	e.memory = otp.NewMemory()
	p, c := e.config.Provider, e.config.Certificates
	proofers, err := identityProviders(e.config)
	if err != nil {
		return err
	}
	e.enrol, err = enrol.New(enrol.Config{
		Store: e.tracing.EnrolStore(wakingEnrol{e.db.Enrol(), e.wake}), Trust: e.tracing.Trust(e.trust), Authority: e.tracing.Authority(e.issuing),
		Seal:   enrol.SealKey{Signer: sealKey, Chain: append([][]byte{seal}, e.chain...)},
		Memory: e.memory, Limits: limits, Products: catalogue(e.config.Products), Guesses: guessLimits(e.config.Vouchers),
		Provider: agreement.Provider{
			Name: p.Organisation, RegistrationID: p.OrganisationID, Address: p.Address, PolicyOID: c.PolicyNatural,
			PDSVersion: c.PDSVersion,
		},
		PDS: c.PDS, PDSSHA256: digests(c.PDSSHA256),
		Terms: agreement.Terms{
			Version: p.TermsVersion, URL: p.TermsURL, SHA256: pinned(p.TermsSHA256), RetentionYears: c.RetentionYears,
		},
		Proofers: proofers, ProofAge: e.config.Proofing.MaxAge, DeferredLife: e.config.Proofing.DeferredLife,
		Renewal: enrol.RenewalRules{
			Window: e.config.Renewal.Window, ProofAge: e.config.Renewal.ProofAge,
		},
		TestMode: e.config.Test, Life: e.config.Limits.EnrolmentLife, Parts: e.config.Messages.Parts, Now: time.Now, Rand: rand.Reader, Alarm: e.alarm,
	})
	if err != nil {
		return err
	}
	e.tenure, err = tenure.New(tenure.Config{
		Store: e.tracing.TenureStore(wakingTenure{e.db.Tenure(), e.wake}), Trust: e.tracing.TenureTrust(e.trust),
		Authority: e.tracing.Revoker(e.issuing), Origins: e.enrol, Memory: e.memory, Limits: limits, Provider: p.Organisation,
		Notice: e.config.Renewal.Notice, Parts: e.config.Messages.Parts, Now: time.Now, Rand: rand.Reader, Alarm: e.alarm,
	})
	if err != nil {
		return err
	}
	if err := e.openLevels(); err != nil {
		return err
	}
	kept := int64(bytesPerClient)
	choose(&kept, e.config.Limits.BytesPerClient)
	faces, err := typefaces(e.config)
	if err != nil {
		return err
	}
	e.signer, err = signer.New(signer.Config{
		Typefaces: faces, Levels: e.augment, Store: e.tracing.SignerStore(wakingSigner{e.db.Signer(), e.wake}), Spool: e.spool, Trust: e.tracing.Activator(e.trust), Memory: e.memory, Codes: limits, Now: time.Now, Rand: rand.Reader,
		Quota: kept, Keep: e.config.Limits.DocumentLife,
		MaxBytes: e.config.Limits.DocumentBytes, Life: e.config.Limits.OperationLife,
		Parts: e.config.Messages.Parts, Notice: e.config.Messages.Signed, Alarm: e.alarm,
	})
	if err != nil {
		return err
	}
	return e.openMessages(ctx)
}

// alarm tells the operator of a broken seal or of an issuing that stopped; the operation log has it too.
func (e *Engine) alarm(ctx context.Context, kind, subject string, err error) {
	e.logger.ErrorContext(ctx, "ALARM", "kind", kind, "subject", subject, "error", err)
}

// wake has the sender look at the outbox now. Before the sender exists nothing is sent; it looks when it starts.
func (e *Engine) wake() {
	if e.sender != nil {
		e.sender.Wake()
	}
}

// rebuild brings back from the log what only lives in memory.
func (e *Engine) rebuild(ctx context.Context) error {
	return Rebuild(ctx, e.db, time.Now(), e.trust, e.enrol, e.tenure, e.memory)
}

func (e *Engine) openServer(ctx context.Context) error {
	key, err := e.device.Signer(ctx, keyTLSServer)
	if err != nil {
		return err
	}
	der, err := os.ReadFile(e.config.Path(fileTLS))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(e.tlsRoot.Certificate())
	limits := edgeLimits(e.config.Limits)
	checks := e.checks()
	var called func(server.Call)
	if e.config.Metrics.Listen != "" {
		e.metrics = newMetrics(e.version)
		e.metrics.watch(checks)
		e.look(e.metrics)
		called = e.metrics.called
	}
	e.server, err = server.New(server.Config{
		Certificate: tls.Certificate{Certificate: [][]byte{der, e.tlsRoot.Certificate().Raw}, PrivateKey: &tlsKey{Signer: key, logger: e.logger, now: time.Now}},
		Clients:     clients, Limits: limits, Enrolments: e.enrol, Credentials: e.tenure, Signing: e.signer, Augmenting: e.augment, Log: operationLog{e.db},
		Issuer: clientIssuer{e}, Chain: e.chain, CRL: e.tenure.CRL,
		Health: checks, Needs: needs(), Reflection: e.config.Reflection, Stats: e.tracing.Handler(), Faults: faults(), Logger: e.logger, Now: time.Now, Called: called,
	})
	return err
}

func (e *Engine) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if e.grpcListener, err = lc.Listen(ctx, "tcp", e.config.Listen); err != nil {
		return fmt.Errorf("listen: %w; is another process using it?", err)
	}
	if e.httpListener, err = lc.Listen(ctx, "tcp", e.config.PKI.Listen); err != nil {
		return fmt.Errorf("pki.listen: %w; is another process using it?", err)
	}
	if e.metrics != nil {
		if e.metricsListener, err = lc.Listen(ctx, "tcp", e.config.Metrics.Listen); err != nil {
			return fmt.Errorf("metrics.listen: %w; is another process using it?", err)
		}
		if e.metrics.next, err = e.db.Size(ctx); err != nil {
			return err
		}
	}
	if e.callbacks, e.callbackListener, err = e.listenCallbacks(ctx); err != nil {
		return err
	}
	e.http, err = e.publication()
	return err
}

// Addresses returns where gRPC and the HTTP publication listen.
func (e *Engine) Addresses() (grpc, http string) {
	return e.grpcListener.Addr().String(), e.httpListener.Addr().String()
}

// Run resumes what a crash interrupted in issuing, serves until ctx ends, then stops cleanly: calls under way are
// finished, the log is published to its end.
func (e *Engine) Run(ctx context.Context, ready func()) error {
	if err := e.note(ctx, func(epoch uint64, size int64) audit.Event {
		return audit.ServiceStarted{Version: e.version, Epoch: epoch, Size: size}
	}); err != nil {
		return errors.Join(err, e.close())
	}
	if n, err := e.enrol.Resume(ctx); err != nil {
		e.logger.Error("enrolments could not be resumed", "error", err)
	} else if n > 0 {
		e.logger.Info("enrolments resumed", "count", n)
	}
	if _, err := e.enrol.Sweep(ctx); err != nil { // what ended while nothing ran has ended before anybody asks
		e.logger.Warn("housekeeping failed; it is tried again", "error", err)
	}
	if n, err := e.tenure.DestroyRevoked(ctx); err != nil {
		e.logger.Error("keys of revoked credentials could not be destroyed", "error", err)
	} else if n > 0 {
		e.logger.Info("keys of revoked credentials destroyed", "count", n)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 3)
	e.workers.Go(func() { e.sender.Run(work) })
	e.workers.Go(func() { e.augment.Run(work) })
	e.workers.Go(func() { e.tick(work) })
	e.workers.Go(func() { failed <- e.server.Serve(e.grpcListener) })
	e.workers.Go(func() { failed <- e.http.Serve(e.httpListener) })
	e.workers.Go(func() { e.enrol.Follow(work, e.config.Proofing.Poll, e.notAsked) })
	if e.callbacks != nil {
		e.workers.Go(func() { failed <- e.callbacks.Serve(e.callbackListener) })
	}
	if e.metrics != nil {
		watched := e.metrics.server(e.logger)
		e.workers.Go(func() { _ = watched.Serve(e.metricsListener) }) // its end is not the end of the service
		context.AfterFunc(work, func() { _ = watched.Close() })
	}
	ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, e.shutdown(stop))
}

// shutdown lets calls finish, records the stop, publishes the rest of the log, and closes everything.
func (e *Engine) shutdown(stopWorkers context.CancelFunc) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := errors.Join(e.server.Shutdown(ctx), e.http.Shutdown(ctx))
	if e.callbacks != nil {
		err = errors.Join(err, e.callbacks.Shutdown(ctx))
	}
	stopWorkers()
	e.workers.Wait()
	err = errors.Join(err, e.note(ctx, func(uint64, int64) audit.Event { return audit.ServiceStopped{} }))
	covered := e.db.Cover(ctx)
	return errors.Join(err, covered, e.log.publish(ctx), e.close())
}

// close releases what is open, last opened first.
func (e *Engine) close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := e.tracing.Close(ctx); err != nil {
		e.logger.Warn("the last spans were not sent", "error", err)
	}
	if e.grpcListener != nil {
		_ = e.grpcListener.Close() // the server has closed it where it served
	}
	if e.prover != nil {
		e.prover.Close()
	}
	for _, l := range []net.Listener{e.httpListener, e.metricsListener, e.callbackListener} {
		if l != nil {
			_ = l.Close()
		}
	}
	if e.db != nil {
		errs = append(errs, e.db.Close())
	}
	if e.log != nil {
		errs = append(errs, e.log.close())
	}
	if e.device != nil {
		errs = append(errs, e.device.Close())
	}
	return errors.Join(errs...)
}

// note writes an event of the service itself.
func (e *Engine) note(ctx context.Context, event func(epoch uint64, size int64) audit.Event) error {
	epoch, err := e.device.Epoch(ctx)
	if err != nil {
		return err
	}
	size, err := e.db.Size(ctx)
	if err != nil {
		return err
	}
	_, err = e.db.Signer().Update(ctx, func(tx signer.Tx) error {
		tx.Append(event(epoch, size))
		return nil
	})
	return err
}

// headPause is how long waiting entries are left without a head after one could not be signed: nobody else can write
// while the store waits for the signature.
const headPause = time.Minute

// tick publishes the log, takes up issuing that a lost device interrupted, sweeps, and deletes old documents until ctx ends.
func (e *Engine) tick(ctx context.Context) {
	second, minute, day := time.NewTicker(time.Second), time.NewTicker(time.Minute), time.NewTicker(24*time.Hour)
	defer second.Stop()
	defer minute.Stop()
	defer day.Stop()
	e.warnOfEnds(time.Now())
	var failed time.Time // when a head could not be signed
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case now := <-second.C:
			if now.Sub(failed) >= headPause {
				if err = e.db.Cover(ctx); errors.Is(err, store.ErrHead) {
					failed = now
				}
			}
			err = errors.Join(err, e.log.publish(ctx))
			if e.metrics != nil {
				err = errors.Join(err, e.metrics.follow(ctx, e.db))
			}
		case now := <-day.C:
			e.warnOfEnds(now)
		case <-minute.C:
			_, resumed := e.enrol.Resume(ctx)
			_, reminded := e.tenure.Remind(ctx)
			_, swept := e.signer.Sweep(ctx)
			_, ended := e.enrol.Sweep(ctx)
			err = errors.Join(resumed, reminded, swept, ended, e.forget())
		}
		if err != nil && ctx.Err() == nil {
			e.logger.Warn("housekeeping failed; it is tried again", "error", err)
		}
	}
}

// forget deletes documents that were not fetched in time.
func (e *Engine) forget() error {
	_, err := e.spool.Expire(time.Now().Add(-e.config.Limits.DocumentLife))
	return err
}
