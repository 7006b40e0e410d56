package system_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// badFiles are the ways in which the files of one place fail.
func badFiles(at string, renames bool) map[string]fault {
	all := map[string]fault{
		"full":           {at: at, op: "write", errno: syscall.ENOSPC},
		"write fails":    {at: at, op: "write", errno: syscall.EIO},
		"torn":           {at: at, op: "write", errno: syscall.ENOSPC, torn: true},
		"sync fails":     {at: at, op: "sync", errno: syscall.EIO},
		"full at sync":   {at: at, op: "sync", errno: syscall.ENOSPC},
		"rename fails":   {at: at, op: "rename", errno: syscall.EIO},
		"full at rename": {at: at, op: "rename", errno: syscall.ENOSPC},
	}
	if !renames {
		delete(all, "rename fails")
		delete(all, "full at rename")
	}
	return all
}

// TestDiskFailsEnrolment lets the disk under the database fail at the commit of each step of enrolment. Nothing more is
// written until the restart; then the same requests go on from what was recorded, and everything happened once.
func TestDiskFailsEnrolment(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t, failpoints)), newDisk(t)
	point := newCommitpoint(t)
	i.Start(append(d.env(), point.env())...)
	i.Credential(0)
	objects := tokenObjects(t, i)
	vouchers := i.Vouchers(3)
	for n, fails := range []struct {
		name   string
		faults []fault
	}{
		{"full", []fault{{at: "/data/db/", op: "write", errno: syscall.ENOSPC}}},
		{"torn", []fault{{at: "/data/db/", op: "write", errno: syscall.ENOSPC, torn: true}}},
		{"sync fails", []fault{{at: "/data/db/", op: "sync", errno: syscall.EIO}}},
	} {
		t.Run(fails.name, func(t *testing.T) {
			i.Within(t)
			w := &walk{t: t, i: i, point: point, person: 200 + n, voucher: vouchers[n], objects: objects}
			for _, s := range enrolmentSteps() {
				t.Run(s.name, func(t *testing.T) {
					i.Within(t)
					w.t = t
					w.onBadDisk(s, d, fails.faults)
				})
				if t.Failed() {
					return
				}
			}
			if w.last.GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
				t.Errorf("in the end the enrolment is %v", w.last)
			}
		})
	}
	i.Within(t)
	endRun(t, i)
}

// onBadDisk takes one step while the disk fails, and goes on from what is left.
func (w *walk) onBadDisk(s enrolmentStep, d *disk, faults []fault) {
	mark, texts := logSize(w.t, w.i), w.texts()
	d.set(faults...)
	got, err := s.call(w)
	if err == nil {
		w.t.Fatalf("answered %v although nothing could be written", got)
	}
	wantRefusal(w.t, err, codes.Unavailable, "OUTCOME_UNKNOWN", "")
	if d.hit() == 0 {
		w.t.Error("the disk did not fail")
	}
	if got, err := s.call(w); err == nil && s.name != "agreement fetched" {
		w.t.Errorf("answered %v while the disk is bad", got)
	}
	w.i.Kill()
	d.well()
	w.i.Start(append(d.env(), w.point.env())...)

	all := strings.TrimSpace(s.entries + " " + s.resumed)
	if left := kinds(w.t, w.i, mark); left != "" && left != all {
		w.t.Errorf("the failure left %q in the log, want nothing or %q", left, all)
	}
	first, err := s.call(w)
	if err != nil {
		w.t.Fatalf("the same request after the restart: %v", err)
	}
	again, err := s.call(w)
	if err != nil || !proto.Equal(first, again) {
		w.t.Errorf("the same request once more: %v, %v; was %v", again, err, first)
	}
	w.last = again.(*pb.Enrolment)
	w.id = w.last.GetId()
	if got := kinds(w.t, w.i, mark); got != all {
		w.t.Errorf("the log tells %q, want %q", got, all)
	}
	w.told(s, texts)
	w.residue()
}

// TestDiskFailsHeads lets the head file fail: the commit has happened, but nobody is told, and nothing is written any more.
// A part of a line that was written is no obstacle to the next start.
func TestDiskFailsHeads(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t, failpoints)), newDisk(t)
	i.Start(d.env()...)
	credential := i.Credential(1)
	vkey, certificate := public(t, i, credential)
	for name, f := range badFiles("/data/heads", false) {
		if f.op == "sync" {
			continue // it is not synced: what it guards against is no loss of power
		}
		t.Run(name, func(t *testing.T) {
			i.Within(t)
			settled(t, i)
			mark := logSize(t, i)
			r := hashes(credential, "heads "+name, "heads "+name)
			d.set(f)
			_, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r)
			wantRefusal(t, err, codes.Unavailable, "OUTCOME_UNKNOWN", "")
			_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(credential, "another", "another"))
			wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
			i.Kill()
			d.well()
			i.Start(d.env()...)
			a, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r)
			if err != nil {
				t.Fatalf("the same request after the restart: %v", err)
			}
			o, err := i.Authorize(a.GetOperation().GetId(), i.Code("sign", "“heads "+name+"”"))
			if err != nil {
				t.Fatal(err)
			}
			judge(t, vkey, certificate, o)
			want := "SigningRequested CodeRequested CodeAccepted SigningActivated SigningSigned NoticeSent"
			if got := kinds(t, i, mark); strings.TrimSuffix(got, " NoticeSent") != strings.TrimSuffix(want, " NoticeSent") {
				t.Errorf("the log tells %q", got)
			}
		})
	}
	i.Within(t)
	endRun(t, i)
}

