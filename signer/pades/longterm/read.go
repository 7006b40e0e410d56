package longterm

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/dss"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// maxSignatures bounds the signatures and document time-stamps of one file that are judged.
const maxSignatures = 1024

// file is a document with all its signatures read and checked.
type file struct {
	doc     *pdf.Document
	limit   int64 // bytes of all evidence
	found   []*found
	digests *digests
	stored  [][]byte // certificates of the store, when they were needed
	looked  bool
}

// found is a signature or document time-stamp of a file.
type found struct {
	SignatureInfo
	contents []byte // the value of /Contents, with what fills it up
	cms      *cms.SignedData
	report   levels.Report
	dict     object.Value
	hash     crypto.Hash // over the byte range; 0: unknown
}

// readFile opens a document and judges all its signatures with one pass over it, in which the hashes of whole go on to its end.
func readFile(ctx context.Context, r io.ReaderAt, size int64, lim pdf.Limits, whole ...crypto.Hash) (*file, error) {
	doc, err := pdf.Open(r, size, lim)
	if err != nil {
		return nil, err
	}
	form, err := doc.Form()
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(lim.StreamSize, 64<<20)
	f := &file{doc: doc, limit: 4 * limit} // revocation lists can be large
	room, again := limit, 2*size           // of all /Contents; what signatures that cover each other make us hash twice
	var wants []wanted
	stored := f.storedCertificates
	places := map[int64]*found{} // by that of /Contents
	for _, field := range form.Fields {
		if field.Type != "Sig" || field.Value.Kind == object.Null {
			continue
		}
		s := &found{SignatureInfo: SignatureInfo{Field: field.Name}, dict: field.Value}
		f.found = append(f.found, s)
		if s.Err = s.read(doc); s.Err != nil {
			continue
		}
		if other := places[s.ByteRange[1]]; other != nil {
			// Which of them was signed is not to be seen, and where it is shown is for whoever came later.
			s.Err = fmt.Errorf("%w: fields %q and %q share it", pades.ErrSignatureDict, other.Field, s.Field)
			other.Err = s.Err
			continue
		}
		places[s.ByteRange[1]] = s
		room -= int64(len(s.contents))
		again -= s.ByteRange[3]
		if room < 0 || again < 0 || len(f.found) > maxSignatures {
			s.Err = fmt.Errorf("%w: too many or too large signatures", pdf.ErrTooLarge)
			continue
		}
		if s.Err = s.parse(stored); s.Err == nil && s.hash.Available() {
			wants = append(wants, wanted{s.hash, s.ByteRange})
		}
	}
	if f.digests, err = readDigests(ctx, r, size, wants, whole...); err != nil {
		return nil, err
	}
	f.check()
	return f, nil
}

// check judges what was read, by the digests.
func (f *file) check() {
	for _, s := range f.found {
		if s.Err != nil {
			continue
		}
		sum := f.digests.sums[wanted{s.hash, s.ByteRange}]
		if s.DocTimeStamp {
			s.Err = s.checkToken(sum)
			continue
		}
		s.checkSignature(sum)
	}
	for _, s := range f.found {
		if s.Err != nil {
			continue
		}
		for _, t := range s.valid() {
			s.prove(t)
		}
		for _, later := range f.found {
			if later.Err != nil || !later.covers(s) {
				continue
			}
			if s.Covered = true; later.DocTimeStamp {
				s.prove(later.TimeStamp)
			}
		}
	}
}

func (s *found) prove(t *tsp.Token) {
	if s.Proven.IsZero() || t.Time.Before(s.Proven) {
		s.Proven = t.Time
	}
}

// end is the size of the file that s covers.
func (s *found) end() int64 { return s.ByteRange[2] + s.ByteRange[3] }

// covers reports whether other and all that it covers lie before s.
func (s *found) covers(other *found) bool { return s != other && other.end() <= s.ByteRange[1] }

// valid returns the signature-time-stamps that are right.
func (s *found) valid() (tokens []*tsp.Token) {
	for _, t := range s.TimeStamps {
		if t.Invalid == nil {
			tokens = append(tokens, t.Token())
		}
	}
	return tokens
}

// stamps returns the valid document time-stamps over s; nil: all of them.
func (f *file) stamps(over *found) (out []*found) {
	for _, s := range f.found {
		if s.DocTimeStamp && s.Err == nil && (over == nil || s.covers(over)) {
			out = append(out, s)
		}
	}
	return out
}

