package audit_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/audit"
)

const origin = "log.example.com/test"

// hashes is a tree's storage; it counts calls, so that tests see how often a tree is read.
type hashes struct {
	list  []tlog.Hash
	calls int
}

func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	h.calls++
	var out []tlog.Hash
	for _, i := range indexes {
		if i < 0 || i >= int64(len(h.list)) {
			return nil, fmt.Errorf("hash %d of %d", i, len(h.list))
		}
		out = append(out, h.list[i])
	}
	return out, nil
}

func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) }

func signerFor(t rapid.TB, key crypto.Signer) (*audit.NoteSigner, string) {
	t.Helper()
	s, err := audit.NewNoteSigner(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := audit.VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

func entry(t rapid.TB, n int) []byte {
	t.Helper()
	b, err := audit.Encode(time.UnixMicro(int64(n)+1), audit.NoticeSent{Subject: fmt.Sprintf("cred-%d", n), Kind: "signed"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGrow holds Grow to package tlog, which grows a tree entry by entry, for batches of all sizes.
func TestGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ours, theirs := &hashes{}, &hashes{}
		var edge audit.CompactRange
		size := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			batch := make([][]byte, rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, 700)).Draw(t, "entries"))
			for i := range batch {
				batch[i] = fmt.Appendf(nil, "entry %d", size+int64(i))
				stored, err := tlog.StoredHashes(size+int64(i), batch[i], theirs)
				if err != nil {
					t.Fatal(err)
				}
				theirs.list = append(theirs.list, stored...)
				edge.Add(tlog.RecordHash(batch[i]))
			}
			ours.calls = 0
			stored, root, err := audit.Grow(size, ours, batch)
			if err != nil {
				t.Fatal(err)
			}
			if ours.calls > 1 {
				t.Fatalf("%d reads", ours.calls)
			}
			if int64(len(ours.list)) != tlog.StoredHashCount(size) {
				t.Fatal("stored hashes do not start where they should")
			}
			ours.list = append(ours.list, stored...)
			size += int64(len(batch))
			want, err := tlog.TreeHash(size, theirs)
			if err != nil {
				t.Fatal(err)
			}
			if root != want || edge.Root() != want || fmt.Sprint(ours.list) != fmt.Sprint(theirs.list) {
				t.Fatalf("tree of %d differs", size)
			}
		}
	})
}

func TestGrowFails(t *testing.T) {
	broken := tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, io.ErrUnexpectedEOF })
	short := tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, nil })
	if _, _, err := audit.Grow(5, broken, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for _, size := range []int64{-1, 5, 1 << 51} {
		if _, _, err := audit.Grow(size, short, nil); err == nil {
			t.Errorf("size %d", size)
		}
	}
}

// build returns a log of n entries with a signed head for each of the given sizes.
func build(t rapid.TB, s audit.HeadSigner, n int, sizes ...int) (*hashes, [][]byte, [][]byte) {
	t.Helper()
	var entries [][]byte
	for i := range n {
		entries = append(entries, entry(t, i))
	}
	stored, _, err := audit.Grow(0, nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	tree := &hashes{list: stored}
	var heads [][]byte
	for _, size := range sizes {
		root, err := tlog.TreeHash(int64(size), tree)
		if err != nil {
			t.Fatal(err)
		}
		head, err := s.SignHead(context.Background(), int64(size), root)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	return tree, entries, heads
}

func TestReceipts(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "size")
		i := rapid.IntRange(0, n-1).Draw(t, "index")
		tree, entries, heads := build(t, s, n, n)
		r, err := audit.NewReceipt(tree, int64(n), int64(i), entries[i], heads[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(vkey); err != nil {
			t.Fatal(err)
		}
		text := r.Marshal()
		again, err := audit.ParseReceipt(text)
		if err != nil || !bytes.Equal(again.Marshal(), text) || again.Verify(vkey) != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		changed := bytes.Clone(text)
		at := rapid.IntRange(0, len(text)-1).Draw(t, "byte")
		changed[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if r, err := audit.ParseReceipt(changed); err == nil {
			if err := r.Verify(vkey); err == nil {
				t.Fatalf("accepted with byte %d changed:\n%s", at, changed)
			}
		}
	})
}

func TestEveryBitOfAReceiptCounts(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	tree, entries, heads := build(t, s, 6, 6)
	r, err := audit.NewReceipt(tree, 6, 2, entries[2], heads[0])
	if err != nil {
		t.Fatal(err)
	}
	text := r.Marshal()
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			if r, err := audit.ParseReceipt(text); err == nil && r.Verify(vkey) == nil {
				t.Errorf("accepted:\n%s", text)
			}
			text[i] ^= 1 << bit
		}
	}
	if r, err := audit.ParseReceipt(text); err != nil || r.Verify(vkey) != nil {
		t.Fatal("the test spoiled its receipt")
	}
}

