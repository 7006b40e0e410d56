package revinfo_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// Evidence on a signatory's certificate for the time of the time-stamp. The list of one's own CA needs no network.
func Example() {
	prove := func(ctx context.Context, roots []*x509.Certificate, ownCA *x509.Certificate, ownList func() []byte, leaf []byte, stamped time.Time) (revinfo.Evidence, error) {
		collector, err := revinfo.New(revinfo.Config{
			Anchors: roots,
			Now:     time.Now,
			Network: revinfo.Network{Hosts: []string{".example.org"}},
			Local: func(issuer *x509.Certificate) ([]byte, bool) {
				return ownList(), issuer.Equal(ownCA)
			},
			AfterSignature: true,
		})
		if err != nil {
			return revinfo.Evidence{}, err
		}
		defer collector.Close()
		evidence, err := collector.Collect(ctx, leaf, [][]byte{ownCA.Raw}, stamped)
		var late *revinfo.NotYetError
		if errors.As(err, &late) {
			fmt.Println("again at", late.Retry)
		}
		return evidence, err
	}
	_ = prove
}
