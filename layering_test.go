package ecsigner_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ecsigner/ecsigner"

// allowed is the import table of the house: which packages of ours a package may import. A key ending in "/" stands for
// all packages below it. Calls go down; nothing calls up.
var allowed = map[string][]string{
	"credential": {}, "otp": {}, "otp/sms": {}, "otp/sms/gateway": {"otp/sms"}, "audit": {}, "audit/tiles": {"audit"},
	"ca": {"ca/lint"}, "ca/lint": {},
	"sam": {"credential"},
	"hsm": {}, "hsm/hsmtest": {"hsm"},

	"signer/appearance/font": {"signer/pdf", "signer/pdf/object"},
	"signer/revinfo/revtest": {}, "signer/revinfo/status": {}, "signer/revinfo/web": {},

	"signer":                 {"otp", "otp/sms", "audit", "sam", "credential", "augment", "call", "signer/"},
	"augment":                {"audit", "credential", "call", "signer/"},
	"signer/pades":           {"signer/cades", "signer/pades/sigfield", "signer/pdf", "signer/pdf/object", "signer/pdf/pages", "signer/appearance"},
	"signer/pades/sigfield":  {"signer/pdf", "signer/pdf/object"},
	"signer/pades/dss":       {"signer/cades", "signer/pdf", "signer/pdf/object", "signer/revinfo", "signer/revinfo/status"},
	"signer/pades/longterm":  {"signer/pades", "signer/pades/dss", "signer/pades/sigfield", "signer/cades", "signer/cades/levels", "signer/cms", "signer/tsp", "signer/revinfo", "signer/pdf", "signer/pdf/object", "signer/pdf/pages"},
	"signer/pades/padestest": {"signer/pades", "signer/pades/longterm", "signer/cades", "signer/pdf", "signer/pdf/pdftest"},
	"signer/appearance":      {"signer/appearance/font", "signer/pdf", "signer/pdf/object", "signer/pdf/pages"},
	"signer/cades":           {"signer/cms", "signer/revinfo", "signer/revinfo/status"},
	"signer/cades/levels":    {"signer/cades", "signer/cms", "signer/tsp", "signer/revinfo/status"},
	"signer/cades/cadestest": {"signer/cades"},
	"signer/cms":             {},
	"signer/tsp":             {"signer/cms"},
	"signer/tsp/tsptest":     {},
	"signer/revinfo":         {"signer/revinfo/status", "signer/revinfo/web"},
	"signer/pdf":             {"signer/pdf/object"},
	"signer/pdf/object":      {},
	"signer/pdf/pages":       {"signer/pdf", "signer/pdf/object"},
	"signer/pdf/pdftest":     {},
	"signer/mutations":       {},
	"interop":                {},
	"call":                   {"audit", "credential"},
	"custody":                {"otp", "otp/sms", "ca", "audit", "sam", "credential", "call"},
	"tenure":                 {"otp", "otp/sms", "ca", "audit", "sam", "credential", "call", "custody"},
	"enrol":                  {"otp", "otp/sms", "ca", "audit", "sam", "credential", "call", "custody", "enrol/agreement", "enrol/person", "enrol/voucher", "signer/pades", "signer/cades"},
	"enrol/agreement":        {},
	"enrol/person":           {"ca", "sam", "credential", "call"},
	"enrol/voucher":          {"audit", "credential", "call"},
	"enrol/proofing":         {"enrol"},

	"store":          {"signer", "augment", "signer/cades", "enrol", "tenure", "otp", "otp/sms", "ca", "audit", "credential", "store/"},
	"store/":         {"store", "signer", "augment", "call", "signer/cades", "enrol", "tenure", "otp", "otp/sms", "ca", "audit", "credential", "sam"},
	"proto/":         {"proto/"},
	"server":         {"enrol", "tenure", "signer", "augment", "signer/appearance", "signer/cades", "signer/pades/sigfield", "signer/revinfo", "audit", "ca", "credential", "sam", "proto/"},
	"server/pki":     {},
	"server/webhook": {},

	"client":               {"proto/", "signer/cades", "signer/pades", "signer/pades/longterm", "signer/revinfo"},
	"cmd/ecsigner":         {"*"},
	"cmd/ecsigner/engine":  {"*"},
	"cmd/ecsigner/config":  {},
	"cmd/ecsigner/backup":  {"audit", "store", "cmd/ecsigner/config"},
	"cmd/ecsigner/restore": {"audit", "audit/tiles", "ca", "credential", "enrol", "tenure", "otp", "sam", "signer", "store", "cmd/ecsigner/backup", "cmd/ecsigner/config", "cmd/ecsigner/engine"},
	"cmd/ecsigner/doctor":  {"audit", "audit/tiles", "ca", "credential", "enrol", "hsm", "otp", "sam", "signer", "store", "cmd/ecsigner/backup", "cmd/ecsigner/config", "cmd/ecsigner/engine"},
	"cmd/ecsigner/client":  {"proto/"},
	"cmd/ecsigner/batch":   {"proto/", "cmd/ecsigner/client"},
	"cmd/ecsigner/demo":    {"proto/", "cmd/ecsigner/client"},
	"cmd/ecsigner/system":  {"proto/", "cmd/ecsigner/client"},
	"examples/go":          {"proto/"},
	"cmd/ecsigner/bench":   {"proto/", "hsm", "cmd/ecsigner/client", "cmd/ecsigner/config"},
	"cmd/ecsigner/tracing": {"signer", "augment", "enrol", "tenure", "ca", "sam", "credential", "audit"},
	"cmd/ecsigner/verify":  {"signer/pdf", "signer/pades/longterm", "signer/cades", "audit"},
	"cmd/ecsigner/model":   {"*"},
	"interop/benchpdf":     {"hsm", "hsm/hsmtest", "signer/cades", "signer/pades", "cmd/ecsigner/bench"},
}

