//go:build failpoint

package store

import (
	"bytes"
	"os"
	"strings"
	"syscall"
)

// failpoint kills the process without any clean-up at a commit: the crash tests' hammer. The file that
// ECSIGNER_COMMITPOINT names holds when, which is before the commit, when it is committed but not in the head file, or
// after that, and what an entry of the commit must hold, such as
//
//	before "type":"phone.confirmed"
func failpoint(when string, calls []*call) {
	name := os.Getenv("ECSIGNER_COMMITPOINT")
	if name == "" {
		return
	}
	text, err := os.ReadFile(name)
	at, what, ok := strings.Cut(strings.TrimSpace(string(text)), " ")
	if err != nil || !ok || at != when {
		return
	}
	for _, c := range calls {
		for _, entry := range c.entries {
			if c.err == nil && bytes.Contains(entry, []byte(what)) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
}
