// Package levels reads CMS signatures by whomever they were made, in BER or DER, attached or detached, tells of what baseline level
// they are (ETSI EN 319 122-1 clause 6), and raises them to higher ones without encoding anything anew.
package levels

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// Report says what one signature of a CMS is.
type Report struct {
	Signer      *x509.Certificate // nil when it is not embedded or not readable
	Algorithm   cades.Algorithm   // 0 when it is another than the named ones
	SigningTime time.Time         // signed attribute, a claim; zero when absent
	// Invalid is nil when the signature value and the digest of the content verify with Signer. Its chain, its validity and
	// revocation are not judged. cades.ErrContent: the signature is detached and no content was given.
	Invalid error
	// Level is the highest baseline level (EN 319 122-1 clause 6) whose parts are all there; 0: not even B-B. Time-stamps
	// count when they verify and cover what they must.
	Level cades.Level
	// Missing says why it is not the next level; nil at B-LTA. It wraps cades.ErrProfile, cades.ErrTimeStamp, cades.ErrEvidence,
	// or what made the signature unreadable.
	Missing           error
	TimeStamps        []TimeStamp // of the signature: signature-time-stamp
	ArchiveTimeStamps []TimeStamp // archive-time-stamp-v3
	Countersignatures int
	signer            *signerOf
}

// Conforms returns nil when the signed attributes meet the B-B rules of p, else an error that wraps cades.ErrProfile, or what
// made the signature unreadable.
func (r Report) Conforms(p cades.Profile) error {
	if r.signer == nil || r.signer.certificate == nil || r.signer.hashed == nil {
		return r.Missing
	}
	return r.signer.conforms(p)
}

// maxTimeStamps bounds the tokens of one kind that are read of a signature.
const maxTimeStamps = 64

// TimeStamp is one token of a signature.
type TimeStamp struct {
	Time    time.Time
	Signer  *x509.Certificate
	Invalid error // nil: the token verifies and covers the signature
	token   *tsp.Token
}

// Token returns the parsed token; nil when it could not be read.
func (t TimeStamp) Token() *tsp.Token { return t.token }

var (
	oidContentTimeStamp = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 20}
	oidCountersignature = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 6}
)

// foreign are unsigned attributes that the baseline levels from B-LT on forbid (EN 319 122-1 clause 6.3), and whether they
// cover certificates and revocation data as a whole, so that nothing can be added any more.
var foreign = []struct {
	oid   asn1.ObjectIdentifier
	name  string
	cover bool
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 27}, "archive-time-stamp", true},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 48}, "archive-time-stamp-v2", true},
	{asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 2}, "long-term-validation", true},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 49}, "internal-evidence-records", true},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 50}, "external-evidence-records", true},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 21}, "complete-certificate-references", false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 22}, "complete-revocation-references", false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 23}, "certificate-values", false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 24}, "revocation-values", false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 26}, "time-stamped-certs-crls-references", false},
}

// Inspect tells of every signature of a CMS, by whomever it was made, in BER or DER, attached or detached. content is
// only asked for the latter, and may be nil. Errors wrap cades.ErrMalformed or cades.ErrUnsupported; what is wrong with a
// signature is said in its Report.
func Inspect(data []byte, content Content) ([]Report, error) {
	sd, err := readCMS(data)
	if err != nil {
		return nil, err
	}
	return InspectSignedData(sd, content), nil
}

// InspectSignedData is Inspect for a CMS that was read already, such as one whose content is too large for memory.
func InspectSignedData(sd *cms.SignedData, content Content) []Report {
	contents := newDigests(context.Background(), sd, content)
	ev := readEvidence(sd.Certificates, sd.RevocationInfos)
	reports := make([]Report, 0, len(sd.Signers))
	for _, info := range sd.Signers {
		r, _ := inspect(sd, info, contents, ev)
		reports = append(reports, r)
	}
	return reports
}

func inspect(sd *cms.SignedData, info *cms.SignerInfo, contents *digests, ev *evidence) (Report, *signerOf) {
	s, err := readSigner(info, sd.Certificates)
	r := Report{Signer: s.certificate, Algorithm: s.algorithm, SigningTime: s.attributes.SigningTime, signer: s}
	r.Countersignatures = len(cms.AllValues(info.Unsigned, oidCountersignature))
	if err != nil {
		r.Invalid, r.Missing = err, err
		return r, s
	}
	r.Invalid = s.verify(sd, contents)
	r.TimeStamps = timeStamps(cms.AllValues(info.Unsigned, oidSignatureTimeStamp), sd.Certificates, func(t *tsp.Token) error {
		return coversSignature(t, info.Value)
	})
	var newest *tsp.Token
	var covered indexed // by the newest archive time-stamp
	r.ArchiveTimeStamps = timeStamps(cms.AllValues(info.Unsigned, oidArchiveTimeStampV3), sd.Certificates, func(t *tsp.Token) error {
		of, err := checkArchive(t, sd, info, contents)
		if err == nil && (newest == nil || t.Time.After(newest.Time)) {
			newest, covered = t, of
		}
		return err
	})
	if r.Level, r.Missing = s.level(&r, ev, covered); !s.listed(sd) {
		r.Level, r.Missing = 0, fmt.Errorf("%w: digestAlgorithms lack the signer's", cades.ErrProfile)
	}
	return r, s
}

