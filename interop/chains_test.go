//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// algorithm is a row of the matrix: a signature algorithm with a kind of key.
type algorithm struct {
	name, key string
	alg       cades.Algorithm
}

var algorithms = []algorithm{
	{"P-256 SHA-256", "P-256", cades.ECDSAWithSHA256},
	{"P-256 SHA-384", "P-256", cades.ECDSAWithSHA384},
	{"P-256 SHA-512", "P-256", cades.ECDSAWithSHA512},
	{"P-384 SHA-256", "P-384", cades.ECDSAWithSHA256},
	{"P-384 SHA-384", "P-384", cades.ECDSAWithSHA384},
	{"P-384 SHA-512", "P-384", cades.ECDSAWithSHA512},
	{"RSA-3072 SHA-256", "RSA-3072", cades.RSAWithSHA256},
	{"RSA-3072 SHA-384", "RSA-3072", cades.RSAWithSHA384},
	{"RSA-3072 SHA-512", "RSA-3072", cades.RSAWithSHA512},
	{"RSA-3072 PSS SHA-256", "RSA-3072", cades.PSSWithSHA256},
	{"RSA-3072 PSS SHA-384", "RSA-3072", cades.PSSWithSHA384},
	{"RSA-3072 PSS SHA-512", "RSA-3072", cades.PSSWithSHA512},
}

// stages are the levels in the order in which a signature goes through them.
var stages = []string{"B-B", "B-T", "B-LT", "B-LTA", "B-LTA renewed"}

// subject is one cell of the matrix: what was made, and how.
type subject struct {
	artefact
	format, level, alg, shape string
	before                    []byte   // the file of the level below; of B-B the input of a PDF
	origin                    []string // further tags, when others made the signature
}

func (s subject) String() string {
	return strings.Join([]string{s.format, s.level, s.alg, s.shape}, ", ")
}

// tags are the words by which a condition of verdicts.txt may speak of a subject.
func (s subject) tags() []string {
	family := "ECDSA"
	if strings.Contains(s.alg, "PSS") {
		family = "PSS"
	} else if strings.HasPrefix(s.alg, "RSA") {
		family = "PKCS#1"
	}
	dash := strings.NewReplacer(" ", "-")
	return append([]string{strings.Fields(s.format)[0], dash.Replace(s.format), dash.Replace(s.level), family, dash.Replace(s.shape)}, s.origin...)
}

// chain signs content once, and raises the signature through all levels.
func (w *world) chain(folder, format, shape string, a algorithm, content []byte) ([]subject, error) {
	services := w.services["P-256"]
	if a.key == "RSA-3072" { // so that time-stamps of both kinds are seen at every level
		services = w.services["RSA-3072"]
	}
	var made [][]byte
	var err error
	ext, detached := ".p7m", ""
	switch format {
	case "PAdES":
		ext = ".pdf"
		made, err = w.pades(a, services, content)
	case "CAdES detached":
		ext = ".p7s"
		detached = filepath.Join(folder, name(format, shape, a.name)+".content")
		if err := os.WriteFile(detached, content, 0o600); err != nil {
			return nil, err
		}
		made, err = w.cades(a, services, content, false)
	default:
		made, err = w.cades(a, services, content, true)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %s, %s: %w", format, shape, a.name, err)
	}
	var out []subject
	before := content
	for i, data := range made {
		s := subject{
			artefact: artefact{filepath.Join(folder, name(format, shape, a.name, stages[i])+ext), detached},
			format:   format, level: stages[i], alg: a.name, shape: shape, before: before,
		}
		if err := os.WriteFile(s.file, data, 0o600); err != nil {
			return nil, err
		}
		out = append(out, s)
		before = data
	}
	return out, nil
}

func name(parts ...string) string {
	return strings.NewReplacer(" ", "-", "#", "").Replace(strings.Join(parts, "_"))
}

// pades returns the file at every level.
func (w *world) pades(a algorithm, services cades.Services, in []byte) ([][]byte, error) {
	ctx, id := context.Background(), w.signatory[a.key]
	o := pades.Options{SigningTime: w.signedAt, Chain: id.chain, Algorithm: a.alg, Name: "Шевченко Тарас", Reserve: 16 << 10}
	p, err := pades.Prepare(ctx, bytes.NewReader(in), int64(len(in)), o)
	if err != nil {
		return nil, err
	}
	value, err := id.sign(a.alg, p.DTBSR()) // the one signature: all levels are made of it
	if err != nil {
		return nil, err
	}
	cms, err := cades.Assemble(cades.Parts{SignedAttributes: p.SignedAttributes(), Signature: value, Algorithm: a.alg, Chain: id.chain})
	if err != nil {
		return nil, err
	}
	stamped, err := w.stamp(ctx, services, cms, value)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, c := range [][]byte{cms, stamped} {
		tail, err := p.EmbedCMS(c)
		if err != nil {
			return nil, err
		}
		out = append(out, append(bytes.Clone(in), tail...))
	}
	for _, to := range []cades.Level{cades.LevelBLT, cades.LevelBLTA, cades.LevelBLTA} {
		data := out[len(out)-1]
		tail, err := longterm.Augment(ctx, bytes.NewReader(data), int64(len(data)), to, services, pdf.Limits{})
		if err != nil {
			return nil, fmt.Errorf("to %v: %w", to, err)
		}
		out = append(out, append(bytes.Clone(data), tail...))
	}
	return out, nil
}

func (w *world) stamp(ctx context.Context, services cades.Services, cms, value []byte) ([]byte, error) {
	imprint := crypto.SHA256.New()
	imprint.Write(value)
	token, err := services.Stamper.Stamp(ctx, crypto.SHA256, imprint.Sum(nil))
	if err != nil {
		return nil, err
	}
	return levels.AddTimeStamp(cms, token)
}

func digester(content []byte) levels.Content {
	return func(h crypto.Hash) ([]byte, error) {
		sum := h.New()
		_, err := io.Copy(sum, bytes.NewReader(content))
		return sum.Sum(nil), err
	}
}

// cades returns the CMS at every level.
func (w *world) cades(a algorithm, services cades.Services, content []byte, attached bool) ([][]byte, error) {
	ctx, id := context.Background(), w.signatory[a.key]
	digest, err := digester(content)(a.alg.Hash())
	if err != nil {
		return nil, err
	}
	attrs, err := cades.SignedAttributes(cades.CAdES, cades.Attributes{
		Certificate: id.chain[0], ContentDigest: digest, Algorithm: a.alg, SigningTime: w.signedAt, MIMEType: "application/octet-stream",
	})
	if err != nil {
		return nil, err
	}
	sum := a.alg.Hash().New()
	sum.Write(attrs)
	value, err := id.sign(a.alg, sum.Sum(nil))
	if err != nil {
		return nil, err
	}
	parts := cades.Parts{SignedAttributes: attrs, Signature: value, Algorithm: a.alg, Chain: id.chain}
	var data []byte
	source := digester(content)
	if attached {
		var b bytes.Buffer
		err = cades.AssembleAttached(&b, parts, bytes.NewReader(content), int64(len(content)))
		data, source = b.Bytes(), nil
	} else {
		data, err = cades.Assemble(parts)
	}
	if err != nil {
		return nil, err
	}
	out := [][]byte{data}
	for _, to := range []cades.Level{cades.LevelBT, cades.LevelBLT, cades.LevelBLTA, cades.LevelBLTA} {
		if data, err = levels.Augment(ctx, data, source, to, services); err != nil {
			return nil, fmt.Errorf("to %v: %w", to, err)
		}
		out = append(out, data)
	}
	return out, nil
}
