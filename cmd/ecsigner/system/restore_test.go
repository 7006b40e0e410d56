package system_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/restore"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// backedUp makes a backup and returns its directory.
func backedUp(t testing.TB, i *system.Installation) string {
	t.Helper()
	var said string
	await(t, "a backup is made", func() bool { // names have seconds; none is overwritten
		var err error
		said, err = i.Try("backup", "--config", i.Path("ecsigner.yaml"), "--to", i.Path("backups"))
		if err != nil && !strings.Contains(said, "file already exists") {
			t.Fatalf("%v\n%s", err, said)
		}
		return err == nil
	})
	dir, _, _ := strings.Cut(said, ": ")
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return dir
}

// loseDatabase takes database and head file away and returns a copy of the published log elsewhere.
func loseDatabase(t testing.TB, i *system.Installation) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if err := os.CopyFS(log, os.DirFS(i.Path("data", "log"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(i.Path("data")); err != nil {
		t.Fatal(err)
	}
	return log
}

// restored runs a restore and returns its report.
func restored(t testing.TB, i *system.Installation, backup, log string) restore.Report {
	t.Helper()
	said := i.Run("restore", "--dir", i.Dir, "--backup", backup, "--log", log)
	_, file, ok := strings.Cut(said, "\nreport: ")
	text, err := os.ReadFile(strings.TrimSpace(file))
	var r restore.Report
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if !ok || err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return r
}

// revokedSerials are those on the revocation list of persons' certificates.
func revokedSerials(t testing.TB, i *system.Installation) []string {
	t.Helper()
	a, err := i.Documents().CA.GetCrl(t.Context(), &pb.GetCrlRequest{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(a.GetCrl())
	if err != nil {
		t.Fatal(err)
	}
	var serials []string
	for _, e := range list.RevokedCertificateEntries {
		serials = append(serials, fmt.Sprintf("%x", e.SerialNumber.Bytes()))
	}
	return serials
}

func voucher(t testing.TB, i *system.Installation) string {
	t.Helper()
	v, err := i.Operator().Admin.CreateVouchers(t.Context(), &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: 1, ExpireTime: timestamppb.New(timestamppb.Now().AsTime().AddDate(1, 0, 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v.GetCodes()[0]
}

func redeem(t testing.TB, i *system.Installation, code string) error {
	t.Helper()
	_, err := i.Portal().Enrolment.CreateEnrolment(t.Context(), &pb.CreateEnrolmentRequest{RequestId: client.RequestID(), VoucherCode: code, Language: "uk"})
	return err
}

// TestTrustRestore loses the database of a service that went on after its backup, and restores it from the backup and the
// published log: whatever happened in between still counts, and what is gone is named.
func TestTrustRestore(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	lasting, revoked, locked := i.Credential(1), i.Credential(2), i.Credential(3)
	vkey, certificate := public(t, i, lasting)
	_, revokedCertificate := public(t, i, revoked)
	before, code := i.Operation(lasting, "before the backup", raw, "one")
	before, err := i.Authorize(before.GetId(), code)
	if err != nil {
		t.Fatal(err)
	}
	open, openCode := i.Operation(lasting, "open at the backup", raw, "two")
	answered, answeredCode := i.Operation(lasting, "answered after the backup", raw, "three")
	waiting, agreement := i.Enrolment(4)
	accept := i.Accept(waiting, agreement)
	moving, reference := i.Proofing(5)
	finished, its := i.Enrolment(7)
	finish := i.Accept(finished, its)
	oldVoucher := voucher(t, i)
	i.Client("archive", pb.Role_ROLE_DOCUMENTS)
	backup := backedUp(t, i)

	// What the backup lacks.
	if _, err := i.Authorize(answered.GetId(), answeredCode); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Identity().Enrolment.ReportIdentityResult(t.Context(), Proven(5, moving, reference)); err != nil {
		t.Fatal(err)
	}
	done, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), finish)
	if err != nil {
		t.Fatal(err)
	}
	i.Documents()
	i.Grant(done.GetEnrolment().GetCredentialId(), "documents")
	_, finishedCertificate := public(t, i, done.GetEnrolment().GetCredentialId())
	if err := redeem(t, i, oldVoucher); err != nil {
		t.Fatal(err)
	}
	newVoucher := voucher(t, i)
	issued := i.Credential(6)
	_, lostCertificate := public(t, i, issued)
	i.Grant(locked, "archive")
	if _, err := i.Operator().Credential.RevokeCredential(t.Context(), &pb.RevokeCredentialRequest{
		RequestId: client.RequestID(), CredentialId: revoked, Reason: pb.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE,
	}); err != nil {
		t.Fatal(err)
	}
	var after *pb.SigningOperation
	for range 2 { // 3 + 2 wrong codes lock
		var right string
		after, right = i.Operation(locked, "locks", raw, "four")
		for range 3 {
			_, _ = i.Authorize(after.GetId(), wrong(right))
		}
	}
	size := logSize(t, i)
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	lostRow := newWriter(t, i).get("credentials", issued)
	log := loseDatabase(t, i)
	r := restored(t, i, backup, log)
	if r.Recovered < size || r.Epoch != 2 || r.Bindings != 3 || r.Backup >= size {
		t.Errorf("the report says %+v, the log had %d entries", r, size)
	}
	for _, id := range []string{issued, moving, finished, done.GetEnrolment().GetCredentialId(), answered.GetId(), after.GetId()} {
		if !slices.ContainsFunc(r.Lost, func(l restore.Loss) bool { return l.ID == id && l.Do != "" }) {
			t.Errorf("the report does not name %s as lost", id)
		}
	}
	if out, err := i.Try("restore", "--dir", i.Dir, "--backup", backup, "--log", log); err == nil || !strings.Contains(out, "never overwrites") {
		t.Errorf("restored again over a database: %v\n%s", err, out)
	}

	if len(r.Replayed.Destroyed) != 1 || r.Replayed.Destroyed[0] != revoked {
		t.Errorf("keys that stay destroyed: %v, want %s", r.Replayed.Destroyed, revoked)
	}
	if key, _ := newWriter(t, i).get("credentials", revoked)["wrapped_key"].([]byte); len(key) != 0 {
		t.Error("the key of the revoked credential came back")
	}

	i.Start()
	from := r.Recovered
	// What was there before is there, and works.
	o, err := i.Documents().Signing.GetSigningOperation(t.Context(), &pb.GetSigningOperationRequest{OperationId: before.GetId()})
	if err != nil || !bytes.Equal(o.GetOperation().GetReceipt(), before.GetReceipt()) {
		t.Errorf("the receipt from before: %v, %v", o, err)
	}
	judge(t, vkey, certificate, before)
	judge(t, vkey, certificate, o.GetOperation())
	fresh, code := i.Operation(lasting, "after the restore", raw, "five")
	fresh, err = i.Authorize(fresh.GetId(), code)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, vkey, certificate, fresh)
	// What was revoked is revoked, and so is what is gone.
	serials := revokedSerials(t, i)
	for _, c := range []*x509.Certificate{revokedCertificate, lostCertificate, finishedCertificate} {
		if !slices.Contains(serials, fmt.Sprintf("%x", c.SerialNumber.Bytes())) {
			t.Errorf("%x is not on the revocation list %v", c.SerialNumber, serials)
		}
	}
	_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(revoked, "revoked", "six"))
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	// Codes from before are dead; nothing is signed twice.
	_, err = i.Authorize(open.GetId(), openCode)
	wantRefusal(t, err, codes.FailedPrecondition, "WRONG_STATE", "")
	_, err = i.Authorize(answered.GetId(), answeredCode)
	wantRefusal(t, err, codes.NotFound, "RECORD_LOST", "")
	_, err = i.Authorize(after.GetId(), "123456")
	wantRefusal(t, err, codes.NotFound, "RECORD_LOST", "")
	_, err = i.Operator().Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: issued})
	wantRefusal(t, err, codes.NotFound, "RECORD_LOST", "")
	// The lock holds, and so does the access that was given.
	if _, err := i.Client("archive", pb.Role_ROLE_DOCUMENTS).Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: locked}); err != nil {
		t.Error(err)
	}
	_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(locked, "locked", "seven"))
	wantRefusal(t, err, codes.FailedPrecondition, "CODES_LOCKED", "")
	// Vouchers are redeemed once.
	wantRefusal(t, redeem(t, i, oldVoucher), codes.FailedPrecondition, "VOUCHER_USED", "")
	wantRefusal(t, redeem(t, i, newVoucher), codes.NotFound, "VOUCHER_UNKNOWN", "")
	// An enrolment that stood still goes on with a new code, one that moved does not.
	_, err = i.Portal().Enrolment.AcceptAgreement(t.Context(), accept)
	wantRefusal(t, err, codes.FailedPrecondition, "WRONG_STATE", "")
	if _, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), i.Accept(waiting, agreement)); err != nil {
		t.Error(err)
	}
	for _, id := range []string{moving, finished} {
		e, err := i.Portal().Enrolment.GetEnrolment(t.Context(), &pb.GetEnrolmentRequest{EnrolmentId: id})
		if err != nil || e.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_CANCELLED {
			t.Errorf("the enrolment that went on: %v, %v", e, err)
		}
	}

	told := logFrom(i, from)
	if count(told, "service.restored") != 1 || count(told, "integrity.alarm") != 0 || count(told, "signing.closed", "operation", open.GetId()) != 1 {
		t.Errorf("the log tells %v", told)
	}
	// Who finds the lost database and puts a row of it back revives nothing.
	db := newWriter(t, i)
	columns := slices.Sorted(maps.Keys(lostRow))
	var values []any
	for _, c := range columns {
		values = append(values, lostRow[c])
	}
	db.run("INSERT INTO credentials ("+strings.Join(columns, ", ")+") VALUES (?"+strings.Repeat(", ?", len(columns)-1)+")", values...)
	db.run("INSERT INTO grants (credential, client, created_at) VALUES (?, 'documents', 1)", issued)
	_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(issued, "put back", "eight"))
	wantTampered(t, err)
	endRun(t, i)
}

// Proven is that of package system; the name is short in stories.
func Proven(n int, id, reference string) *pb.ReportIdentityResultRequest {
	return system.Proven(n, id, reference)
}
