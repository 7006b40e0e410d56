package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
)

func enrolmentCommand() *cobra.Command {
	return group("enrolment", "Enrolments: a person's way to a credential", evidenceCommand())
}

func evidenceCommand() *cobra.Command {
	var dir, out string
	c := &cobra.Command{
		Use: "evidence ENROLMENT", Short: "Export the evidence that a person accepted the agreement",
		Long: `evidence writes two files into a directory: evidence.json, which says what was accepted, when, with which consents and
by which code's challenge, never the code; and agreement.pdf, sealed by the service. The SHA-256 that it prints stands in
the operation log, in the entry consents.given of the enrolment. The client must be an officer, or the portal through
which the person came. The files hold personal data.`,
		Example: "  ecsigner enrolment evidence ENROLMENT --out evidence",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(dir, func(conn *client.Conn) error {
				r, err := conn.Enrolment.GetEnrolmentEvidence(cmd.Context(), &pb.GetEnrolmentEvidenceRequest{EnrolmentId: args[0]})
				if err != nil {
					return err
				}
				if sum := sha256.Sum256(r.GetEvidence()); !bytes.Equal(sum[:], r.GetSha256()) {
					return errors.New("the evidence is not what its SHA-256 says; nothing was written")
				}
				if err := os.MkdirAll(out, 0o700); err != nil {
					return err
				}
				for name, content := range map[string][]byte{"evidence.json": r.GetEvidence(), "agreement.pdf": r.GetAgreement()} {
					if err := os.WriteFile(filepath.Join(out, name), content, 0o600); err != nil {
						return err
					}
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "evidence.json and agreement.pdf are in %s\nSHA-256 of the evidence: %x\n", out, r.GetSha256())
				return err
			})
		},
	}
	profile(c, &dir)
	c.Flags().StringVar(&out, "out", "evidence", "directory to write into")
	_ = c.MarkFlagDirname("out")
	return c
}
