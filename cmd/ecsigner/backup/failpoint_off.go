//go:build !failpoint

package backup

func failpoint(string, int) {}
