package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/backup"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
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
