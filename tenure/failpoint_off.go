//go:build !failpoint

package tenure

func failpoint(string, int) {}