// TestDiskFailsSpool lets the spool fail while a document is uploaded. Nothing of it is kept, signing of hashes goes on, and
// the same upload succeeds once the disk is well, without a restart.
func TestDiskFailsSpool(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t)), newDisk(t)
	i.Start(d.env()...)
	credential := i.Credential(1)
	document := bytes.Repeat([]byte("document"), 64<<10)
	spooled := func() []string {
		files, err := filepath.Glob(i.Path("data", "spool", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	for name, f := range badFiles("/data/spool", true) {
		t.Run(name, func(t *testing.T) {
			i.Within(t)
			before := len(spooled())
			d.set(f)
			_, err := i.Documents().Upload(t.Context(), name, bytes.NewReader(document), func(int64) {})
			wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
			if d.hit() == 0 {
				t.Error("the disk did not fail")
			}
			await(t, "nothing of the document is kept", func() bool { return len(spooled()) == before })
			o, code := i.Operation(credential, "meanwhile "+name, raw, "document")
			if _, err := i.Authorize(o.GetId(), code); err != nil {
				t.Errorf("signing a hash meanwhile: %v", err)
			}
			d.well()
			u, err := i.Documents().Upload(t.Context(), name, bytes.NewReader(document), func(int64) {})
			sum := sha256.Sum256(document)
			if err != nil || !bytes.Equal(u.GetSha256(), sum[:]) {
				t.Errorf("once the disk is well: %v, %v", u, err)
			}
		})
	}
	i.Within(t)
	endRun(t, i)
}

// TestDiskFailsTiles lets the published directory fail. Signing goes on, the operator is told, and the directory catches up
// without a restart.
func TestDiskFailsTiles(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t)), newDisk(t)
	i.Start(d.env()...)
	credential := i.Credential(1)
	published := func() string {
		b, err := os.ReadFile(i.Path("data", "log", "checkpoint"))
		if err != nil {
			return "" // there was none yet
		}
		return strings.Split(string(b), "\n")[1]
	}
	for name, f := range badFiles("/data/log", true) {
		t.Run(name, func(t *testing.T) {
			i.Within(t)
			d.set(f)
			o, code := i.Operation(credential, "unpublished "+name, raw, "document")
			if _, err := i.Authorize(o.GetId(), code); err != nil {
				t.Errorf("signing while nothing can be published: %v", err)
			}
			await(t, "the disk fails", func() bool { return d.hit() > 0 })
			d.well()
			size := fmt.Sprint(logSize(t, i))
			await(t, "the directory catches up", func() bool { return published() == size })
			if said := i.Run("audit verify", "--key", i.Path("pki", "log.vkey"), i.Path("data", "log")); !strings.Contains(said, "0 findings") {
				t.Errorf("the log verifier said:\n%s", said)
			}
		})
	}
	i.Within(t)
	endRun(t, i)
}

// TestDiskFailsOutbox lets the files fail that stand for the phone network. The text comes once the disk is well, with the
// code that it would have had.
func TestDiskFailsOutbox(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t)), newDisk(t)
	i.Start(d.env()...)
	credential := i.Credential(1)
	for name, f := range badFiles("/outbox/", true) {
		if f.op == "sync" {
			continue // a text is handed over, not kept
		}
		t.Run(name, func(t *testing.T) {
			i.Within(t)
			d.set(f)
			r := hashes(credential, "unsent "+name, "document")
			o, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r)
			if err != nil {
				t.Fatalf("creating an operation needs no phone network: %v", err)
			}
			await(t, "the disk fails", func() bool { return d.hit() > 0 })
			if parts, err := filepath.Glob(i.Path("outbox", ".part-*")); err != nil || len(parts) > 1 {
				t.Errorf("half written: %v, %v", parts, err)
			}
			d.well()
			if _, err := i.Authorize(o.GetOperation().GetId(), i.Code("sign", "“unsent "+name+"”")); err != nil {
				t.Errorf("the code that came late: %v", err)
			}
		})
	}
	i.Within(t)
	endRun(t, i)
}
