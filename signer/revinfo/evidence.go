// Package revinfo obtains what proves that a certificate was not revoked: it builds the path to a trust anchor and gets
// a revocation list (RFC 5280) or an OCSP answer (RFC 6960) for every certificate of it, as levels B-LT and above of EN 319
// 122-1 and EN 319 142-1 need it. Where nothing acceptable is to be had it says why, and, if waiting helps, until when.
//
// What was fetched is read by package status and fetched by package web; package revtest makes infrastructures for tests.
package revinfo

import (
	"bytes"
	"slices"
)

// Evidence is what a validator needs to judge a certificate later and without a network. All of it is DER, in the order
// in which it was obtained.
type Evidence struct {
	Certificates [][]byte
	CRLs         [][]byte // CertificateList (RFC 5280 section 5)
	OCSPs        [][]byte // OCSPResponse, not only the BasicOCSPResponse in it (RFC 6960 section 4.2.1)
}

// Add takes over what e does not hold yet.
func (e *Evidence) Add(other Evidence) {
	e.Certificates = union(e.Certificates, other.Certificates)
	e.CRLs = union(e.CRLs, other.CRLs)
	e.OCSPs = union(e.OCSPs, other.OCSPs)
}

// Empty reports whether there is nothing in e.
func (e Evidence) Empty() bool { return len(e.Certificates)+len(e.CRLs)+len(e.OCSPs) == 0 }

func union(have, more [][]byte) [][]byte {
	have = slices.Clip(have)
	for _, m := range more {
		if !slices.ContainsFunc(have, func(h []byte) bool { return bytes.Equal(h, m) }) {
			have = append(have, m)
		}
	}
	return have
}
