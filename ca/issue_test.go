package ca

import "testing"

func TestSmoke(t *testing.T) {
	h := build(t, testConfig())
	tx := newTx()
	h.issue(t, tx, h.issuing, personRequest(t, "r1"))
}
