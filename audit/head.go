package audit

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxSize = 1 << 50   // entries; far above use, far below where the arithmetic of tiles and proofs overflows
	maxHead = 16 * 1024 // bytes of a signed head, with room for the lines of many witnesses
)

var (
	// ErrHead means that bytes are not a head signed by the expected log, or not written as a head is.
	ErrHead = errors.New("audit: not a signed head of this log")
	// ErrHeadKey means that the key cannot sign heads: not Ed25519, or a name unfit for a signed note.
	ErrHeadKey = errors.New("audit: not a key for heads")
	// ErrForked means that two heads of one log contradict each other, or that a head does not fit the entries.
	ErrForked = errors.New("audit: the log was rewritten")
	// ErrBehind means that a log ends before a head that was already given out.
	ErrBehind = errors.New("audit: the log was cut off or an old copy was put back")
)

// Head is the state of the log that one signature covers (c2sp.org/tlog-checkpoint).
type Head struct {
	Origin string    // name of the log
	Size   int64     // number of entries
	Root   tlog.Hash // of the RFC 6962 tree over them
}

// HeadSigner signs the head of the log. The store's writer calls it between the last unit of work and COMMIT, so it
// must respect ctx's deadline; an error means that no head exists. It may be called again for the same head.
type HeadSigner interface {
	SignHead(ctx context.Context, size int64, root tlog.Hash) ([]byte, error)
}

// NoteSigner signs heads as C2SP signed notes with an Ed25519 key that stays where it is, such as in an HSM.
type NoteSigner struct {
	origin   string
	key      crypto.Signer
	verifier note.Verifier
	turn     chan struct{} // holds one token: one call to the device at a time
}

// NewNoteSigner returns a signer for the log named origin, such as "log.example.com/ecsigner": it must not hold blanks
// or "+". Errors wrap [ErrHeadKey].
func NewNoteSigner(origin string, key crypto.Signer) (*NoteSigner, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T; make an Ed25519 key for the log", ErrHeadKey, key.Public())
	}
	vkey, err := VerifierKey(origin, pub)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeadKey, err)
	}
	return &NoteSigner{origin: origin, key: key, verifier: verifier, turn: make(chan struct{}, 1)}, nil
}

// VerifierKey returns the "vkey" by which auditors pin the log: origin, key hash and key (c2sp.org/signed-note).
// Errors wrap [ErrHeadKey].
func VerifierKey(origin string, pub ed25519.PublicKey) (string, error) {
	vkey, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHeadKey, err)
	}
	if _, err := note.NewVerifier(vkey); err != nil || strings.ContainsFunc(origin, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("%w: the name %q is empty or holds a blank or a plus sign", ErrHeadKey, origin)
	}
	return vkey, nil
}

// SignHead returns the signed note for the head. The signature is checked with the public key before it is returned.
// When ctx ends first the device's late answer is dropped; as long as it is outstanding, further calls wait for it or
// for their own ctx, so that at most one call hangs in the device.
func (s *NoteSigner) SignHead(ctx context.Context, size int64, root tlog.Hash) ([]byte, error) {
	text := headText(Head{Origin: s.origin, Size: size, Root: root})
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("audit: waiting for the log key: %w", ctx.Err())
	}
	type answer struct {
		sig []byte
		err error
	}
	done := make(chan answer, 1)
	go func() { // ends with the device's answer, which the device's own deadline bounds
		defer func() { <-s.turn }()
		sig, err := s.key.Sign(nil, []byte(text), crypto.Hash(0))
		done <- answer{sig, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("audit: signing the head: %w", ctx.Err())
	case a := <-done:
		if a.err != nil {
			return nil, fmt.Errorf("audit: signing the head: %w", a.err)
		}
		if !s.verifier.Verify([]byte(text), a.sig) {
			return nil, fmt.Errorf("%w: the device returned a signature that its public key refuses", ErrHeadKey)
		}
		return note.Sign(&note.Note{Text: text}, made{s.verifier, a.sig})
	}
}

// made gives package note a signature that exists already.
type made struct {
	note.Verifier
	sig []byte
}

func (m made) Sign([]byte) ([]byte, error) { return m.sig, nil }

// OpenHead verifies a signed head with the log's vkey and returns what it says. It accepts one spelling only; lines of
// signatures by others, such as witnesses, are allowed and not judged. Errors wrap [ErrHead] or [ErrHeadKey].
func OpenHead(vkey string, signed []byte) (Head, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Head{}, fmt.Errorf("%w: the log's key is not a verifier key name+hash+key", ErrHeadKey)
	}
	if len(signed) > maxHead {
		return Head{}, fmt.Errorf("%w: %d bytes", ErrHead, len(signed))
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrHead, err)
	}
	// Package note ignores repeated lines and the spare bits of base64; we do not.
	if bytes.Count(signed[len(n.Text):], []byte("\n"))-1 != len(n.Sigs)+len(n.UnverifiedSigs) {
		return Head{}, fmt.Errorf("%w: a signature line is repeated", ErrHead)
	}
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Head{}, fmt.Errorf("%w: signature of %s is not canonical base64", ErrHead, sig.Name)
		}
	}
	h, err := parseHeadText(n.Text)
	if err != nil {
		return Head{}, err
	}
	if h.Origin != verifier.Name() {
		return Head{}, fmt.Errorf("%w: origin %q, the key is of %q", ErrHead, h.Origin, verifier.Name())
	}
	return h, nil
}

func headText(h Head) string {
	return h.Origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" + h.Root.String() + "\n"
}

// parseHeadText reads exactly three lines: extension lines could not be audited.
func parseHeadText(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Head{}, fmt.Errorf("%w: want three lines", ErrHead)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || size > maxSize {
		return Head{}, fmt.Errorf("%w: size %q", ErrHead, lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Head{}, fmt.Errorf("%w: root %q", ErrHead, lines[2])
	}
	h := Head{Origin: lines[0], Size: size, Root: root}
	if headText(h) != text {
		return Head{}, fmt.Errorf("%w: not canonical", ErrHead)
	}
	return h, nil
}
