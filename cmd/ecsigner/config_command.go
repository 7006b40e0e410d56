package main

import (
	"fmt"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	return group("config", "The configuration of an installation", configCheckCommand(), configPrintCommand())
}

func configCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "check", Short: "Say whether a configuration would be accepted",
		Long: `check reads a configuration as serve does and says what is wrong with it: an unknown or repeated key, a value outside
its bounds. It touches neither HSM nor database, so it may run beside the service, before a restart.`,
		Example: "  ecsigner config check --config /var/lib/ecsigner/my/ecsigner.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: the configuration of %s is good\n", file, cfg.Installation)
			}
			return err
		},
	}
	configFlag(c, &file)
	return c
}

func configPrintCommand() *cobra.Command {
	var file string
	var redact bool
	c := &cobra.Command{
		Use: "print", Short: "Print a configuration as the program understands it",
		Long: `print writes every key with the value that the program read, without comments. A configuration holds no PIN and no
key; with --redact it also says nothing about your network and where files lie, so that you can show it to strangers.`,
		Example: "  ecsigner config print --config /var/lib/ecsigner/my/ecsigner.yaml --redact",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if redact {
				cfg = cfg.Redacted()
			}
			text, err := cfg.Text()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&redact, "redact", false, "put \"redacted\" in place of addresses, host names, paths and the token's label")
	return c
}

// configFlag adds the flag that names the installation's configuration.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "ecsigner.yaml of the installation (required)")
	_ = c.MarkFlagRequired("config")
}
