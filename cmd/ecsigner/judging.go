package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/verify"
	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	var root, content, cfg string
	c := &cobra.Command{
		Use: "verify FILE...", Short: "Verify signed PDFs, detached signatures (.p7s) and certificates (.cer)",
		Long: `verify reads each FILE with our own strict reader and asks digitorus/pdfsign and go.mozilla.org/pkcs7 for a second and a
third opinion; without --root it says nothing about who issued the certificate. A detached signature (.p7s) needs
--content. Certificates (.cer, .crt, .pem) need --config and are judged by our own rules and by zlint; name the
certificate first and then its issuers up to the root.`,
		Example: `  ecsigner verify --root root.cer contract.signed.pdf
  ecsigner verify --root root.cer --content order.csv order.csv.p7s
  ecsigner verify --config ecsigner.yaml pki/issuing.cer pki/root.cer`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			var anchor *x509.Certificate
			if root != "" {
				var err error
				if anchor, err = readCertificate(root); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			var errs []error
			for i, f := range files {
				switch strings.ToLower(filepath.Ext(f)) {
				case ".p7s":
					if content == "" {
						return errors.New("a detached signature needs its content: --content FILE")
					}
					errs = append(errs, verify.Detached(f, content, anchor, out))
				case ".cer", ".crt", ".pem":
					errs = append(errs, lintCertificate(cfg, f, files[i+1:], out))
				default:
					errs = append(errs, verify.PDF(cmd.Context(), f, anchor, out))
				}
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().StringVar(&root, "root", "", "certificate, DER or PEM, of the root that must have issued the chain")
	c.Flags().StringVar(&content, "content", "", "file that the detached signature is over")
	c.Flags().StringVar(&cfg, "config", "", "ecsigner.yaml of the installation whose profile certificates must follow")
	return c
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if p, _ := pem.Decode(b); p != nil {
		b = p.Bytes
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// lintCertificate judges one certificate; the next file is its issuer's, none for a root.
func lintCertificate(cfg, path string, issuers []string, out io.Writer) error {
	if cfg == "" {
		return errors.New("judging a certificate needs the installation's profile: --config FILE")
	}
	c, err := config.Load(cfg)
	if err != nil {
		return err
	}
	cert, err := readCertificate(path)
	if err != nil {
		return err
	}
	var issuer *x509.Certificate
	if len(issuers) > 0 {
		if issuer, err = readCertificate(issuers[0]); err != nil {
			return err
		}
	}
	found, err := ca.Findings(engine.CAConfig(c), engine.ProfileOf(c, cert), cert.Raw, issuer)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "%s: no finding (own rules, zlint)\n", path)
		return nil
	}
	for _, f := range found {
		fmt.Fprintf(out, "%s: %s: %s\n", path, f.Rule, f.Detail)
	}
	return fmt.Errorf("%s: %d findings", path, len(found))
}

func auditCommand() *cobra.Command {
	var key string
	var tries int
	v := &cobra.Command{
		Use: "verify DIR", Short: "Verify a published log and its receipts offline, trusting only the log's key",
		Long: `verify rebuilds the Merkle tree in DIR from its entries, compares every tile and the signed checkpoint with it, reads
every entry, checks the rules between entries (no signature without an activation, …) and verifies the receipts in
DIR/receipts. The key is pki/log.vkey of the installation; keep it apart from the log. Each finding is a line; the exit
code is 0 only when there is none.

Each rule is explained in docs/formats.md. How many tries a code has is not in the log: --tries holds it to the
codes.tries of the configuration, if that was never higher.`,
		Example: "  ecsigner audit verify --key log.vkey log",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			vkey, err := os.ReadFile(key)
			if err != nil {
				return err
			}
			r, err := tiles.Verify(cmd.Context(), args[0], strings.TrimSpace(string(vkey)), tiles.Options{Tries: tries})
			if err != nil && !errors.Is(err, tiles.ErrFindings) {
				return err
			}
			printReport(cmd.OutOrStdout(), r)
			return err
		},
	}
	v.Flags().StringVar(&key, "key", "", "file with the public key of the log (required)")
	v.Flags().IntVar(&tries, "tries", 5, "most tries that a code had")
	_ = v.MarkFlagRequired("key")
	return group("audit", "The operation log", v, auditListCommand(), auditFollowCommand())
}

func printReport(out io.Writer, r tiles.Report) {
	fmt.Fprintf(out, "entries   %d, under the signed head of size %d\nfiles     %d compared\nreceipts  %d verified\n",
		r.Entries, r.Head.Size, r.Files, r.Receipts)
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(out, "  %-24s %d\n", k, r.Kinds[k])
	}
	for _, f := range r.Findings {
		fmt.Fprintln(out, "FINDING  ", f)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(out, "the log is whole: 0 findings")
	}
}
