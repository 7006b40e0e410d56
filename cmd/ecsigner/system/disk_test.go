package system_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// diskFailure is one way in which the disk fails during a signature.
type diskFailure struct {
	name        string
	write, sync syscall.Errno
	at          string // the commit that fails: of "create", of the "activation", of the "record"
	stop        func(t *testing.T, i *system.Installation)
	says        string // in the server's log
	left        string // events right after the restart
	resumed     bool
	signed      int // times that the key signed the item, in the end
}

func diskFailures() []diskFailure {
	const (
		requested = "SigningRequested CodeRequested"
		activated = requested + " CodeAccepted SigningActivated"
	)
	kill := func(_ *testing.T, i *system.Installation) { i.Kill() }
	stop := func(t *testing.T, i *system.Installation) {
		if code := i.Stop(); code == 0 {
			t.Error("a server that could not record its stop ended with code 0")
		}
	}
	full, lost := "the disk is full", "the database failed; check the disk"
	return []diskFailure{
		// What could not be written did not happen.
		{"full at create", syscall.ENOSPC, 0, "create", stop, full, "", false, 1},
		{"full at activation", syscall.ENOSPC, 0, "activation", kill, full, requested, false, 1},
		{"full at record", syscall.ENOSPC, 0, "record", stop, full, activated, true, 2},
		{"read-only at record", syscall.EROFS, 0, "record", kill, lost, activated, true, 2},
		// What was written but not made durable may have happened: here the power did not fail.
		{"sync fails at create", 0, syscall.EIO, "create", kill, lost, requested, false, 1},
		{"sync fails at activation", 0, syscall.EIO, "activation", kill, lost, activated, true, 1},
		{"sync fails at record", 0, syscall.EIO, "record", kill, lost, activated + " SigningSigned", false, 1},
	}
}

// TestDiskFails lets the disk under the database fail at each commit of a signature. Nothing is released, nothing more
// is written until the restart; then the same requests go on from what was recorded, and the key signed as often as the
// log allows.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t, failpoints)), newDisk(t)
	_ = startSpied(t, i)
	credential := i.Credential(1)
	objects := tokenObjects(t, i)
	endRun(t, i)
	for _, f := range diskFailures() {
		t.Run(f.name, func(t *testing.T) {
			i.Within(t)
			s := &failing{i: i, disk: d, spy: filepath.Join(t.TempDir(), "spy"), credential: credential}
			s.run(t, f)
			endRun(t, i)
			if now := tokenObjects(t, i); len(now) != len(objects) {
				t.Errorf("the token holds %d objects, were %d", len(now), len(objects))
			}
		})
	}
}

// failing is one signature on a failing disk.
type failing struct {
	i          *system.Installation
	disk       *disk
	spy        string
	credential string
	request    *pb.CreateSigningOperationRequest
}

func (s *failing) start() {
	s.i.Start(append(s.disk.env(), "PKCS11SPY="+softHSM, "PKCS11SPY_OUTPUT="+s.spy)...)
}

func (s *failing) create(t *testing.T) (*pb.SigningOperation, error) {
	a, err := s.i.Documents().Signing.CreateSigningOperation(t.Context(), s.request)
	return a.GetOperation(), err
}

