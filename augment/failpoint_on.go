//go:build failpoint

package augment

import (
	"os"
	"strconv"
	"syscall"
)

// failpoint kills the process without any clean-up when ECSIGNER_FAILPOINT names this step: the crash tests' hammer.
func failpoint(step int) {
	if os.Getenv("ECSIGNER_FAILPOINT") == "raise:"+strconv.Itoa(step) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
