package server

import (
	"testing"

	"github.com/ecsigner/ecsigner/credential"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
)

// TestAlgorithmsCrossTheEdge: each key and each scheme has a value of its own in the proto, and each value but the unspecified one
// means one of them.
func TestAlgorithmsCrossTheEdge(t *testing.T) {
	keys, schemes := 0, 0
	for _, a := range credential.Algorithms() {
		if keys++; algorithmOf(a) == 0 || algorithm(algorithmOf(a)) != a {
			t.Errorf("%s becomes %v and that %q", a, algorithmOf(a), algorithm(algorithmOf(a)))
		}
		for _, s := range a.Schemes() {
			if schemes++; schemeOf(s) == 0 || scheme(schemeOf(s)) != s {
				t.Errorf("%s becomes %v and that %q", s, schemeOf(s), scheme(schemeOf(s)))
			}
		}
	}
	if keys != len(pb.KeyAlgorithm_name)-1 || schemes != len(pb.SignatureAlgorithm_name)-1 {
		t.Errorf("%d keys and %d schemes", keys, schemes)
	}
	if algorithm(99) != "" || scheme(99) != "" || algorithmOf("x") != 0 || schemeOf("x") != 0 {
		t.Error("something unknown has a meaning")
	}
}

// A mistake in a hash is told of the field in which it was given.
func TestFieldOfAHash(t *testing.T) {
	items := []*pb.SigningItemRequest{
		{Source: &pb.SigningItemRequest_Sha256{Sha256: make([]byte, 32)}},
		{Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 48)}},
		{Source: &pb.SigningItemRequest_DocumentId{DocumentId: "doc-1"}},
	}
	for name, want := range map[string]string{
		"items[0].hash": "items[0].sha256", "items[1].hash": "items[1].digest", "items[2].hash": "items[2].sha256",
		"items[3].hash": "items[3].sha256", "items[x].hash": "items[x].sha256", "items[2].document": "items[2].document_id",
		"items[1].options.mime_type": "items[1].options.mime_type", "items[1].level": "items[1].level", "hash": "hash",
		"credential": "credential_id", "items[0].nothing": "items[0].nothing",
	} {
		if got := fieldPath(name, &pb.CreateSigningOperationRequest{Items: items}); got != want {
			t.Errorf("%s is told of %s, want %s", name, got, want)
		}
	}
	if got := fieldPath("items[0].hash", &pb.CreateSigningOperationRequest{}); got != "items[0].sha256" {
		t.Errorf("of no items: %s", got)
	}
}

// Fields that say SHA-256 hold nothing else; the new ones hold whatever is shown.
func TestDigestsOfAnOperation(t *testing.T) {
	for _, n := range []int{32, 48, 64} {
		o := operationOf(signer.View{Documents: make([]byte, n), Items: []signer.ItemView{{Digest: make([]byte, n), Format: signer.Raw}}})
		older := 0
		if n == 32 {
			older = 32
		}
		if len(o.GetDocumentsDigest()) != n || len(o.GetDocumentsSha256()) != older || len(o.GetItems()[0].GetDigest()) != n ||
			len(o.GetItems()[0].GetSha256()) != older {
			t.Errorf("of %d bytes: %v", n, o)
		}
	}
}
