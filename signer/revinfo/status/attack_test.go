package status

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"
)

// TestManyNames: a certificate and a list with tens of thousands of names of distribution points make a comparison of each
// with each. Both are refused, and at once.
func TestManyNames(t *testing.T) {
	name := func(tag byte, body []byte) []byte {
		return append([]byte{tag, 0x83, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	}
	const n = 30000
	point := func(first byte) []byte { return name(0xa0, name(0xa0, bytes.Repeat([]byte{0x86, 1, first}, n))) }
	began := time.Now()
	if _, err := parseIssuingPoint(name(0x30, point('a'))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("list: %v", err)
	}
	cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidPoints, Value: name(0x30, name(0x30, point('b')))}}}
	if _, err := distributionPoints(cert); !errors.Is(err, ErrUnsupported) {
		t.Errorf("certificate: %v", err)
	}
	names := make([][]byte, n)
	for i := range names {
		names[i] = []byte{0x86, 1, 'a'}
	}
	if err := (&issuingPoint{named: true, names: names}).covers(cert); !errors.Is(err, ErrUnsupported) {
		t.Errorf("certificate against a list: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%v", took)
	}
}
