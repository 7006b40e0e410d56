//go:build !failpoint

package augment

// failpoint does nothing in builds that are used.
func failpoint(int) {}