// firstStamp returns the document time-stamp with the earliest time over s, nil when there is none.
func (f *file) firstStamp(s *found) (first *found) {
	for _, t := range f.stamps(s) {
		if first == nil || t.TimeStamp.Time.Before(first.TimeStamp.Time) {
			first = t
		}
	}
	return first
}

// newestStamp returns the valid document time-stamp that covers most, nil when there is none.
func (f *file) newestStamp() (newest *found) {
	for _, t := range f.stamps(nil) {
		if newest == nil || t.end() > newest.end() {
			newest = t
		}
	}
	return newest
}

// read takes over what stands in the dictionary.
func (s *found) read(doc *pdf.Document) error {
	texts := []*string{&s.SubFilter, &s.Modified, &s.Name, &s.Reason, &s.Location}
	for i, key := range []string{"SubFilter", "M", "Name", "Reason", "Location"} {
		v, err := doc.Resolve(s.dict.Get(key))
		if err != nil {
			return err
		}
		*texts[i] = v.Unicode()
	}
	s.DocTimeStamp = s.SubFilter == "ETSI.RFC3161"
	contents, err := s.readByteRange(doc, s.dict)
	if err != nil {
		return err
	}
	s.LaterRevisions = doc.Revisions(s.end())
	s.contents = []byte(contents.Text)
	s.Raw, err = pades.CutContents(s.contents)
	return err
}

// readByteRange accepts only two ranges from the first byte on, with nothing between them but the /Contents value of
// this very dictionary: otherwise bytes outside the signature could be shown as signed.
func (s *SignatureInfo) readByteRange(doc *pdf.Document, dict object.Value) (contents object.Value, err error) {
	br, err := doc.Resolve(dict.Get("ByteRange"))
	if err != nil {
		return contents, err
	}
	contents = dict.Get("Contents")
	if br.Kind != object.Array || len(br.Elems) != 4 || contents.Kind != object.String || contents.Pos < 0 {
		return contents, fmt.Errorf("%w: /ByteRange or /Contents", pades.ErrSignatureDict)
	}
	if contents.Raw[0] != '<' {
		return contents, fmt.Errorf("%w: /Contents is not a hexadecimal string", pades.ErrSignatureDict)
	}
	for i, e := range br.Elems {
		if e.Kind != object.Integer || e.Int < 0 || e.Int > pdf.MaxSize {
			return contents, fmt.Errorf("%w: /ByteRange", pades.ErrSignatureDict)
		}
		s.ByteRange[i] = e.Int
	}
	end := s.ByteRange[2] + s.ByteRange[3]
	if s.ByteRange[0] != 0 || s.ByteRange[1] != contents.Pos ||
		s.ByteRange[2] != contents.Pos+int64(len(contents.Raw)) || end > doc.Size() {
		return contents, fmt.Errorf("%w: /ByteRange leaves out more or less than /Contents", pades.ErrSignatureDict)
	}
	s.LaterBytes = doc.Size() - end
	s.CoversFile = s.LaterBytes == 0
	return contents, nil
}

// parse reads the CMS or the token, and finds out with which hash the document was digested.
func (s *found) parse(stored func() [][]byte) error {
	if s.DocTimeStamp {
		return s.parseToken(stored)
	}
	if s.SubFilter != "ETSI.CAdES.detached" && s.SubFilter != "adbe.pkcs7.detached" {
		return fmt.Errorf("%w: /SubFilter %q is not judged here", pades.ErrSignatureDict, s.SubFilter)
	}
	var err error
	if s.cms, err = cms.Parse(s.Raw); err != nil {
		return foreignError(err)
	}
	switch {
	case s.cms.Attached(): // it would be signed instead of the document
		return fmt.Errorf("%w: /Contents has a content of its own", pades.ErrSignatureDict)
	case len(s.cms.Signers) != 1:
		return fmt.Errorf("%w: %d signers in /Contents, not one", pades.ErrSignatureDict, len(s.cms.Signers))
	}
	for _, c := range s.cms.Certificates {
		if c[0] == byte(cbasn1.SEQUENCE) { // the other choices are attribute certificates and such
			s.Certificates = append(s.Certificates, c)
		}
	}
	s.hash = hashNamed(s.cms.Signers[0].DigestAlgorithm)
	return nil
}

// maxStored bounds the certificates of the store in which the signer's of a time-stamp is looked for.
const maxStored = 1024

