package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/batch"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
)

// signFlags are what the sign command is told.
type signFlags struct {
	dir, credential, title, language, algorithm, out, state string
	level, format, commitment                               string
	policy, policyDigest                                    string
	highValue                                               bool
	wait                                                    time.Duration
	options                                                 pb.SignatureOptions
	policyURI, visible, picture, look                       string
}

func signCommand() *cobra.Command {
	var f signFlags
	c := &cobra.Command{
		Use: "sign FILE|FOLDER…", Short: "Sign files as a document system: uploads them, asks for the code, saves the signed files",
		Long: `sign uploads the files, has the engine send one code for all of them to the person's phone, asks for that code on the
terminal (or reads it from standard input), waits until the wanted level is there, and writes the signed files and,
beside each with the ending .tlog-proof, the receipt of the operation log. Of a folder it takes the PDF files, or with
another format than pades all files; 100 go under one code. After a wrong code it asks again while tries are left. The
client must be a document system with a grant.

What was achieved stands in a state file. A run that was interrupted, or whose levels were not ready in time, is taken up
by the same command; nothing is signed twice. Where a level is given up, the highest one that there is is kept.`,
		Example: `  ecsigner sign contract.pdf --credential CREDENTIAL --title "Contract No. 17" --language pl
  ecsigner sign contracts --out signed --credential CREDENTIAL --level B-LTA --title "Contracts of May"
  ecsigner sign data.csv --format cades --credential CREDENTIAL --commitment proof-of-approval`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.run(args)
			if err != nil {
				return err
			}
			ask := codeReader{in: cmd.InOrStdin(), out: cmd.ErrOrStderr(), lines: bufio.NewReader(cmd.InOrStdin())}
			o.Code, o.Report, o.Show = ask.code, cmd.OutOrStdout(), progress(cmd.ErrOrStderr())
			return with(f.dir, func(c *client.Conn) error { return batch.Sign(cmd.Context(), c, o) })
		},
	}
	profile(c, &f.dir)
	f.add(c)
	return c
}

func (f *signFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.credential, "credential", "", "id of the credential, as credential list prints it (required)")
	_ = c.MarkFlagRequired("credential")
	s.StringVar(&f.title, "title", "", "title that the person is shown (default the file's name)")
	s.StringVar(&f.language, "language", "uk", "language of the text to the phone: uk, pl or en")
	s.StringVar(&f.algorithm, "algorithm", "", "how to sign, as the key allows: "+algorithmWords()+" (default the credential's first)")
	s.BoolVar(&f.highValue, "high-value", false, "the codes have more digits")
	s.StringVar(&f.format, "format", "pades", "what to make: pades, cades (detached, .p7s) or cades-attached (.p7m)")
	s.StringVar(&f.level, "level", "B-B", "level: B-B, B-T, B-LT or B-LTA")
	s.DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for the level before the command ends")
	s.StringVarP(&f.out, "out", "o", "", "where to write: a file for one file, else a folder (default beside each file, with the ending .signed.pdf, .p7s or .p7m)")
	s.StringVar(&f.state, "state", "", "state file of the run (default .ecsigner-sign.json in the folder of --out, or here)")
	s.StringVar(&f.options.Reason, "reason", "", "PDF: why it is signed")
	s.StringVar(&f.options.Location, "location", "", "PDF: where it is signed")
	s.StringVar(&f.options.Contact, "contact", "", "PDF: how to reach the signatory")
	s.StringVar(&f.options.FieldName, "field", "", "PDF: name of the signature field, an empty one or a new one")
	s.Uint32Var(&f.options.Certification, "certify", 0, "PDF: certify the document, allowing 1 nothing, 2 forms and signatures, 3 comments too")
	s.StringVar(&f.visible, "visible", "", "PDF: show the signature on a page, 1 the first, or last; optionally with a corner, such as last:top-left, or a rectangle in points, such as 1:36,36,252,108")
	s.StringVar(&f.look, "appearance", "", "PDF: JSON file with more of what a visible signature looks like, the fields of SignatureAppearance")
	s.StringVar(&f.picture, "picture", "", "PDF: picture in a visible signature, a PNG or JPEG file of at most 256 KiB")
	s.StringVar(&f.options.MimeType, "mime-type", "", "CAdES: media type of the content")
	s.StringVar(&f.commitment, "commitment", "", "commitment: proof-of-origin, -receipt, -delivery, -sender, -approval or -creation")
	s.StringArrayVar(&f.options.ClaimedRoles, "role", nil, "role that the signatory claims; may be repeated")
	s.StringVar(&f.policy, "policy", "", "object identifier of the signature policy")
	s.StringVar(&f.policyDigest, "policy-digest", "", "SHA-256 of the policy document, hexadecimal")
	s.StringVar(&f.policyURI, "policy-uri", "", "address of the policy document")
}

