package longterm_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// world is a certification authority and a time-stamping authority for all tests that misuse none.
var world = sync.OnceValue(func() *authorities {
	return &authorities{pki: padestest.Must(revtest.New(revtest.Options{URL: "http://pki.test"})), tsa: padestest.Must(tsptest.New(tsptest.Options{Name: "First"}))}
})

type authorities struct {
	pki *revtest.PKI
	tsa *tsptest.TSA
}

// signatory returns a new person with a certificate of the authority.
func (a *authorities) signatory(kind revtest.Key) padestest.Identity {
	leaf := padestest.Must(a.pki.Issuing().Issue(revtest.Template{Name: "Шевченко Тарас", Kind: kind, Change: func(c *x509.Certificate) { c.SubjectKeyId = []byte("key of a signatory") }}))
	return padestest.Identity{Key: leaf.Key, Chain: [][]byte{leaf.Raw, a.pki.Issuing().Raw, a.pki.CA(0).Raw}}
}

// prover proves for signatories and time-stamp units of the world, and accuses when it is asked about anybody else.
type prover struct {
	*authorities
	tsas   []*tsptest.TSA
	fail   func(leaf *x509.Certificate) error
	refuse func(leaf *x509.Certificate, at time.Time) error
	mu     sync.Mutex
	asked  []string // "name at time"
}

func (p *prover) Collect(_ context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := padestest.Must(x509.ParseCertificate(leaf))
	p.asked = append(p.asked, c.Subject.CommonName+" at "+at.UTC().Format(time.RFC3339))
	if p.fail != nil {
		if err := p.fail(c); err != nil {
			return revinfo.Evidence{}, err
		}
	}
	if p.refuse != nil {
		if err := p.refuse(c, at); err != nil {
			return revinfo.Evidence{}, err
		}
	}
	for _, tsa := range p.tsas {
		if !bytes.Equal(tsa.Certificate().Raw, leaf) {
			continue
		}
		e := revinfo.Evidence{Certificates: [][]byte{leaf}, CRLs: [][]byte{padestest.Must(tsa.CRL()), padestest.Must(tsa.RootCRL())}}
		for _, ca := range tsa.CACertificates() {
			e.Certificates = append(e.Certificates, ca.Raw)
		}
		return e, nil
	}
	issuing, root := p.pki.Issuing(), p.pki.CA(0)
	if c.CheckSignatureFrom(issuing.Certificate.Certificate) != nil {
		return revinfo.Evidence{}, errors.New("nobody that is known here")
	}
	if !slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, issuing.Raw) }) {
		return revinfo.Evidence{}, errors.New("the embedded certificates are not known")
	}
	answer := padestest.Must(issuing.OCSP(padestest.Must(ocsp.CreateRequest(c, issuing.Certificate.Certificate, nil))))
	return revinfo.Evidence{Certificates: [][]byte{leaf, issuing.Raw, root.Raw}, CRLs: [][]byte{padestest.Must(root.CRL())}, OCSPs: [][]byte{answer}}, nil
}

// services are those of the world, with a prover of their own.
func (a *authorities) services() (cades.Services, *prover) {
	p := &prover{authorities: a, tsas: []*tsptest.TSA{a.tsa}}
	return cades.Services{Stamper: a.tsa, Prover: p, Now: time.Now}, p
}

// timeStamp appends a document time-stamp.
func timeStamp(t *testing.T, in []byte, s cades.Services) []byte {
	t.Helper()
	tail, err := longterm.TimeStamp(t.Context(), bytes.NewReader(in), int64(len(in)), s, pdf.Limits{})
	if err != nil {
		t.Fatalf("TimeStamp: %v", err)
	}
	return append(bytes.Clone(in), tail...)
}

// verifyAll reads all signatures and time-stamps.
func verifyAll(t *testing.T, data []byte) []longterm.SignatureInfo {
	t.Helper()
	infos, err := longterm.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// summary says in one line what Verify found: the level or kind of each, and a mark for each error.
func summary(infos []longterm.SignatureInfo) string {
	out := ""
	for _, s := range infos {
		what := s.Level
		if s.DocTimeStamp {
			what = "time-stamp"
		}
		if s.Err != nil {
			what += "!"
		}
		out += s.Field + "=" + what + " "
	}
	return out
}

// pemOf encodes certificates.
func pemOf(ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
