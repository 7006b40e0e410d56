//go:build failpoint

package tenure

import (
	"os"
	"strconv"
	"syscall"
)

// failpoint kills the process without any clean-up when ECSIGNER_FAILPOINT names this step: the crash tests' hammer.
func failpoint(sequence string, step int) {
	if os.Getenv("ECSIGNER_FAILPOINT") == sequence+":"+strconv.Itoa(step) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
