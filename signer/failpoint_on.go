//go:build failpoint

package signer

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

// leaseTTL is short, so that crash tests need not wait for the release build's 30 s before they resume. It may lie below
// signTimeout: what keeps a second signature from being released is the fence, not the lease.
const leaseTTL = time.Second

// failpoint kills the process without any clean-up when ECSIGNER_FAILPOINT names this step: the crash tests' hammer.
func failpoint(step int) {
	if os.Getenv("ECSIGNER_FAILPOINT") == "sign:"+strconv.Itoa(step) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
