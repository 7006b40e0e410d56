//go:build !failpoint

package signer

import "time"

// leaseTTL is how long the right to sign lasts after an activation or a resumption.
const leaseTTL = 30 * time.Second

func failpoint(int) {}
