package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/backup"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/doctor"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/restore"
	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	var file, to string
	var keep int
	c := &cobra.Command{
		Use: "backup", Short: "Make a backup of an installation while it is served",
		Long: `backup copies the database as it stands at one moment, with head file, configuration and certificates, into a new
directory named after the installation and the time. The service goes on meanwhile. What was written is read again: the
whole database is checked, and its operation log compared with the head file. The backup then appears under its name,
synced, or not at all. Afterwards the oldest beyond --keep are removed. Run it as the service's user, on its machine.

Not in it are PINs, the HSM, uploaded documents and messages. Signatories' keys are, wrapped under a key of the HSM: keep
backups as you keep the database. The published operation log is not in it either; copy that elsewhere as it grows:
ecsigner restore takes both.`,
		Example: "  ecsigner backup --config /var/lib/ecsigner/my/ecsigner.yaml --to /mnt/backups --keep 7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			switch {
			case to != "":
			case cfg.Backup.Dir != "":
				to = cfg.Path(cfg.Backup.Dir)
			default:
				return errors.New("where to? name the directory of backups with --to or as backup.dir in the configuration")
			}
			if keep == 0 {
				keep = cfg.Backup.Kept()
			}
			r, err := backup.Make(cmd.Context(), cfg, backup.Options{Config: file, To: to, Keep: keep, Version: version, Now: time.Now()})
			if r.Dir != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries of the log, root %s\nnot in it: %s\n",
					r.Dir, r.Manifest.Size, r.Manifest.Root, strings.Join(r.Manifest.LeftOut, "; "))
			}
			for _, old := range r.Removed {
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", old)
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&to, "to", "", "directory of backups (default backup.dir of the configuration)")
	c.Flags().IntVar(&keep, "keep", 0, "how many backups stay there (default backup.keep of the configuration)")
	_ = c.MarkFlagDirname("to")
	return c
}

func renewCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "renew", Short: "Make the server's and the seal's certificate and the root's revocation list anew",
		Long: `renew makes what ends first anew, with the keys that are in the HSM: the server's certificate (1 year) for the hosts that
the configuration names now, that of the service seal (3 years), and the root's revocation list (365 days), without which
no signature reaches level B-LT. Run it as the service's user, on its machine, once a year or when ecsigner doctor says so;
then start the service again. Clients notice nothing. They get new certificates of their own by ecsigner client add.`,
		Example: "  ecsigner renew --config /var/lib/ecsigner/my/ecsigner.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			err = engine.Renew(cmd.Context(), cfg, time.Now(), func(line string) { fmt.Fprintln(cmd.OutOrStdout(), line) })
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "start the service again: until then it goes on with the old ones")
			}
			return err
		},
	}
	configFlag(c, &file)
	return c
}

func restoreCommand() *cobra.Command {
	var dir, from, log string
	c := &cobra.Command{
		Use: "restore", Short: "Put an installation back from a backup and its published operation log",
		Long: `restore takes a backup and the published operation log, or a copy of it, which is newer. It verifies the log with
the key in the HSM, that the backup is its beginning, and the seal of every credential and enrolment. Then it takes over
the entries that the backup lacks, byte for byte, and brings the rows up to them: revocations, spent codes, locks,
redeemed vouchers, access. Credentials that were issued after the backup are gone with their keys: their certificates
are revoked. The epoch of the HSM is raised, which voids every operation and code that was open. What is lost is named
record by record, in a report that the log refers to.

The installation must have no database. Where it has no configuration either, that of the backup is used; the PIN's file,
or ECSIGNER_PIN, and the HSM must be there. An interrupted restore is simply run again; nothing is served before it is
finished. Nothing is lost that the log directory holds: give it the newest copy there is.`,
		Example: "  ecsigner restore --dir /var/lib/ecsigner/my --backup /mnt/backups/my-20261125T134500Z --log /mnt/log",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noCoreDumps(); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			r, err := restore.Run(cmd.Context(), restore.Options{
				Dir: dir, Backup: from, Log: log, Now: time.Now, Say: func(s string) { fmt.Fprintln(out, s) },
			})
			if err != nil {
				return err
			}
			var report restore.Report
			if err := json.Unmarshal(r.Text, &report); err != nil {
				return err
			}
			for _, l := range report.Lost {
				fmt.Fprintf(out, "lost: %s %s: %s\n", l.Kind, l.ID, l.Do)
			}
			fmt.Fprintf(out, "report: %s\n", r.Report)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "directory of the installation (required)")
	f.StringVar(&from, "backup", "", "directory of one backup (required)")
	f.StringVar(&log, "log", "", "directory of the published operation log (required)")
	for _, name := range []string{"dir", "backup", "log"} {
		_ = c.MarkFlagRequired(name)
		_ = c.MarkFlagDirname(name)
	}
	return c
}

func doctorCommand() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Examine an installation against the requirements on remote signing",
		Long: `doctor examines an installation, row by row, against requirements of ETSI TS 119 431-1 and what keeps a service
alive. It derives each answer from what is there: it queries the keys on the token and tries to steal one, rehearses an
authorisation with a key made for it and changes each element, verifies every seal and a changed copy of it, verifies the
published log, and looks at clock, disks, files, certificates and lists. It changes nothing, and the service may run
meanwhile. It needs the HSM, and room for a copy of the database.

A row says pass, fail, not applicable, shown by test (only a test of the program can show it, and which), or
organisational (no program can). A failed row says what to do. The exit code is 1 when a row failed.`,
		Example: "  ecsigner doctor --config /var/lib/ecsigner/my/ecsigner.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noCoreDumps(); err != nil {
				return err
			}
			results, err := doctor.Examine(cmd.Context(), file, time.Now)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(map[string]any{"version": version, "failed": doctor.Failed(results), "rows": results})
			} else {
				err = doctor.Text(cmd.OutOrStdout(), results)
			}
			if n := doctor.Failed(results); err == nil && n > 0 {
				err = quietError{fmt.Errorf("%d rows failed", n)}
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "write the results as JSON")
	return c
}