// only says which packages may import a library, directly.
var only = map[string][]string{
	"github.com/digitorus/timestamp": {}, // tests alone

	"github.com/miekg/pkcs11":      {"hsm", "hsm/hsmtest"},
	"C":                            {"hsm"},
	"google.golang.org/grpc":       {"server", "client", "proto/", "cmd/ecsigner", "cmd/ecsigner/", "examples/go"},
	"database/sql":                 {"store", "store/"},
	"github.com/mattn/go-sqlite3":  {"store"},
	"github.com/digitorus/pdfsign": {"cmd/ecsigner/verify", "interop/benchpdf"},
	"go.mozilla.org/pkcs7":         {"cmd/ecsigner/verify"},
	"codeberg.org/go-pdf/fpdf":     {"enrol/agreement"},
	"github.com/zmap/zlint/v3":     {"ca"},
	"github.com/goccy/go-yaml":     {"cmd/ecsigner", "cmd/ecsigner/"},
	"github.com/pquerna/otp":       {"sam"},
	"go.opentelemetry.io":          {"cmd/ecsigner/tracing"},
	"github.com/google/pprof":      {"cmd/ecsigner/bench"},
	"golang.org/x/mod/sumdb":       {"audit", "audit/tiles", "store", "store/", "cmd/ecsigner/backup", "cmd/ecsigner/restore", "cmd/ecsigner/doctor", "cmd/ecsigner/engine"},
}

func TestLayering(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports ","}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		path, list, _ := strings.Cut(strings.TrimSpace(line), ":")
		name := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		if name == "" {
			continue
		}
		packages++
		rule, ok := find(name)
		if !ok {
			t.Errorf("package %s is not in the import table", name)
			continue
		}
		for imported := range strings.SplitSeq(list, ",") {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !matches(ours, rule) {
				t.Errorf("%s imports %s; the table allows it only %v", name, ours, rule)
			}
			for library, users := range only {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !matches(name, users) {
					t.Errorf("%s imports %s; only %v may", name, imported, users)
				}
			}
		}
	}
	if packages < 10 {
		t.Errorf("only %d packages were seen", packages)
	}
}

// find returns the row of a package: its own, or that of the nearest folder above.
func find(name string) ([]string, bool) {
	if r, ok := allowed[name]; ok {
		return r, true
	}
	for dir := name; strings.Contains(dir, "/"); {
		dir = dir[:strings.LastIndex(dir, "/")]
		if r, ok := allowed[dir+"/"]; ok {
			return r, true
		}
	}
	return nil, false
}

func matches(name string, rule []string) bool {
	return slices.ContainsFunc(rule, func(r string) bool {
		return r == "*" || r == name || strings.HasSuffix(r, "/") && strings.HasPrefix(name+"/", r)
	})
}
