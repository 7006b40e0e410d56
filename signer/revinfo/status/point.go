package status

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// issuingPoint is IssuingDistributionPoint (RFC 5280 section 5.2.5).
type issuingPoint struct {
	named      bool     // there is a distributionPoint
	names      [][]byte // GeneralName of its fullName
	onlyUsers  bool
	onlyCAs    bool
	someReason bool
	indirect   bool
	attributes bool
}

func parseIssuingPoint(der []byte) (*issuingPoint, error) {
	p := &issuingPoint{}
	var seq, name cryptobyte.String
	s := cryptobyte.String(der)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("issuingDistributionPoint")
	}
	if !seq.ReadOptionalASN1(&name, &p.named, explicit(0)) {
		return nil, malformed("issuingDistributionPoint: distributionPoint")
	}
	if p.named {
		var err error
		if p.names, err = pointName(name); err != nil {
			return nil, err
		}
	}
	var reasons cryptobyte.String
	ok := flag(&seq, 1, &p.onlyUsers) && flag(&seq, 2, &p.onlyCAs) && seq.ReadOptionalASN1(&reasons, &p.someReason, implicit(3)) &&
		flag(&seq, 4, &p.indirect) && flag(&seq, 5, &p.attributes)
	if !ok || !seq.Empty() {
		return nil, malformed("issuingDistributionPoint: flags")
	}
	return p, nil
}

func flag(s *cryptobyte.String, tag uint8, to *bool) bool {
	var v cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&v, &present, implicit(tag)) || present && len(v) != 1 {
		return false
	}
	*to = present && v[0] != 0
	return true
}

// maxNames bounds the names of one distribution point: those of a certificate are compared with those of a list, each with
// each.
const maxNames = 64

// pointName reads DistributionPointName: the GeneralNames of a fullName, nothing for a name relative to the issuer.
func pointName(s cryptobyte.String) (names [][]byte, err error) {
	var full cryptobyte.String
	if s.PeekASN1Tag(explicit(1)) {
		return nil, nil
	}
	if !s.ReadASN1(&full, explicit(0)) || !s.Empty() {
		return nil, malformed("DistributionPointName")
	}
	for !full.Empty() {
		if len(names) == maxNames {
			return nil, fmt.Errorf("%w: a DistributionPointName of more than %d names", ErrUnsupported, maxNames)
		}
		var one cryptobyte.String
		var tag cbasn1.Tag
		if !full.ReadAnyASN1Element(&one, &tag) {
			return nil, malformed("DistributionPointName: GeneralName")
		}
		names = append(names, one)
	}
	return names, nil
}

// covers says why a list with this extension does not speak of a certificate, or not of every reason.
func (p *issuingPoint) covers(cert *x509.Certificate) error {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	switch {
	case p.indirect:
		return fmt.Errorf("%w: an indirect revocation list", ErrUnsupported)
	case p.someReason:
		return fmt.Errorf("%w: a revocation list for some reasons only", ErrUnsupported)
	case p.attributes:
		return fmt.Errorf("%w: a revocation list for attribute certificates only", ErrUnsupported)
	case p.onlyUsers && isCA:
		return fmt.Errorf("%w: the revocation list is for end entities only, the certificate is a CA's", ErrUnsupported)
	case p.onlyCAs && !isCA:
		return fmt.Errorf("%w: the revocation list is for CAs only, the certificate is an end entity's", ErrUnsupported)
	case !p.named:
		return nil
	}
	points, err := distributionPoints(cert)
	if err != nil {
		return err
	}
	for _, d := range points {
		for _, n := range d.names {
			if slices.ContainsFunc(p.names, func(m []byte) bool { return bytes.Equal(m, n) }) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: the revocation list is for another distribution point than those of the certificate", ErrUnsupported)
}

// distributionPoint is one of a certificate (RFC 5280 section 4.2.1.13).
type distributionPoint struct {
	names   [][]byte // GeneralName
	refused error    // why it is of no use
}

// distributionPoints reads the extension; crypto/x509 tells only the URLs in it.
func distributionPoints(cert *x509.Certificate) (list []distributionPoint, err error) {
	e := find(cert.Extensions, oidPoints)
	if e == nil {
		return nil, nil
	}
	var seq cryptobyte.String
	s := cryptobyte.String(e.Value)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("cRLDistributionPoints")
	}
	for !seq.Empty() && len(list) < 64 {
		var one, name, reasons, issuer cryptobyte.String
		var named, some, other bool
		if !seq.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadOptionalASN1(&name, &named, explicit(0)) ||
			!one.ReadOptionalASN1(&reasons, &some, implicit(1)) || !one.ReadOptionalASN1(&issuer, &other, explicit(2)) || !one.Empty() {
			return nil, malformed("cRLDistributionPoints: DistributionPoint")
		}
		d := distributionPoint{}
		if named {
			if d.names, err = pointName(name); err != nil {
				return nil, err
			}
		}
		switch {
		case some:
			d.refused = fmt.Errorf("%w: a distribution point for some reasons only", ErrUnsupported)
		case other && !isIssuer(issuer, cert):
			d.refused = fmt.Errorf("%w: a distribution point of an indirect revocation list", ErrUnsupported)
		}
		list = append(list, d)
	}
	return list, nil
}

// isIssuer reports whether a cRLIssuer is the issuer of the certificate, who need not be named but often is.
func isIssuer(names cryptobyte.String, cert *x509.Certificate) bool {
	var name cryptobyte.String
	return names.ReadASN1(&name, explicit(4)) && names.Empty() && SameName(name, cert.RawIssuer)
}

// URLs returns the addresses of the lists of a certificate, and why others are not used.
func URLs(cert *x509.Certificate) (addresses []string, refused []error) {
	points, err := distributionPoints(cert)
	if err != nil {
		return nil, []error{err}
	}
	for _, d := range points {
		if d.refused != nil {
			refused = append(refused, d.refused)
			continue
		}
		for _, n := range d.names {
			var u cryptobyte.String
			s := cryptobyte.String(n)
			if s.ReadASN1(&u, implicit(6)) {
				addresses = append(addresses, string(u))
			}
		}
	}
	return addresses, refused
}
