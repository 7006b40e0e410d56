// Package verify tells what a signed file is worth: by our own strict reader first, then by two that we did not write,
// digitorus/pdfsign and go.mozilla.org/pkcs7, as second and third opinion.
package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	pdfsign "github.com/digitorus/pdfsign/verify"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"go.mozilla.org/pkcs7"
)

// ErrInvalid: a reader found a signature wrong, or there is none.
var ErrInvalid = errors.New("not validly signed")

// PDF verifies every signature of a PDF and writes what each reader says. root, when not nil, must have issued every
// signer's chain.
func PDF(ctx context.Context, path string, root *x509.Certificate, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := longterm.Verify(ctx, f, info.Size(), pdf.Limits{})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: %w: it holds no signature", path, ErrInvalid)
	}
	bad, signatures, pss := 0, 0, false
	for _, s := range found {
		fmt.Fprintf(w, "field     %s (%s)\n", s.Field, s.SubFilter)
		if s.DocTimeStamp {
			bad += timeStamp(w, s)
		} else {
			signatures++
			pss = pss || isPSS(s.Algorithm)
			bad += own(w, s.Algorithm, s.Certificates, s.Certificate, s.Err, root)
			fmt.Fprintf(w, "claimed   %s\n", s.Modified)
			bad += level(w, s)
		}
		covers(w, s)
		if !s.DocTimeStamp {
			bad += mozilla(w, f, s)
		}
	}
	if signatures > 0 {
		bad += second(w, f, info.Size(), signatures, pss)
	}
	if bad > 0 {
		return fmt.Errorf("%s: %w", path, ErrInvalid)
	}
	return nil
}

// timeStamp writes what our reader found of a document time-stamp, and returns 1 if it is wrong. The two other readers judge none.
func timeStamp(w io.Writer, s longterm.SignatureInfo) int {
	if s.Err != nil {
		fmt.Fprintf(w, "own       INVALID: %v\n", s.Err)
		return 1
	}
	fmt.Fprintf(w, "authority %s\nissuer    %s\nown       document time-stamp valid\nproves    that the file up to it existed at %s\n",
		s.Certificate.Subject, s.Certificate.Issuer.CommonName, s.TimeStamp.Time.Format(time.RFC3339))
	fmt.Fprintln(w, "trust     not checked (it has an authority of its own)")
	return 0
}

// level writes the level of a signature and its time-stamps, and returns how many of those are wrong.
func level(w io.Writer, s longterm.SignatureInfo) (bad int) {
	for _, t := range s.TimeStamps {
		if t.Invalid != nil {
			fmt.Fprintf(w, "stamped   INVALID: %v\n", t.Invalid)
			bad++
			continue
		}
		fmt.Fprintf(w, "stamped   %s by %s\n", t.Time.Format(time.RFC3339), t.Signer.Subject.CommonName)
	}
	name := "no level of PAdES"
	if s.Level != "" {
		name = "PAdES " + s.Level
	}
	if s.Missing != nil {
		name += fmt.Sprintf("; for the next: %v", s.Missing)
	}
	fmt.Fprintf(w, "level     %s\n", name)
	return bad
}

// covers writes how much of the file a signature covers, and what came later.
func covers(w io.Writer, s longterm.SignatureInfo) {
	switch {
	case s.CoversFile:
		fmt.Fprintln(w, "covers    the whole file")
	case s.Covered:
		fmt.Fprintf(w, "covers    an earlier revision; %d bytes in %d revisions were added after it, and a later one covers both\n", s.LaterBytes, s.LaterRevisions)
	default:
		fmt.Fprintf(w, "covers    an earlier revision; %d bytes in %d revisions were added after it\n", s.LaterBytes, s.LaterRevisions)
	}
}

