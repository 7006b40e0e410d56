//go:build !failpoint

package store

func failpoint(string, []*call) {}
