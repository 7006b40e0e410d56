package revtest

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/ocsp"
)

// OCSP says how a responder answers. The zero value is right: the authority itself signs, is named by its name, and its
// answers are valid from a minute ago for an hour.
type OCSP struct {
	ThisUpdate, NextUpdate time.Duration // from now; 0: a minute ago, in an hour
	NoNextUpdate           bool
	ProducedAt             time.Duration    // from now
	ByKey                  bool             // the responder is named by the hash of its key
	Delegate               *Certificate     // signs instead of the authority
	Signer                 crypto.Signer    // signs, while the certificate named is that of the authority or delegate
	Certificates           [][]byte         // in the answer; nil: that of the delegate
	Unknown                bool             // knows no certificate
	Status                 int              // of the whole answer, such as 3 for try later
	Serial                 *big.Int         // answers about this one, whatever is asked
	NameOf, KeyOf          *CA              // answers about a certificate of an issuer with this name, and this key, whatever is asked
	More                   int              // answers about so many others before
	Single, Extensions     []pkix.Extension // of the single answer, and of the whole
	Change                 func(der []byte) []byte
}

// OCSP answers a request in DER.
func (ca *CA) OCSP(request []byte) ([]byte, error) {
	q, unreadable := ocsp.ParseRequest(request)
	if unreadable != nil {
		return ocsp.MalformedRequestErrorResponse, nil //nolint:nilerr // that is an answer, too
	}
	ca.mu.Lock()
	o := ca.ocsp
	var found *Entry
	serial := q.SerialNumber
	if o.Serial != nil {
		serial = o.Serial
	}
	for i, e := range ca.revoked {
		if e.Serial.Cmp(serial) == 0 {
			found = &ca.revoked[i]
		}
	}
	ca.mu.Unlock()
	if o.Status != 0 {
		return sequence(enumerated(o.Status)), nil
	}
	if o.NameOf == nil && o.KeyOf == nil && !bytes.Equal(q.IssuerKeyHash, digest(q.HashAlgorithm, subjectKey(ca.Certificate.Certificate))) {
		return ocsp.UnauthorizedErrorResponse, nil
	}
	var singles [][]byte
	for i := range o.More {
		singles = append(singles, ca.single(o, q.HashAlgorithm, big.NewInt(int64(i+1)), nil))
	}
	singles = append(singles, ca.single(o, q.HashAlgorithm, serial, found))
	return ca.answer(o, sequence(singles...))
}

// single is a SingleResponse (RFC 6960 section 4.2.1).
func (ca *CA) single(o OCSP, h crypto.Hash, serial *big.Int, e *Entry) []byte {
	oid := oidSHA1
	if h == crypto.SHA256 {
		oid = oidSHA256
	}
	named, keyed := ca, ca
	if o.NameOf != nil {
		named = o.NameOf
	}
	if o.KeyOf != nil {
		keyed = o.KeyOf
	}
	now := ca.pki.options.Now()
	id := sequence(must(pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}),
		must(digest(h, named.RawSubject)), must(digest(h, subjectKey(keyed.Certificate.Certificate))), integer(serial))
	status := value(asn1.ClassContextSpecific, 0, false)
	if o.Unknown {
		status = value(asn1.ClassContextSpecific, 2, false)
	}
	if e != nil {
		status = tagged(1, generalized(e.Time), tagged(0, enumerated(e.Reason)))
	}
	parts := [][]byte{id, status, generalized(now.Add(cmp.Or(o.ThisUpdate, -time.Minute)))}
	if !o.NoNextUpdate {
		parts = append(parts, tagged(0, generalized(now.Add(cmp.Or(o.NextUpdate, time.Hour)))))
	}
	if o.Single != nil {
		parts = append(parts, tagged(1, extensions(o.Single)))
	}
	return sequence(parts...)
}

// answer signs the OCSPResponse.
func (ca *CA) answer(o OCSP, singles []byte) ([]byte, error) {
	by := ca.Certificate
	certificates := o.Certificates
	if o.Delegate != nil {
		by = *o.Delegate
		if certificates == nil {
			certificates = [][]byte{by.Raw}
		}
	}
	name := tagged(1, by.RawSubject)
	if o.ByKey {
		name = tagged(2, must(digest(crypto.SHA1, subjectKey(by.Certificate))))
	}
	parts := [][]byte{name, generalized(ca.pki.options.Now().Add(o.ProducedAt)), singles}
	if o.Extensions != nil {
		parts = append(parts, tagged(1, extensions(o.Extensions)))
	}
	key, kind := by.Key, by.kind
	if o.Signer != nil {
		key, kind = o.Signer, kindOf(o.Signer)
	}
	var more [][]byte
	if len(certificates) > 0 {
		more = append(more, tagged(0, sequence(certificates...)))
	}
	basic, err := kind.signed(ca.pki.options.Random, sequence(parts...), key, more...)
	if err != nil {
		return nil, fmt.Errorf("OCSP answer: %w", err)
	}
	der := sequence(enumerated(0), tagged(0, sequence(must(oidBasic), must(basic))))
	if o.Change != nil {
		der = o.Change(der)
	}
	return der, nil
}