// storedCertificates returns those of the document's store.
func (f *file) storedCertificates() [][]byte {
	if !f.looked {
		f.looked = true
		if store, err := dss.Read(f.doc, f.limit); err == nil {
			held := store.Held().Certificates
			f.stored = held[:min(len(held), maxStored)]
		}
	}
	return f.stored
}

// parseToken reads a token; if it lacks its signer's certificate, that may be known.
func (s *found) parseToken(stored func() [][]byte) error {
	t, err := tsp.Parse(s.Raw)
	if errors.Is(err, tsp.ErrSigner) {
		t, err = tsp.ParseWith(s.Raw, stored())
	}
	if err != nil {
		return err
	}
	s.TimeStamp, s.Certificate, s.Certificates, s.hash = t, t.Signer, t.Certificates, t.Hash
	return nil
}

// checkToken: a document time-stamp stamps the digest over its byte range (EN 319 142-1 clause 5.4.3).
func (s *found) checkToken(sum []byte) error {
	if err := s.TimeStamp.Covers(s.hash, sum); err != nil {
		return fmt.Errorf("%w: %w", cades.ErrDigest, err)
	}
	if s.hash == crypto.SHA1 {
		return fmt.Errorf("%w: of a SHA-1 digest", cades.ErrTimeStamp)
	}
	return nil
}

func (s *found) checkSignature(sum []byte) {
	s.report = levels.InspectSignedData(s.cms, func(h crypto.Hash) ([]byte, error) {
		if h != s.hash || sum == nil {
			return nil, fmt.Errorf("%w: digest algorithms contradict each other", pades.ErrSignatureDict)
		}
		return sum, nil
	})[0]
	s.Certificate, s.Algorithm, s.TimeStamps, s.Err = s.report.Signer, s.report.Algorithm, s.report.TimeStamps, s.report.Invalid
	if strict, err := cades.Parse(s.Raw); err == nil {
		s.CMS = strict
	}
}

// baseline returns nil when a signature meets the requirements of B-B (EN 319 142-1 clause 6.3).
func (s *found) baseline() error {
	if s.Certificate == nil {
		return s.Err
	}
	if err := s.report.Conforms(cades.PAdES); err != nil {
		return err
	}
	definite, err := cms.Definite(s.Raw)
	switch {
	case s.SubFilter != "ETSI.CAdES.detached":
		return fmt.Errorf("%w: /SubFilter %s", cades.ErrProfile, s.SubFilter)
	case s.Modified == "":
		return fmt.Errorf("%w: the dictionary lacks /M", cades.ErrProfile)
	case s.dict.Get("Cert").Kind != object.Null:
		return fmt.Errorf("%w: the dictionary has /Cert", cades.ErrProfile)
	case !slices.ContainsFunc(s.cms.DigestAlgorithms, func(id []byte) bool { return hashNamed(id) == s.hash }): // RFC 5652 section 5.1
		return fmt.Errorf("%w: digestAlgorithms lack the signer's", cades.ErrProfile)
	case !s.versions():
		return fmt.Errorf("%w: version numbers of the CMS", cades.ErrProfile)
	case err != nil || !bytes.Equal(definite, s.Raw):
		return fmt.Errorf("%w: the CMS is not DER", cades.ErrProfile)
	}
	return nil
}

// versions checks the version numbers, which nothing signs (RFC 5652 sections 5.1 and 5.3). Some write a 3 where 1 is right.
func (s *found) versions() bool {
	signer := s.cms.Signers[0]
	want := 1
	if signer.SID[0] != byte(cbasn1.SEQUENCE) {
		want = 3
	}
	v := s.cms.Version
	return signer.Version == want && (v == want || v == 3 || v == 4 || v == 5 && len(s.cms.RevocationInfos) > 0)
}

// foreignError says an error of package cms in the words of cades.
func foreignError(err error) error {
	if errors.Is(err, cms.ErrMalformed) {
		return fmt.Errorf("%w: %w", cades.ErrMalformed, err)
	}
	return fmt.Errorf("%w: %w", cades.ErrUnsupported, err)
}

// hashNamed returns the hash of an AlgorithmIdentifier, 0 when it is none of SHA-2.
func hashNamed(identifier []byte) crypto.Hash {
	der, err := cms.DER(identifier)
	in, body := cryptobyte.String(der), cryptobyte.String(nil)
	var oid asn1.ObjectIdentifier
	if err != nil || !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&oid) {
		return 0
	}
	switch oid.String() {
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512
	}
	return 0
}
