//go:build interop

package interop

import (
	"strings"
	"testing"
)

func allow(judge, said string) string { return strings.ReplaceAll(said, " [error QUAL_CERT_TRUSTED_LIST_REACHED_ANS: Unable to build a certificate chain up to a trusted list!]", "") }
func publish(t *testing.T, e expectations, r [][]result) {}
