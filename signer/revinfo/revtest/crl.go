package revtest

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"time"
)

// CRL says what list an authority makes. The zero value is a right one, valid from a minute ago for a day.
type CRL struct {
	ThisUpdate, NextUpdate time.Duration    // from now; 0: a minute ago, in a day
	NoNextUpdate           bool             // RFC 5280 section 5.1.2.5 forbids that
	Signer                 crypto.Signer    // another key than the authority's; it must be of the same kind
	Issuer                 []byte           // another name, in DER
	KeyID                  []byte           // another key identifier
	Entries                []Entry          // further ones
	Extensions             []pkix.Extension // more, such as issuingDistributionPoint or deltaCRLIndicator
	Version1               bool             // no version, no extensions
	Fill                   int              // further revoked certificates, serial numbers 1 to Fill with 16 bytes each
	Raw                    []byte           // further entries in DER
	Change                 func(der []byte) []byte
}

// CRL returns a new list in DER, as the server sends it.
func (ca *CA) CRL() ([]byte, error) {
	ca.mu.Lock()
	c, revoked := ca.crl, bytes.Buffer{}
	for _, e := range slices.Concat(ca.revoked, c.Entries) {
		revoked.Write(e.encode(c.Version1))
	}
	ca.mu.Unlock()
	for i := range c.Fill {
		serial := new(big.Int).Lsh(big.NewInt(1), 126)
		revoked.Write(Entry{Serial: serial.Add(serial, big.NewInt(int64(i+1))), Time: ca.NotBefore, Reason: i % 6}.encode(c.Version1))
	}

	revoked.Write(c.Raw)

	now, issuer, keyID := ca.pki.options.Now(), c.Issuer, c.KeyID
	if issuer == nil {
		issuer = ca.RawSubject
	}
	if keyID == nil {
		keyID = ca.SubjectKeyId
	}
	var parts [][]byte
	if !c.Version1 {
		parts = append(parts, must(1))
	}
	parts = append(parts, ca.kind.identifier(), issuer, crlTime(now.Add(cmp.Or(c.ThisUpdate, -time.Minute))))
	if !c.NoNextUpdate {
		parts = append(parts, crlTime(now.Add(cmp.Or(c.NextUpdate, 24*time.Hour))))
	}
	if revoked.Len() > 0 {
		parts = append(parts, sequence(revoked.Bytes()))
	}
	if !c.Version1 {
		list := []pkix.Extension{
			{Id: oidAKI, Value: sequence(value(2, 0, false, keyID))},
			{Id: oidCRLNumber, Value: integer(big.NewInt(now.UnixNano()))},
		}
		parts = append(parts, tagged(0, extensions(append(list, c.Extensions...))))
	}
	key := c.Signer
	if key == nil {
		key = ca.Key
	}
	der, err := ca.kind.signed(ca.pki.options.Random, sequence(parts...), key)
	if err == nil && c.Change != nil {
		der = c.Change(der)
	}
	return der, err
}

func (e Entry) encode(version1 bool) []byte {
	parts := [][]byte{integer(e.Serial), crlTime(e.Time)}
	list := e.Extensions
	if e.Reason != 0 && !version1 {
		list = append([]pkix.Extension{{Id: oidReason, Value: enumerated(e.Reason)}}, list...)
	}
	if len(list) > 0 {
		parts = append(parts, extensions(list))
	}
	return sequence(parts...)
}