// signatureAlgorithm reads the word of --algorithm: the proto's name in small letters, such as rsa-pss-sha384. Without a hash it
// means SHA-256; no word leaves the choice to the engine.
func signatureAlgorithm(word string) (pb.SignatureAlgorithm, error) {
	if word == "" {
		return pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_UNSPECIFIED, nil
	}
	for _, name := range []string{word, word + "-sha256"} {
		n := pb.SignatureAlgorithm_value["SIGNATURE_ALGORITHM_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")]
		if a := pb.SignatureAlgorithm(n); n != 0 && algorithmWord(a) == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("--algorithm %q is unknown; use %s, or leave it out", word, algorithmWords())
}

// algorithmWord is how --algorithm writes an algorithm.
func algorithmWord(a pb.SignatureAlgorithm) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(a.String(), "SIGNATURE_ALGORITHM_")), "_", "-")
}

// algorithmWords lists the words of --algorithm.
func algorithmWords() string {
	var all []string
	for n := range int32(len(pb.SignatureAlgorithm_name)) { //nolint:gosec // a few
		if n > 0 {
			all = append(all, strings.TrimSuffix(algorithmWord(pb.SignatureAlgorithm(n)), "-sha256"))
		}
	}
	slices.Sort(all)
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// signatureFormats are the words of --format.
func signatureFormats() map[string]pb.SignatureFormat {
	return map[string]pb.SignatureFormat{
		"pades":          pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
		"cades":          pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B,
		"cades-attached": pb.SignatureFormat_SIGNATURE_FORMAT_CADES_ATTACHED,
	}
}

// levelOf reads the word of --level; below is the lowest that is allowed.
func levelOf(text string, below pb.SignatureLevel) (pb.SignatureLevel, error) {
	l := pb.SignatureLevel_value["SIGNATURE_LEVEL_"+strings.ReplaceAll(strings.ToUpper(text), "-", "_")]
	if l < int32(below) || l == 0 {
		return 0, fmt.Errorf("--level %q is unknown; use B-B (sign only), B-T, B-LT or B-LTA", text)
	}
	return pb.SignatureLevel(l), nil
}

// run turns flags into what is asked for.
func (f *signFlags) run(paths []string) (batch.Options, error) {
	algorithm, err := signatureAlgorithm(f.algorithm)
	if err != nil {
		return batch.Options{}, err
	}
	format, ok := signatureFormats()[f.format]
	if !ok {
		return batch.Options{}, fmt.Errorf("--format %q is unknown; use pades, cades or cades-attached", f.format)
	}
	level, err := levelOf(f.level, pb.SignatureLevel_SIGNATURE_LEVEL_B_B)
	if err != nil {
		return batch.Options{}, err
	}
	if f.commitment != "" {
		c, ok := pb.CommitmentType_value["COMMITMENT_TYPE_"+strings.ReplaceAll(strings.ToUpper(f.commitment), "-", "_")]
		if !ok || c == 0 {
			return batch.Options{}, fmt.Errorf("--commitment %q is unknown; use proof-of-origin, -receipt, -delivery, -sender, -approval or -creation", f.commitment)
		}
		f.options.CommitmentType = pb.CommitmentType(c)
	}
	if f.policy != "" {
		digest, err := hex.DecodeString(f.policyDigest)
		if err != nil || len(digest) != 32 {
			return batch.Options{}, errors.New("--policy needs --policy-digest, 64 hexadecimal digits")
		}
		f.options.Policy = &pb.SignaturePolicy{Oid: f.policy, Sha256: digest, Uri: f.policyURI}
	}
	if f.options.Appearance, err = f.appearance(); err != nil {
		return batch.Options{}, err
	}
	if f.title == "" {
		f.title = filepath.Base(paths[0])
	}
	return batch.Options{
		Paths: slices.Clone(paths), Out: f.out, State: f.state, Wait: f.wait,
		Request: &pb.CreateSigningOperationRequest{
			CredentialId: f.credential, Title: f.title, Language: f.language, Algorithm: algorithm, HighValue: f.highValue,
		},
		Item: &pb.SigningItemRequest{Format: format, Level: level, Options: &f.options},
	}, nil
}

// appearance reads --visible, --picture and --appearance; nil: invisible.
func (f *signFlags) appearance() (*pb.SignatureAppearance, error) {
	if f.visible == "" && f.picture == "" && f.look == "" {
		return nil, nil
	}
	a := &pb.SignatureAppearance{Language: f.language}
	if f.look != "" {
		text, err := os.ReadFile(f.look)
		if err != nil {
			return nil, err
		}
		if err := protojson.Unmarshal(text, a); err != nil {
			return nil, fmt.Errorf("--appearance %s: %w", f.look, err)
		}
	}
	if err := place(a, f.visible); err != nil || f.picture == "" {
		return a, err
	}
	var err error
	a.Picture, err = os.ReadFile(f.picture)
	return a, err
}

// place reads --visible: a page, with a corner of it or a rectangle on it.
func place(a *pb.SignatureAppearance, text string) error {
	if text == "" {
		return nil
	}
	page, where, _ := strings.Cut(text, ":")
	a.Page = 0
	if page != "" && page != "last" {
		n, err := strconv.ParseUint(page, 10, 20)
		if err != nil || n == 0 {
			return fmt.Errorf("--visible %q is no page; use 1, 2, … or last", text)
		}
		a.Page = uint32(n)
	}
	if sides := strings.Split(where, ","); len(sides) == 4 {
		var r pb.PageRectangle
		for i, side := range []*float64{&r.Left, &r.Bottom, &r.Right, &r.Top} {
			var err error
			if *side, err = strconv.ParseFloat(strings.TrimSpace(sides[i]), 64); err != nil {
				return fmt.Errorf("--visible %q: %q is no number of points", text, sides[i])
			}
		}
		a.Rectangle = &r
		return nil
	}
	if where == "" || where == "bottom-right" {
		return nil
	}
	c := pb.PageCorner_value["PAGE_CORNER_"+strings.ReplaceAll(strings.ToUpper(where), "-", "_")]
	if c == 0 {
		return fmt.Errorf("--visible %q has no such place; use bottom-right, bottom-left, top-right or top-left, or left,bottom,right,top in points", text)
	}
	a.Corner = pb.PageCorner(c)
	return nil
}

func augmentCommand() *cobra.Command {
	var dir, level string
	var r batch.Raise
	c := &cobra.Command{
		Use: "augment FILE…", Short: "Raise signatures to a higher level, made here or elsewhere, or time-stamp a PDF",
		Long: `augment uploads each file, has the engine raise the signatures in it to a level, and writes the result beside it, with
.augmented before the ending. A file is a signed PDF, or a CMS signature (.p7s, .p7m, BER or DER); what a detached one
signs is given with --content. Nothing that is signed changes and no key of a person is used. Of what is at B-LTA
already, B-LTA renews the archive time-stamp. The client must be a document system.`,
		Example: `  ecsigner augment contract.signed.pdf --level B-LTA
  ecsigner augment data.csv.p7s --content data.csv --level B-LT
  ecsigner augment report.pdf --timestamp-only`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Level, err = levelOf(level, pb.SignatureLevel_SIGNATURE_LEVEL_B_T); err != nil {
				return err
			}
			r.Paths, r.Report, r.Show = args, cmd.OutOrStdout(), progress(cmd.ErrOrStderr())
			return with(dir, func(c *client.Conn) error { return batch.Augment(cmd.Context(), c, r) })
		},
	}
	profile(c, &dir)
	c.Flags().StringVar(&level, "level", "B-LTA", "level: B-T, B-LT or B-LTA")
	c.Flags().StringVar(&r.Content, "content", "", "the file that a detached signature signs")
	c.Flags().BoolVar(&r.Stamp, "timestamp-only", false, "a document time-stamp for a PDF, whether or not it is signed")
	c.Flags().StringVarP(&r.Out, "out", "o", "", "where to write: a file for one file, else a folder (default beside each file)")
	c.Flags().DurationVar(&r.Wait, "wait", 10*time.Minute, "how long to wait for each file")
	return c
}

// progress is a bar on a terminal, and lines elsewhere.
func progress(w io.Writer) *batch.Progress {
	f, ok := w.(*os.File)
	return &batch.Progress{W: w, Terminal: ok && term.IsTerminal(int(f.Fd())), Now: time.Now} //nolint:gosec // a small number
}

// codeReader asks for codes.
type codeReader struct {
	in    io.Reader
	out   io.Writer
	lines *bufio.Reader
}

// code reads one; on a terminal without echo.
func (r codeReader) code() (string, error) {
	fmt.Fprint(r.out, "code from the phone: ")
	if f, ok := r.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a small number
		b, err := term.ReadPassword(int(f.Fd())) //nolint:gosec // a small number
		fmt.Fprintln(r.out)
		return strings.TrimSpace(string(b)), err
	}
	line, err := r.lines.ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line, nil
	}
	if err == nil {
		err = errors.New("no code was given")
	}
	return "", fmt.Errorf("reading the code: %w", err)
}
