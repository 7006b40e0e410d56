//go:build !failpoint

package signer

func failpoint(int) {}