func (s *failing) run(t *testing.T, f diskFailure) {
	s.request = hashes(s.credential, f.name, f.name)
	digest := s.request.GetItems()[0].GetSha256()
	s.start()
	vkey, certificate := public(t, s.i, s.credential)
	mark, said := logSize(t, s.i), len(s.i.Stderr.String())

	var o *pb.SigningOperation
	var code string
	var err error
	if f.at == "create" {
		s.disk.fails(0, f.write, f.sync)
		o, err = s.create(t)
	} else {
		if o, err = s.create(t); err != nil {
			t.Fatal(err)
		}
		code = s.i.Code("sign", "“"+f.name+"”")
		settled(t, s.i)
		s.disk.fails(map[string]int{"activation": 0, "record": 1}[f.at], f.write, f.sync)
		o, err = s.i.Authorize(o.GetId(), code)
	}
	wantRefusal(t, err, codes.Unavailable, "OUTCOME_UNKNOWN", "")
	if len(o.GetItems()) != 0 {
		t.Errorf("the answer is %v", o)
	}
	await(t, "the server says: "+f.says, func() bool { return strings.Contains(s.i.Stderr.String()[said:], f.says) })
	s.standsStill(t, f, code)

	f.stop(t, s.i)
	s.disk.well()
	s.start()
	if left := kinds(t, s.i, mark); left != f.left {
		t.Errorf("the failure left %q in the log, want %q", left, f.left)
	}
	o, err = s.create(t)
	if err != nil {
		t.Fatalf("repeating the request: %v", err)
	}
	if code == "" {
		code = s.i.Code("sign", "“"+f.name+"”")
	}
	o, err = resumed(t, s.i, o.GetId(), code)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, vkey, certificate, o)
	if again, err := s.i.Authorize(o.GetId(), ""); err != nil || !proto.Equal(again, o) {
		t.Errorf("fetched again: %v, %v", again, err)
	}
	s.complete(t, f, mark, digest)
}

// standsStill: the disk is bad. Whatever has to be written is refused, also when the disk is well again, and nothing is
// shown of a signature.
func (s *failing) standsStill(t *testing.T, f diskFailure, code string) {
	t.Helper()
	for _, well := range []bool{false, true} {
		if well {
			s.disk.well()
		}
		o, err := s.create(t)
		if f.at == "create" {
			wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
		} else {
			if err != nil { // it was answered before: reading needs no disk
				t.Errorf("the created operation cannot be read: %v", err)
			}
			if len(o.GetItems()[0].GetSignature()) != 0 || len(o.GetReceipt()) != 0 {
				t.Errorf("released without evidence: %v", o)
			}
			if _, err = s.i.Authorize(o.GetId(), code); err == nil {
				t.Error("authorised without a log")
			}
		}
		_, err = s.i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(s.credential, "another", "another"))
		wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
		h, err := healthpb.NewHealthClient(s.i.Documents()).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "store"})
		if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health says %v, %v", h.GetStatus(), err)
		}
	}
}

// complete counts what happened to the operation in all.
func (s *failing) complete(t *testing.T, f diskFailure, mark int64, digest []byte) {
	t.Helper()
	entries := logFrom(s.i, mark)
	want := map[string]int{
		"signing.requested": 1, "code.requested": 1, "code.accepted": 1, "signing.activated": 1, "signing.signed": 1,
		"signing.resumed": 0, "code.refused": 0, "signing.withheld": 0, "integrity.alarm": 0,
	}
	if f.resumed {
		want["signing.resumed"] = 1
	}
	for kind, n := range want {
		if got := count(entries, kind); got != n {
			t.Errorf("%d entries %s, want %d", got, kind, n)
		}
	}
	if n := signedDigests(t, s.spy)[string(digest)]; n != f.signed {
		t.Errorf("the key signed %d times, want %d", n, f.signed)
	}
}

// settled waits until no message waits to be sent: nobody else writes to the database then.
func settled(t testing.TB, i *system.Installation) {
	t.Helper()
	db := newWriter(t, i)
	defer func() { _ = db.Close() }()
	await(t, "all messages are sent", func() bool {
		var waiting int
		if err := db.QueryRow("SELECT COUNT(*) FROM outbox").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting == 0
	})
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !so() {
		select {
		case <-t.Context().Done():
		case <-time.After(2 * time.Millisecond):
		}
		if t.Context().Err() != nil || time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// hashes asks for bare signatures over the hashes of texts.
func hashes(credential, title string, texts ...string) *pb.CreateSigningOperationRequest {
	r := &pb.CreateSigningOperationRequest{RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en"}
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		r.Items = append(r.Items, &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: raw})
	}
	return r
}

// signedDigests counts, in the spy's files, how often the token signed each digest.
func signedDigests(t testing.TB, files ...string) map[string]int {
	t.Helper()
	signed := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for call := range strings.SplitSeq(string(text), "\n\n") {
			if strings.Contains(call, ": C_Sign\n") && strings.Contains(call, "Returned:  0 CKR_OK") {
				signed[string(dump(t, call, "pData"))]++
			}
		}
	}
	return signed
}

