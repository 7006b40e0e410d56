package system_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

var build *system.Builder

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ecsigner-system-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build = system.NewBuilder(dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
