package main

import (
	"os"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/bench"
	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	var o bench.Options
	c := &cobra.Command{
		Use: "bench", Short: "Measure the raw HSM and authorised signatures through the whole service",
		Long: `bench sets up an installation in a temporary directory (TMPDIR chooses the disk), measures what the HSM signs by
itself, then serves the installation in a process of its own, enrols persons and measures authorised signatures: created,
authorised with the code, released with a receipt, over mutual TLS. At the end the HSM is measured once more, so that a
drift of the machine shows. docs/benchmarks.md explains the figures and the JSON report.`,
		Example: "  ecsigner bench --duration 30s --callers 16,64 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			o.Writer, o.Progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return bench.Run(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.JSON, "json", false, "write one JSON document instead of tables")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long each row is measured")
	f.IntSliceVar(&o.Callers, "callers", []int{16, 64}, "callers at once, one row for each number")
	f.IntVar(&o.Persons, "persons", 64, "persons to enrol, each with a credential of its own")
	return c
}
