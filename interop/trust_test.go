//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

// trustedList is a template of a trusted list (ETSI TS 119 612 v2.3.1) of a country that is none.
//
//go:embed trustedlist.xml
var trustedList string

// service is an entry of the list.
type service struct {
	Type, Name, Certificate string
	Signatures              bool // a CA for electronic signatures
}

const (
	caQC  = "http://uri.etsi.org/TrstSvc/Svctype/CA/QC"
	tsaQC = "http://uri.etsi.org/TrstSvc/Svctype/TSA/QTST"
)

// publishList makes a trusted list with the CA of the signatories and the units of the time-stamp authorities, and has EU DSS sign
// and load it.
func (w *world) publishList(r *residents, ca *x509.Certificate) error {
	services := []service{{caQC, "Issuing", base64.StdEncoding.EncodeToString(ca.Raw), true}}
	for _, name := range []string{"P-256", "RSA-3072"} {
		c := w.tsa[name].Certificate()
		services = append(services, service{tsaQC, "TSA " + name, base64.StdEncoding.EncodeToString(c.Raw), false})
	}
	var xml bytes.Buffer
	err := template.Must(template.New("").Parse(trustedList)).Execute(&xml, map[string]any{
		"Services": services, "Issued": w.signedAt.UTC().Format(time.RFC3339), "Next": w.signedAt.AddDate(0, 5, 0).UTC().Format(time.RFC3339),
		"Since": w.signedAt.AddDate(-2, 0, 0).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	in, out := filepath.Join(w.dir, "list.xml"), filepath.Join(w.dir, "list.signed.xml")
	if err := os.WriteFile(in, xml.Bytes(), 0o600); err != nil {
		return err
	}
	operator, err := w.operator()
	if err != nil {
		return err
	}
	var said struct {
		Download, Parsing, Validation string
		Anchors                       int
	}
	if err := r.java.ask(&said, "trust", "file", in, "out", out, "store", operator, "password", "store"); err != nil {
		return err
	}
	if said.Download != "SYNCHRONIZED" || said.Parsing != "SYNCHRONIZED" || said.Validation != "TOTAL_PASSED" || said.Anchors != len(services) {
		return fmt.Errorf("EU DSS does not take the trusted list: %+v", said)
	}
	return nil
}

// operator makes who signs the list.
func (w *world) operator() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"ZZ"}, Organization: []string{"Test Scheme Operator"}, CommonName: "List"},
		NotBefore: w.signedAt.AddDate(-1, 0, 0), NotAfter: w.signedAt.AddDate(2, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{0, 4, 0, 2231, 3, 0}}, // id-tsl-kp-tslSigning
		SubjectKeyId:       []byte{1, 2, 3}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return "", err
	}
	return w.pkcs12("operator", signatory{key: key, chain: [][]byte{der}})
}

// qcStatements makes a certificate a qualified one for electronic signatures, with its key in a device (ETSI EN 319 412-5).
func qcStatements() (pkix.Extension, error) {
	type statement struct {
		ID   asn1.ObjectIdentifier
		Info asn1.RawValue `asn1:"optional"`
	}
	esign, err := asn1.Marshal([]asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, 1}})
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal([]statement{
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}},
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}},
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, Info: asn1.RawValue{FullBytes: esign}},
	})
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}, err
}
