package system_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/client"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestDocumentsThatStay signs PDFs of which the engine sees digests alone, at every level, two under one code, and with a
// time-stamp that is larger than the space which the client left at first.
func TestDocumentsThatStay(t *testing.T) {
	s := newSignings(t)
	s.i.Documents()
	tsa := withAuthority(t, s.i)
	s.i.Start()
	tsa.Misbehave(tsptest.Faults{Size: 12_000}) // more than the client expects, so that it prepares anew
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client.New(s.i.Documents().ClientConn, s.credential)
	mark := logSize(t, s.i)
	for level := cades.LevelBB; level <= cades.LevelBLTA; level++ {
		title := "stays at " + level.String()
		file := client.File{Reader: bytes.NewReader(s.contract), Size: int64(len(s.contract))}
		second := file
		second.Options = pades.Options{CommitmentType: cades.ProofOfApproval, ClaimedRoles: []string{"director"}, Location: "Київ"}
		op, err := c.Begin(ctx, client.Request{Title: title, Language: "en", Level: level}, file, second)
		if err != nil {
			t.Fatal(err)
		}
		if err := op.Authorize(ctx, s.i.Code("sign", "“"+title+"”")); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			tail, err := op.Tail(ctx, n)
			if err != nil {
				t.Fatalf("%v of file %d: %v", level, n, err)
			}
			whole := append(bytes.Clone(s.contract), tail...)
			infos, err := longterm.Verify(ctx, bytes.NewReader(whole), int64(len(whole)), pdf.Limits{})
			if err != nil || len(infos) == 0 || infos[0].Err != nil || infos[0].ByteRange[0] != 0 {
				t.Fatalf("%v of file %d: %+v, %v", level, n, infos, err)
			}
			if dss, stamps := bytes.Contains(whole, []byte("/DSS")), bytes.Count(whole, []byte("/ETSI.RFC3161")); dss != (level >= cades.LevelBLT) ||
				(stamps > 0) != (level == cades.LevelBLTA) {
				t.Errorf("%v of file %d: security store %v, %d document time-stamps", level, n, dss, stamps)
			}
		}
		if len(op.Receipt()) == 0 {
			t.Error("no receipt")
		}
	}
	log := kinds(t, s.i, mark)
	if n := strings.Count(log, "SigningRequested"); n != 4 {
		t.Errorf("%d operations for 4 calls: a refused one is none", n)
	}
	if left, err := filepath.Glob(s.i.Path("data", "spool", "*")); err != nil || len(left) != 0 {
		t.Errorf("documents came to the engine: %v, %v", left, err)
	}
	endRun(t, s.i)
}
