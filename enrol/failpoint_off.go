//go:build !failpoint

package enrol

func failpoint(string, int) {}