func TestReceiptRefuses(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	_, otherKey := signerFor(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
	tree, entries, heads := build(t, s, 9, 9, 8)
	good, err := audit.NewReceipt(tree, 9, 4, entries[4], heads[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Verify(otherKey); !errors.Is(err, audit.ErrReceipt) {
		t.Errorf("other log's key: %v", err)
	}
	if err := good.Verify("no key"); !errors.Is(err, audit.ErrHeadKey) {
		t.Errorf("no key: %v", err)
	}
	for name, change := range map[string]func(*audit.Receipt){
		"other entry":    func(r *audit.Receipt) { r.Entry = entries[5] },
		"other index":    func(r *audit.Receipt) { r.Index = 5 },
		"negative index": func(r *audit.Receipt) { r.Index = -1 },
		"index beyond":   func(r *audit.Receipt) { r.Index = 9 },
		"other head":     func(r *audit.Receipt) { r.Head = heads[1] },
		"no head":        func(r *audit.Receipt) { r.Head = nil },
		"no proof":       func(r *audit.Receipt) { r.Proof = nil },
		"longer proof":   func(r *audit.Receipt) { r.Proof = append(r.Proof[:len(r.Proof):len(r.Proof)], tlog.Hash{}) },
	} {
		r := good
		change(&r)
		if err := r.Verify(vkey); !errors.Is(err, audit.ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := audit.NewReceipt(tree, 9, 9, entries[4], heads[0]); err == nil {
		t.Error("a receipt for an entry that is not there")
	}
	foreign, _, err := audit.Grow(0, nil, [][]byte{[]byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.SignHead(t.Context(), 1, foreign[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := (audit.Receipt{Entry: []byte("hello"), Head: head}).Verify(vkey); !errors.Is(err, audit.ErrEntry) {
		t.Errorf("an entry that is not ours: %v", err)
	}
	if _, err := audit.ParseReceipt(bytes.Repeat([]byte("x"), 1<<20)); !errors.Is(err, audit.ErrReceipt) {
		t.Errorf("a megabyte: %v", err)
	}
}

func FuzzParseReceipt(f *testing.F) {
	key := testKey()
	s, err := audit.NewNoteSigner(origin, key)
	if err != nil {
		f.Fatal(err)
	}
	vkey, err := audit.VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		f.Fatal(err)
	}
	e, err := audit.Encode(time.Unix(1, 0), audit.ServiceStopped{})
	if err != nil {
		f.Fatal(err)
	}
	stored, root, err := audit.Grow(0, nil, [][]byte{e, e, e})
	if err != nil {
		f.Fatal(err)
	}
	head, err := s.SignHead(f.Context(), 3, root)
	if err != nil {
		f.Fatal(err)
	}
	r, err := audit.NewReceipt(&hashes{list: stored}, 3, 1, e, head)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Marshal())
	f.Add(r.Marshal()[:100])
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := audit.ParseReceipt(text)
		if err != nil {
			return
		}
		if !bytes.Equal(got.Marshal(), text) {
			t.Fatalf("two spellings:\n%s\n%s", text, got.Marshal())
		}
		if got.Verify(vkey) == nil && !bytes.Equal(got.Entry, e) {
			t.Fatalf("proves what is not in the log:\n%s", text)
		}
	})
}

// device is a key whose answers a test decides.
type device struct {
	ed25519.PrivateKey
	sign func() ([]byte, error)
}

func (d device) Sign(r io.Reader, msg []byte, o crypto.SignerOpts) ([]byte, error) {
	if d.sign != nil {
		return d.sign()
	}
	return d.PrivateKey.Sign(r, msg, o)
}

func TestHeadOpensWithPackageNote(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	_, _, heads := build(t, s, 3, 3)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(heads[0], note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	h, err := audit.OpenHead(vkey, heads[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := origin + "\n3\n" + h.Root.String() + "\n"; n.Text != want || h.Size != 3 || h.Origin != origin {
		t.Errorf("%q, %+v", n.Text, h)
	}
}

func TestEveryBitOfAHeadCounts(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	_, _, heads := build(t, s, 3, 3)
	head := heads[0]
	for i := range head {
		for bit := range 8 {
			head[i] ^= 1 << bit
			if _, err := audit.OpenHead(vkey, head); !errors.Is(err, audit.ErrHead) {
				t.Errorf("byte %d, bit %d: %v", i, bit, err)
			}
			head[i] ^= 1 << bit
		}
	}
	line := head[bytes.LastIndex(bytes.TrimSpace(head), []byte("\n"))+1:]
	if _, err := audit.OpenHead(vkey, append(bytes.Clone(head), line...)); !errors.Is(err, audit.ErrHead) {
		t.Errorf("repeated signature line: %v", err)
	}
	witness := "— witness.example " + base64.StdEncoding.EncodeToString(make([]byte, 76)) + "\n"
	if _, err := audit.OpenHead(vkey, append(bytes.Clone(head), witness...)); err != nil {
		t.Errorf("cosigned head: %v", err)
	}
}

func TestHeadTexts(t *testing.T) {
	key := testKey()
	_, vkey := signerFor(t, key)
	skey, err := noteSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	root := tlog.RecordHash(nil).String()
	for text, good := range map[string]bool{
		origin + "\n0\n" + root + "\n":                      true,
		origin + "\n1125899906842624\n" + root + "\n":       true,
		origin + "\n1125899906842625\n" + root + "\n":       false,
		origin + "\n9223372036854775807\n" + root + "\n":    false,
		origin + "\n01\n" + root + "\n":                     false,
		origin + "\n+1\n" + root + "\n":                     false,
		origin + "\n-1\n" + root + "\n":                     false,
		origin + "\n\n" + root + "\n":                       false,
		origin + "\n1\n" + root[:40] + "\n":                 false,
		origin + "\n1\n" + root + "\nextension\n":           false,
		origin + "\n1\n":                                    false,
		"other.example.com\n1\n" + root + "\n":              false,
		origin + "\n1\n" + root[:42] + "p=\n":               false, // spare bits
		origin + "\n1\n" + strings.Repeat("A", 40) + "==\n": false,
	} {
		signed, err := note.Sign(&note.Note{Text: text}, skey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenHead(vkey, signed); good != (err == nil) || !good && !errors.Is(err, audit.ErrHead) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := audit.OpenHead(vkey, make([]byte, 1<<20)); !errors.Is(err, audit.ErrHead) {
		t.Error(err)
	}
}

// noteSigner makes package note's own signer of a key, for heads that ours would not sign.
func noteSigner(key ed25519.PrivateKey) (note.Signer, error) {
	vkey, err := audit.VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	hash := strings.Split(vkey, "+")[1]
	return note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
}

func TestNoteSignerRefuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewNoteSigner(origin, weak); !errors.Is(err, audit.ErrHeadKey) {
		t.Errorf("RSA: %v", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "a\x01b", "a\u00a0b", "\xff"} {
		if _, err := audit.NewNoteSigner(name, testKey()); !errors.Is(err, audit.ErrHeadKey) {
			t.Errorf("%q: %v", name, err)
		}
	}
	lost := errors.New("device lost")
	s, _ := signerFor(t, device{testKey(), func() ([]byte, error) { return nil, lost }})
	if _, err := s.SignHead(t.Context(), 1, tlog.Hash{}); !errors.Is(err, lost) {
		t.Error(err)
	}
	s, _ = signerFor(t, device{testKey(), func() ([]byte, error) { return make([]byte, 64), nil }})
	if _, err := s.SignHead(t.Context(), 1, tlog.Hash{}); !errors.Is(err, audit.ErrHeadKey) {
		t.Errorf("a wrong signature: %v", err)
	}
}

// TestHangingDevice: the writer gets its deadline, at most one call hangs, and the signer recovers.
func TestHangingDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, calls := make(chan struct{}), 0
		key := testKey()
		d := device{PrivateKey: key}
		d.sign = func() ([]byte, error) { calls++; <-release; return nil, errors.New("too late") }
		s, _ := signerFor(t, d)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := s.SignHead(ctx, 1, tlog.Hash{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		close(release)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
		if _, err := s.SignHead(t.Context(), 1, tlog.Hash{}); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the device answered: %v", err)
		}
	})
}

func TestConsistency(t *testing.T) {
	s, vkey := signerFor(t, testKey())
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "new")
		m := rapid.IntRange(0, n).Draw(t, "old")
		tree, _, heads := build(t, s, n, m, n)
		proof, err := audit.ProveConsistency(tree, int64(m), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.VerifyConsistency(vkey, heads[0], heads[1], proof); err != nil {
			t.Fatalf("%d to %d: %v", m, n, err)
		}
		if m < n {
			if err := audit.VerifyConsistency(vkey, heads[1], heads[0], proof); !errors.Is(err, audit.ErrBehind) {
				t.Fatalf("backwards: %v", err)
			}
		}
		forged, err := s.SignHead(context.Background(), int64(m), tlog.Hash{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.VerifyConsistency(vkey, forged, heads[1], proof); !errors.Is(err, audit.ErrForked) {
			t.Fatalf("forked: %v", err)
		}
	})
	if err := audit.VerifyConsistency(vkey, nil, nil, nil); !errors.Is(err, audit.ErrHead) {
		t.Error(err)
	}
}
