//go:build interop

package ca

import (
	"crypto/elliptic"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInteropPersons has pkilint judge a certificate of every kind of identifier, every second one with an organisation.
func TestInteropPersons(t *testing.T) {
	python := os.Getenv("ECSIGNER_PYTHON")
	if python == "" {
		t.Fatal("ECSIGNER_PYTHON does not name a Python with the packages of .ci/requirements.txt; make interop makes one")
	}
	h, tx := build(t, testConfig()), newTx()
	for i, text := range []string{
		"PNOPL-44051401359", "TINPL-9512352379", "IDCPL-ABA300000", "PASPL-ZS0000177", "PNOUA-19900101-00000", "TINUA-2935412318",
		"IDCUA-000123456", "PASUA-FA123456", "PNOEE-38001085718", "PASDE-C01X0006H",
	} {
		r := personRequest(t, text)
		if i%2 == 1 {
			r = employee(t, text)
			r.Natural.OrganisationID = []string{"VATPL-9512352379", "NTRUA-12345678", "LEIXG-HWUPKR0MPOU8FGXBT394"}[i/2%3]
		}
		r.Person, r.PublicKey = text, newKey(t, elliptic.P256()).Public()
		r.Natural.Identifier = Identifier{text[:3], text[3:5], text[6:]}
		file := pemFile(t, "person.pem", "CERTIFICATE", h.issue(t, tx, h.issuing, r).DER)
		lint := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(python), "lint_etsi_cert"),
			"lint", "-t", "QCP-N-QSCD-EIDAS-FINAL-CERTIFICATE", "-s", "NOTICE", file)
		if out, err := lint.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
			t.Errorf("pkilint of %s, organisation %q (%v):\n%s", text, r.Natural.OrganisationID, err, out)
		}
	}
}
