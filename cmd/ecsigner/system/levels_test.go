package system_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

const (
	levelT   = pb.SignatureLevel_SIGNATURE_LEVEL_B_T
	levelLTA = pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA
	ready    = pb.LevelState_LEVEL_STATE_READY
	pending  = pb.LevelState_LEVEL_STATE_PENDING
)

// withAuthority gives an installation a time-stamping authority in this process, whose revocation lists it may fetch.
func withAuthority(t *testing.T, i *system.Installation) *tsptest.TSA {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	address := "http://" + server.Listener.Addr().String()
	tsa, err := tsptest.New(tsptest.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = tsa.Handler()
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	root := tsa.CACertificates()[1].Raw
	write(t, i.Path("tsa.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})), 0o600)
	configure(t, i, "authorities: []", fmt.Sprintf("authorities: [{name: test, url: %q, trust_file: tsa.pem, timeout: 1s}]", address))
	configure(t, i, "hosts: []\n", "hosts: [127.0.0.1]\n")
	configure(t, i, "ports: [80, 443]", "ports: ["+u.Port()+"]")
	configure(t, i, "inside: []", "inside: [127.0.0.0/8]")
	return tsa
}

// raised asks for a PDF and a hash at a level, and returns the signed operation.
func (s *signings) raised(t *testing.T, title string, level pb.SignatureLevel) *pb.SigningOperation {
	t.Helper()
	r := s.request(t, title)
	r.Items = r.Items[:2]
	for _, it := range r.Items {
		it.Level = level
	}
	o, err := s.create(t, r)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = s.i.Authorize(o.GetId(), s.i.Code("sign", "“"+title+"”")); err != nil {
		t.Fatal(err)
	}
	return o
}

// awaitLevels waits until every level is in a state.
func (s *signings) awaitLevels(t *testing.T, id string, state pb.LevelState) *pb.SigningOperation {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		o := s.get(t, id)
		all := true
		for _, it := range o.GetItems() {
			for _, l := range it.GetLevels() {
				all = all && l.GetState() == state
			}
		}
		if all {
			return o
		}
		if time.Now().After(end) {
			t.Fatalf("levels are not all %s: %v", state, o.GetItems())
		}
	}
}

func (s *signings) artefact(t *testing.T, id string, item uint32, level pb.SignatureLevel, content pb.ArtifactContent) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.i.Documents().DownloadLevel(t.Context(), id, item, level, content, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCrashLevels kills the server right after each numbered step of raising a signature: the level is made after the restart,
// once, the signature keeps its bytes, and the key signs no more.
func TestCrashLevels(t *testing.T) {
	steps := numbered(t, "../../../augment")
	if len(steps) != 4 {
		t.Fatalf("steps %v need a case each", steps)
	}
	s := newSignings(t)
	tsa := withAuthority(t, s.i)
	s.i.Start()
	for _, step := range steps {
		t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			s.i.Within(t)
			tsa.Misbehave(tsptest.Faults{Stall: true})
			s.i.Start()
			mark := logSize(t, s.i)
			title := fmt.Sprintf("crash at %d", step)
			o := s.raised(t, title, levelT)
			before := s.artefact(t, o.GetId(), 0, pb.SignatureLevel_SIGNATURE_LEVEL_B_B, pb.ArtifactContent_ARTIFACT_CONTENT_FULL)
			s.i.Kill()
			tsa.Misbehave(tsptest.Faults{})
			s.i.TryStart(failpoint("raise", step)) // it may be killed before it says that it serves
			s.i.AwaitEnd()
			s.i.Start()
			got := s.awaitLevels(t, o.GetId(), ready)
			for k, it := range got.GetItems() {
				l := it.GetLevels()[0]
				sum := sha256.Sum256(s.artefact(t, o.GetId(), uint32(k), levelT, pb.ArtifactContent_ARTIFACT_CONTENT_TAIL)) //nolint:gosec // 0 or 1
				if !bytes.Equal(sum[:], l.GetSha256()) {
					t.Errorf("item %d: %x, announced %x", k, sum, l.GetSha256())
				}
			}
			if !bytes.Equal(s.artefact(t, o.GetId(), 0, pb.SignatureLevel_SIGNATURE_LEVEL_B_B, pb.ArtifactContent_ARTIFACT_CONTENT_FULL), before) {
				t.Error("the signature has other bytes than before")
			}
			all := kinds(t, s.i, mark)
			if n := strings.Count(all, "ArtefactRecorded"); n != 2 || strings.Count(all, "SigningSigned") != 1 {
				t.Errorf("the log tells %q", all)
			}
			if _, err := s.i.Documents().Signing.CompleteSigningOperation(t.Context(), &pb.CompleteSigningOperationRequest{
				RequestId: client.RequestID(), OperationId: o.GetId(),
			}); err != nil {
				t.Error(err)
			}
		})
	}
	endRun(t, s.i)
}

// TestLevelsAndTheKey counts what the device signs with the signatory's key while the authority does what it must not.
func TestLevelsAndTheKey(t *testing.T) {
	for name, faults := range map[string]tsptest.Faults{
		"well": {}, "stalls": {Stall: true}, "garbage": {Body: []byte("no")}, "huge": {Size: 60_000}, "another imprint": {OtherImprint: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSignings(t)
			tsa := withAuthority(t, s.i)
			tsa.Misbehave(faults)
			s.i.Kill()
			file := startSpied(t, s.i)
			o := s.raised(t, "spied", levelLTA)
			if name == "well" || name == "huge" {
				s.awaitLevels(t, o.GetId(), ready)
			} else {
				s.awaitLevels(t, o.GetId(), pending)
				tsa.Misbehave(tsptest.Faults{})
				s.awaitLevels(t, o.GetId(), ready)
			}
			whole := s.artefact(t, o.GetId(), 0, levelLTA, pb.ArtifactContent_ARTIFACT_CONTENT_FULL)
			if !bytes.HasPrefix(whole, s.contract) || !bytes.Contains(whole, []byte("/DSS")) {
				t.Error("the PDF at B-LTA is not what it should be")
			}
			endRun(t, s.i)
			signed := 0
			for _, k := range usedKeys(t, file) {
				signed += k.signed
			}
			if signed != 2 {
				t.Errorf("the key signed %d times for 2 items", signed)
			}
		})
	}
}
