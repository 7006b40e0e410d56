package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
	"github.com/spf13/cobra"
)

// errNotLoopback: strangers could take it for a service.
var errNotLoopback = errors.New("it is no trust service and listens on this machine alone; use an address such as 127.0.0.1:7318")

func demoTSACommand() *cobra.Command {
	var listen, root string
	c := &cobra.Command{
		Use: "demo-tsa", Short: "Run a time-stamping authority for trying out; it is no trust service",
		Long: `demo-tsa answers requests for time-stamps (RFC 3161) over HTTP on this machine, and serves its revocation lists, so that the
levels from B-T on can be tried without an authority. Its keys are made at each start and live in memory; nobody should
trust its time-stamps. It writes its root certificate to --root: name that file as trust_file of an authority in the
configuration, and let its host and port be asked for revocation data:

  timestamp:  {authorities: [{name: demo, url: "http://127.0.0.1:7318", trust_file: demo-tsa.pem}]}
  revocation: {hosts: [127.0.0.1], ports: [7318], inside: [127.0.0.0/8]}`,
		Example: "  ecsigner demo-tsa --listen 127.0.0.1:7318 --root demo-tsa.pem",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _, err := net.SplitHostPort(listen)
			if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
				return errNotLoopback
			}
			var lc net.ListenConfig
			l, err := lc.Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			url := "http://" + l.Addr().String()
			tsa, err := tsptest.New(tsptest.Options{URL: url, Name: "DEMO no trust service"})
			if err != nil {
				return errors.Join(err, l.Close())
			}
			authority := tsa.CACertificates()
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority[len(authority)-1].Raw})
			if err := os.WriteFile(root, text, 0o644); err != nil { // public by nature
				return errors.Join(err, l.Close())
			}
			server := &http.Server{
				Handler: tsa.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
			}
			go func() {
				<-cmd.Context().Done()
				_ = server.Close()
			}()
			fmt.Fprintf(cmd.OutOrStdout(), "stamping for demonstrations at %s, root in %s\n", url, root)
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:7318", "loopback address")
	c.Flags().StringVar(&root, "root", "demo-tsa.pem", "file for the root certificate")
	return c
}
