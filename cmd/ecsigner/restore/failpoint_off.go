//go:build !failpoint

package restore

func failpoint(string, int) {}