// TestDatabaseLocked: another program holds the write lock of the database for longer than the engine waits. Nothing
// happens meanwhile, reading goes on, and the same calls succeed afterwards.
func TestDatabaseLocked(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	vkey, certificate := public(t, i, credential)
	o, code := i.Operation(credential, "locked out", raw, "document")
	settled(t, i)
	before, err := i.Documents().Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	o = before.GetOperation() // the delivery of its code is told, too
	mark := logSize(t, i)
	request := hashes(credential, "created later", "document")
	calls := []func() error{
		func() error {
			_, err := i.Documents().Signing.CreateSigningOperation(i.Context(), request)
			return err
		},
		func() error {
			_, err := i.Authorize(o.GetId(), code)
			return err
		},
	}

	lock, err := newWriter(t, i).Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range parallel(len(calls), func(k int) error { return calls[k]() }) {
		wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
	}
	a, err := i.Documents().Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()})
	if err != nil || !proto.Equal(a.GetOperation(), o) {
		t.Errorf("while the database is locked: %v, %v; was %v", a.GetOperation(), err, o)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}

	for _, call := range calls {
		if err := call(); err != nil {
			t.Errorf("once the lock is released: %v", err)
		}
	}
	o, err = i.Authorize(o.GetId(), "")
	if err != nil {
		t.Fatal(err)
	}
	judge(t, vkey, certificate, o)
	want := "SigningRequested CodeRequested CodeAccepted SigningActivated SigningSigned"
	if told := kinds(t, i, mark); told != want {
		t.Errorf("the log tells %q, want %q", told, want)
	}
	endRun(t, i)
}

// TestSpoolFull uploads a document larger than a file of the server may become. It is refused and nothing is kept;
// signing goes on, and the same document is taken when there is room.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	const room, size = 8 << 20, 9 << 20 // the database and its journal stay below
	document := bytes.Repeat([]byte("document"), size/8)
	upload := func() (*pb.Document, error) {
		return i.Documents().Upload(i.Context(), "large.pdf", bytes.NewReader(document), func(int64) {})
	}
	spooled := func() int {
		files, err := filepath.Glob(i.Path("data", "spool", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	var former unix.Rlimit
	if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, nil, &former); err != nil {
		t.Fatal(err)
	}
	lower := unix.Rlimit{Cur: room, Max: former.Max}
	if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, &lower, nil); err != nil {
		t.Fatal(err)
	}
	_, err := upload()
	wantRefusal(t, err, codes.Unavailable, "STORE_UNAVAILABLE", "")
	await(t, "nothing of the document is kept", func() bool { return spooled() == 0 })
	o, code := i.Operation(credential, "meanwhile", raw, "document")
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Errorf("signing a hash while the spool is full: %v", err)
	}
	if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, &former, nil); err != nil {
		t.Fatal(err)
	}
	d, err := upload()
	sum := sha256.Sum256(document)
	if err != nil || !bytes.Equal(d.GetSha256(), sum[:]) || spooled() != 1 {
		t.Errorf("with room again: %v, %v, %d files", d, err, spooled())
	}
	endRun(t, i)
}

// TestFirstStartOnBadDisk lets the disk fail at each commit with which the first start makes the database. What is left
// is never in the way of the next start.
func TestFirstStartOnBadDisk(t *testing.T) {
	t.Parallel()
	i, d := system.New(t, build.Program(t)), newDisk(t)
	for commits := 0; ; commits++ {
		if err := os.RemoveAll(i.Path("data")); err != nil {
			t.Fatal(err)
		}
		d.fails(commits, syscall.ENOSPC, syscall.EIO)
		i.TryStart(d.env()...)
		failed := i.Stop() != 0
		d.well()
		i.Start()
		if code := i.Stop(); code != 0 {
			t.Errorf("after a failure at commit %d the next server ended with code %d", commits, code)
		}
		switch {
		case !failed && commits < 5:
			t.Fatalf("no failure although only %d commits succeed", commits)
		case !failed:
			return
		}
	}
}
