package levels

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// AddTimeStamp returns a CMS with one signer with a token as its signature-time-stamp (EN 319 122-1 clause 5.3), the CMS of
// PAdES or CAdES B-T. It checks that the token verifies and covers the signature value: else cades.ErrTimeStamp.
func AddTimeStamp(data, token []byte) ([]byte, error) {
	sd, err := readCMS(data)
	if err != nil {
		return nil, err
	}
	if len(sd.Signers) != 1 {
		return nil, fmt.Errorf("%w: %d signers", cades.ErrUnsupported, len(sd.Signers))
	}
	t, err := readToken(token, sd.Certificates)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if err := coversSignature(t, sd.Signers[0].Value); err != nil {
		return nil, err
	}
	if token, err = cms.Definite(token); err != nil {
		return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	return sd.Add(cms.Additions{Unsigned: map[int][][]byte{0: {cms.NewAttribute(encodeOID(oidSignatureTimeStamp), token)}}})
}

// Augment raises every signature of a CAdES file to a level (EN 319 122-1 clause 6) and returns the new file. It adds
// only what is missing: B-T a signature-time-stamp; B-LT the certificates of the signer's and of the time-stamps' paths in
// SignedData.certificates, and revocation data for them in SignedData.crls; B-LTA an archive-time-stamp-v3, which renews
// when there is one already, after evidence for that was added. Nothing that is there is encoded anew.
// For a detached signature content gives digests of what was signed; for an attached one it may be nil.
//
// It is refused, and nothing is returned, when a signature or time-stamp does not verify, when a signature is not B-B, or
// when it bears attributes of other profiles that the baseline excludes. Errors wrap those of Inspect and of s, and name
// the signer by its place.
func Augment(ctx context.Context, data []byte, content Content, to cades.Level, s cades.Services) ([]byte, error) {
	sd, err := readCMS(data)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := AugmentTo(ctx, &out, sd, content, to, s); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// AugmentTo is Augment for a CMS that was read already, such as one whose content is too large for memory: attached content
// is read twice, for the digest and for the copy. Nothing is written to w before all that is to be added is there.
func AugmentTo(ctx context.Context, w io.Writer, sd *cms.SignedData, content Content, to cades.Level, s cades.Services) error {
	if len(sd.Signers) == 0 {
		return fmt.Errorf("%w: there is no signature in it", cades.ErrUnsupported)
	}
	if to < cades.LevelBB || to > cades.LevelBLTA {
		return fmt.Errorf("%w: %v", cades.ErrInput, to)
	}
	if s.Hash == 0 {
		s.Hash = crypto.SHA256
	}
	if cades.HashIdentifier(s.Hash) == nil {
		return fmt.Errorf("%w: time-stamps with %v", cades.ErrInput, s.Hash)
	}
	if s.Now == nil || to >= cades.LevelBT && s.Stamper == nil || to >= cades.LevelBLT && s.Prover == nil {
		return fmt.Errorf("%w: %v needs a service that is not given", cades.ErrInput, to)
	}
	a := &augmentation{ctx: ctx, sd: sd, to: to, Services: s, proven: map[string]bool{}, contents: newDigests(ctx, sd, content)}
	a.certificates, a.revocation = slices.Clip(sd.Certificates), slices.Clip(sd.RevocationInfos)
	if err := a.run(); err != nil {
		return err
	}
	_, err := sd.WriteAdded(w, a.additions())
	return err
}

// augmentation is one run: what is there, and in the same lists what was added.
type augmentation struct {
	cades.Services
	ctx                      context.Context
	sd                       *cms.SignedData
	to                       cades.Level
	contents                 *digests
	certificates, revocation [][]byte
	evidence                 *evidence // of these two
	proven                   map[string]bool
	signers                  []*raised
}

type raised struct {
	*signerOf
	report   Report
	unsigned []cms.Attribute
	archived *tsp.Token // the new archive time-stamp
}

func (a *augmentation) run() error {
	if err := a.contents.prepare(a.hashes()...); err != nil {
		return err
	}
	a.evidence = readEvidence(a.certificates, a.revocation)
	for i, info := range a.sd.Signers {
		r, s := inspect(a.sd, info, a.contents, a.evidence)
		if err := a.refuse(r, s); err != nil {
			return fmt.Errorf("signer %d: %w", i, err)
		}
		a.signers = append(a.signers, &raised{signerOf: s, report: r, unsigned: slices.Clip(info.Unsigned)})
	}
	steps := []struct {
		level cades.Level
		do    func(*raised) error
	}{{cades.LevelBT, a.stamp}, {cades.LevelBLT, a.prove}, {cades.LevelBLTA, a.archive}, {cades.LevelBLTA, a.outlive}}
	for _, step := range steps { // all signers each, because an archive time-stamp covers the evidence of all
		for i, s := range a.signers {
			if a.to < step.level {
				return nil
			}
			if a.to < cades.LevelBLTA && s.report.Level >= step.level {
				continue // what is there is enough; only an archive time-stamp renews
			}
			if err := step.do(s); err != nil {
				return fmt.Errorf("signer %d: %w", i, err)
			}
		}
	}
	return nil
}

// hashes are those with which attached content will be digested.
func (a *augmentation) hashes() []crypto.Hash {
	var hashes []crypto.Hash
	for _, info := range a.sd.Signers {
		if alg, _, err := cades.ReadAlgorithm(info.DigestAlgorithm, info.SignatureAlgorithm); err == nil {
			hashes = append(hashes, alg.Hash())
		}
	}
	if a.to == cades.LevelBLTA {
		hashes = append(hashes, a.Hash)
	}
	return hashes
}

// refuse returns why a signature cannot be raised.
func (a *augmentation) refuse(r Report, s *signerOf) error {
	if r.Invalid != nil {
		return r.Invalid
	}
	if r.Level == 0 {
		return r.Missing
	}
	if a.to >= cades.LevelBLT {
		if err := s.allowed(); err != nil {
			return err
		}
	}
	for _, f := range foreign {
		if f.cover && a.to > r.Level && len(cms.AllValues(s.info.Unsigned, f.oid)) > 0 {
			return fmt.Errorf("%w: %s covers what would have to be added to", cades.ErrUnsupported, f.name)
		}
	}
	for _, t := range slices.Concat(r.TimeStamps, r.ArchiveTimeStamps) {
		if t.Invalid != nil {
			return t.Invalid
		}
	}
	return nil
}

// stamp adds a signature-time-stamp where there is none.
func (a *augmentation) stamp(s *raised) error {
	if len(s.report.TimeStamps) == 0 {
		if now := a.Now(); now.After(s.certificate.NotAfter) {
			return fmt.Errorf("%w: the signer's certificate has ended; a time-stamp proves nothing any more", cades.ErrTimeStamp)
		}
		token, t, err := a.token(digest(a.Hash, s.info.Value))
		if err != nil {
			return err
		}
		s.add(oidSignatureTimeStamp, token)
		s.report.TimeStamps = []TimeStamp{{t.Time, t.Signer, nil, t}}
	}
	first, err := anyValid(s.report.TimeStamps, "signature-time-stamp")
	if err == nil && first.Time.After(s.certificate.NotAfter) {
		err = fmt.Errorf("%w: the signer's certificate had ended before it", cades.ErrTimeStamp)
	}
	return err
}

// token obtains a time-stamp and does not believe that it covers what it shall.
func (a *augmentation) token(imprint []byte) ([]byte, *tsp.Token, error) {
	raw, err := a.Stamper.Stamp(a.ctx, a.Hash, imprint)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	t, err := readToken(raw, a.certificates)
	if err == nil {
		err = t.Covers(a.Hash, imprint)
	}
	if err == nil {
		// In BER it would be re-encoded by some who hash it for an archive time-stamp.
		raw, err = cms.Definite(raw)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	return raw, t, nil
}

func (s *raised) add(oid []int, value []byte) {
	raw := cms.NewAttribute(encodeOID(oid), value)
	s.unsigned = append(s.unsigned, cms.Attribute{Raw: raw, Type: oid, RawType: encodeOID(oid), Values: [][]byte{value}})
}

// prove adds evidence for the signer at the time of the first time-stamp, and for the authorities of all time-stamps now.
// The prover is asked even where there is something already: how fresh is fresh enough is for it to say. Only what is B-LT
// is left alone, and archive time-stamps that a later one covers.
func (a *augmentation) prove(s *raised) error {
	first, err := anyValid(s.report.TimeStamps, "signature-time-stamp")
	if err != nil {
		return err
	}
	now := a.Now()
	if s.report.Level < cades.LevelBLT {
		if err := a.collect(s.certificate, nil, first.Time, "signer"); err != nil {
			return err
		}
		stamps := s.report.TimeStamps
		// A content-time-stamp is signed; if it is broken, that is no reason not to prove the rest.
		for _, t := range timeStamps(cms.AllValues(s.info.Signed, oidContentTimeStamp), a.certificates, func(*tsp.Token) error { return nil }) {
			if t.Invalid == nil {
				stamps = append(slices.Clip(stamps), t)
			}
		}
		for _, t := range stamps {
			if err := a.collect(t.Signer, t.token.Certificates, now, "time-stamp"); err != nil {
				return err
			}
		}
	}
	var newest time.Time
	for _, t := range s.report.ArchiveTimeStamps {
		if t.Time.After(newest) {
			newest = t.Time
		}
	}
	for _, t := range s.report.ArchiveTimeStamps {
		if t.Time.Before(newest) && a.evidence.complete(t.Signer, t.Time, false) == nil {
			continue
		}
		if err := a.collect(t.Signer, t.token.Certificates, now, "archive time-stamp"); err != nil {
			return err
		}
	}
	a.countersigners(s, first.Time)
	return nil
}

// collect adds what proves that c was not revoked at a time. more are certificates that may be of its path.
func (a *augmentation) collect(c *x509.Certificate, more [][]byte, at time.Time, what string) error {
	// Signatures of one file are mostly stamped by one authority.
	key := string(c.Raw) + at.UTC().Format(time.DateTime)
	if a.proven[key] {
		return nil
	}
	var known [][]byte
	for _, choice := range slices.Concat(a.certificates, more) {
		if choice[0] == 0x30 { // X.509; the other choices are attribute certificates and such
			known = append(known, choice)
		}
	}
	e, err := a.Prover.Collect(a.ctx, c.Raw, known, at)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", cades.ErrEvidence, what, err)
	}
	a.certificates = union(a.certificates, slices.Concat([][]byte{c.Raw}, e.Certificates))
	a.revocation = union(a.revocation, e.CRLs)
	for _, response := range e.OCSPs {
		a.revocation = union(a.revocation, [][]byte{cms.NewOCSP(response)})
	}
	a.evidence = readEvidence(a.certificates, a.revocation)
	a.proven[key] = true
	return nil
}

// countersigners adds evidence for those who countersigned, as far as it can be had: a countersignature is not raised, and
// its signer must not stand in the way of the signature's.
func (a *augmentation) countersigners(s *raised, at time.Time) {
	for _, raw := range cms.AllValues(s.info.Unsigned, oidCountersignature) {
		info, err := cms.ParseSignerInfo(raw)
		if err != nil {
			continue
		}
		if c, _ := readSigner(info, a.certificates); c.certificate != nil {
			_ = a.collect(c.certificate, nil, at, "countersigner")
		}
	}
}

// archive adds an archive-time-stamp-v3 over all that is there.
func (a *augmentation) archive(s *raised) error {
	sum, err := a.contents.of(a.Hash)
	if err != nil {
		return err
	}
	index := indexed{a.certificates, a.revocation, s.unsigned}.hashIndex(a.Hash)
	token, t, err := a.token(imprint(a.Hash, a.sd, s.info, sum, index))
	if err != nil {
		return err
	}
	if token, err = withIndex(token, index); err != nil {
		return err
	}
	s.add(oidArchiveTimeStampV3, token)
	s.archived = t
	return nil
}

// outlive adds evidence for the authority of the new archive time-stamp, if it can be had: nothing covers it before the
// renewal, which demands it, but with it the file can be judged without a network as it is.
func (a *augmentation) outlive(s *raised) error {
	if now := a.Now(); a.evidence.complete(s.archived.Signer, now, true) != nil {
		_ = a.collect(s.archived.Signer, s.archived.Certificates, now, "archive time-stamp")
	}
	return nil
}

func (a *augmentation) additions() cms.Additions {
	add := cms.Additions{
		Certificates:    a.certificates[len(a.sd.Certificates):],
		RevocationInfos: a.revocation[len(a.sd.RevocationInfos):],
		Unsigned:        map[int][][]byte{},
	}
	for i, s := range a.signers {
		for _, u := range s.unsigned[len(s.info.Unsigned):] {
			add.Unsigned[i] = append(add.Unsigned[i], u.Raw)
		}
	}
	// EN 319 122-1 clause 5.5.3 recommends to name the archive time-stamp's hash with those of the signatures.
	if a.to == cades.LevelBLTA && !slices.ContainsFunc(a.sd.DigestAlgorithms, func(id []byte) bool {
		der, err := cms.DER(id)
		return err == nil && cades.HashOf(der) == a.Hash
	}) {
		add.DigestAlgorithms = [][]byte{cades.HashIdentifier(a.Hash)}
	}
	return add
}

func union(have, more [][]byte) [][]byte {
	for _, m := range more {
		if !slices.ContainsFunc(have, func(h []byte) bool { return bytes.Equal(h, m) }) {
			have = append(have, m)
		}
	}
	return have
}

// foreignError says an error of package cms in the words of cades.
func foreignError(err error) error {
	switch {
	case errors.Is(err, cms.ErrMalformed):
		return fmt.Errorf("%w: %w", cades.ErrMalformed, err)
	case errors.Is(err, cms.ErrUnsupported), errors.Is(err, cms.ErrLimit):
		return fmt.Errorf("%w: %w", cades.ErrUnsupported, err)
	}
	return err
}