// Detached verifies a detached CMS signature over the content.
func Detached(path, content string, root *x509.Certificate, w io.Writer) error {
	der, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(content)
	if err != nil {
		return err
	}
	s, err := cades.Parse(der)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	h := s.Algorithm.Hash().New() // what was read has one of ours
	h.Write(data)                 // a hash never returns an error
	bad := own(w, s.Algorithm, s.Certificates, s.Certificate, errors.Join(s.Verify(h.Sum(nil)), s.Conforms(cades.CAdES)), root)
	fmt.Fprintf(w, "claimed   %s\n", s.SigningTime.UTC().Format(time.RFC3339))
	bad += opinion(w, "mozilla pkcs7", isPSS(s.Algorithm), func() error {
		p, err := pkcs7.Parse(der)
		if err != nil {
			return err
		}
		p.Content = data
		return p.Verify()
	})
	if bad > 0 {
		return fmt.Errorf("%s: %w", path, ErrInvalid)
	}
	return nil
}

// own writes what our reader found and returns 1 if it is wrong.
func own(w io.Writer, alg cades.Algorithm, embedded [][]byte, cert *x509.Certificate, err error, root *x509.Certificate) int {
	if err != nil || cert == nil {
		fmt.Fprintf(w, "own       INVALID: %v\n", err)
		return 1
	}
	fmt.Fprintf(w, "signer    %s\nissuer    %s\nown       signature valid, %s\n", cert.Subject, cert.Issuer.CommonName, alg)
	if root == nil {
		fmt.Fprintln(w, "trust     not checked (name the root with --root)")
		return 0
	}
	if err := chain(cert, embedded, root); err != nil {
		fmt.Fprintf(w, "trust     INVALID: %v\n", err)
		return 1
	}
	fmt.Fprintf(w, "trust     chain to %s\n", root.Subject.CommonName)
	return 0
}

// chain checks that the certificates lead to root. Qualified certificates carry statements that crypto/x509 does not
// know; none is critical.
func chain(leaf *x509.Certificate, embedded [][]byte, root *x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, der := range embedded {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// second asks pdfsign about the whole file.
func second(w io.Writer, f io.ReaderAt, size int64, want int, pss bool) int {
	return opinion(w, "pdfsign", pss, func() error {
		o := pdfsign.DefaultVerifyOptions()
		o.EnableExternalRevocationCheck = false
		r, err := pdfsign.VerifyWithOptions(f, size, o)
		if err != nil {
			return err
		}
		valid := 0
		for _, s := range r.Signers {
			if s.ValidSignature {
				valid++
			}
		}
		if valid != want {
			return fmt.Errorf("%d of %d signatures", valid, want)
		}
		return nil
	})
}

// mozilla asks pkcs7 about the CMS of one signature, over the signed byte range.
func mozilla(w io.Writer, f io.ReaderAt, s longterm.SignatureInfo) int {
	return opinion(w, "mozilla pkcs7", isPSS(s.Algorithm), func() error {
		signed := make([]byte, s.ByteRange[1]+s.ByteRange[3])
		if _, err := f.ReadAt(signed[:s.ByteRange[1]], s.ByteRange[0]); err != nil {
			return err
		}
		if _, err := f.ReadAt(signed[s.ByteRange[1]:], s.ByteRange[2]); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		p, err := pkcs7.Parse(s.Raw)
		if err != nil {
			return err
		}
		p.Content = signed
		return p.Verify()
	})
}

// isPSS tells what neither of the two other readers can judge.
func isPSS(a cades.Algorithm) bool {
	return a == cades.PSSWithSHA256 || a == cades.PSSWithSHA384 || a == cades.PSSWithSHA512
}

// opinion runs a reader that we did not write; one of them is known to panic on damaged files. A refusal of what it knows
// nothing about (unknown) is shown, and says nothing against the signature.
func opinion(w io.Writer, name string, unknown bool, ask func() error) (bad int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(w, "%s: INVALID: it panics: %v\n", name, p)
			bad = 1
		}
	}()
	err := ask()
	switch {
	case err != nil && unknown:
		fmt.Fprintf(w, "%s: cannot judge RSA-PSS (%v)\n", name, err)
		return 0
	case err != nil:
		fmt.Fprintf(w, "%s: INVALID: %v\n", name, err)
		return 1
	}
	fmt.Fprintf(w, "%s: valid\n", name)
	return 0
}