// listed reports whether digestAlgorithms, which nothing signs, name the digest of the signer (RFC 5652 section 5.1). Some
// cannot verify without.
func (s *signerOf) listed(sd *cms.SignedData) bool {
	return slices.ContainsFunc(sd.DigestAlgorithms, func(id []byte) bool {
		der, err := cms.DER(id)
		return err == nil && cades.HashOf(der) == s.algorithm.Hash()
	})
}

func (s *signerOf) level(r *Report, ev *evidence, covered indexed) (cades.Level, error) {
	if err := s.baseline(); err != nil {
		return 0, err
	}
	stamped, err := anyValid(r.TimeStamps, "signature-time-stamp")
	if err != nil {
		return cades.LevelBB, err
	}
	if stamped.Time.After(s.certificate.NotAfter) {
		return cades.LevelBB, fmt.Errorf("%w: the signer's certificate had ended before it", cades.ErrTimeStamp)
	}
	if err := s.allowed(); err != nil {
		return cades.LevelBT, err
	}
	if ev.issuer(s.certificate) == nil {
		return cades.LevelBT, fmt.Errorf("%w: the issuer of the signer's certificate is not embedded", cades.ErrEvidence)
	}
	if err := s.proven(r, ev, stamped.Time); err != nil {
		return cades.LevelBT, err
	}
	if _, err := anyValid(r.ArchiveTimeStamps, "archive-time-stamp-v3"); err != nil {
		return cades.LevelBLT, err
	}
	// One that was made before the evidence was there does not keep it.
	if err := s.proven(r, readEvidence(covered.certificates, covered.revocation), stamped.Time); err != nil {
		return cades.LevelBLT, fmt.Errorf("archive-time-stamp-v3 does not cover the evidence: %w", err)
	}
	return cades.LevelBLTA, nil
}

// proven returns nil when there is evidence for the signer, at a time, and for all valid time-stamps.
func (s *signerOf) proven(r *Report, ev *evidence, at time.Time) error {
	if err := ev.complete(s.certificate, at, false); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	for _, t := range r.TimeStamps {
		if t.Invalid != nil {
			continue
		}
		if err := ev.complete(t.Signer, t.Time, false); err != nil {
			return fmt.Errorf("signature-time-stamp: %w", err)
		}
	}
	return nil
}

// baseline checks the requirements of B-B (EN 319 122-1 clause 6.3).
func (s *signerOf) baseline() error { return s.conforms(cades.CAdES) }

func (s *signerOf) conforms(p cades.Profile) error {
	return s.attributes.Conforms(p, s.certificate.Raw)
}

// allowed checks that no unsigned attribute is there that B-LT forbids.
func (s *signerOf) allowed() error {
	for _, f := range foreign {
		if len(cms.AllValues(s.info.Unsigned, f.oid)) > 0 {
			return fmt.Errorf("%w: %s is there, which the baseline has not", cades.ErrProfile, f.name)
		}
	}
	return nil
}

// anyValid returns the earliest valid time-stamp.
func anyValid(stamps []TimeStamp, what string) (first TimeStamp, err error) {
	err = fmt.Errorf("%w: no %s", cades.ErrTimeStamp, what)
	for _, t := range stamps {
		if t.Invalid == nil && (first.token == nil || t.Time.Before(first.Time)) {
			first = t
		} else if first.token == nil {
			err = fmt.Errorf("%s: %w", what, t.Invalid)
		}
	}
	if first.token != nil {
		err = nil
	}
	return first, err
}

func timeStamps(tokens, certificates [][]byte, covers func(*tsp.Token) error) []TimeStamp {
	var stamps []TimeStamp
	for i, raw := range tokens {
		if i == maxTimeStamps {
			return append(stamps, TimeStamp{Invalid: fmt.Errorf("%w: more than %d", cades.ErrTimeStamp, maxTimeStamps)})
		}
		t, err := readToken(raw, certificates)
		if err != nil {
			stamps = append(stamps, TimeStamp{Invalid: fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)})
			continue
		}
		stamps = append(stamps, TimeStamp{t.Time, t.Signer, covers(t), t})
	}
	return stamps
}

// readToken reads a token that may lack its signer's certificate, when that is in SignedData.
func readToken(raw []byte, certificates [][]byte) (*tsp.Token, error) {
	t, err := tsp.Parse(raw)
	if errors.Is(err, tsp.ErrSigner) {
		return tsp.ParseWith(raw, certificates)
	}
	return t, err
}

// coversSignature: a signature-time-stamp stamps the signature value (EN 319 122-1 clause 5.3).
func coversSignature(t *tsp.Token, value []byte) error {
	if t.Hash == crypto.SHA1 {
		return fmt.Errorf("%w: of a SHA-1 digest", cades.ErrTimeStamp)
	}
	if err := t.Covers(t.Hash, digest(t.Hash, value)); err != nil {
		return fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	return nil
}

// readCMS reads a CMS and says it in the errors of cades.
func readCMS(data []byte) (*cms.SignedData, error) {
	sd, err := cms.Parse(data)
	if err != nil {
		return nil, foreignError(err)
	}
	if len(sd.Signers) == 0 {
		return nil, fmt.Errorf("%w: there is no signature in it", cades.ErrUnsupported)
	}
	return sd, nil
}
