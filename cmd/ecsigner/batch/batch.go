// Package batch has files signed and augmented from a command line: many under one code, taken up again where an earlier run
// was interrupted, with a line or a bar for what goes on.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// perOperation is how many files one code signs at most.
const perOperation = 100

// Errors of a run.
var (
	// ErrOther: an unfinished run with other options or files lies in the state file.
	ErrOther = errors.New("an unfinished run with other files or options is in the state file: repeat that one, or remove it")
	// ErrExists: a result would overwrite a file.
	ErrExists = errors.New("exists; choose another place with --out")
	// ErrNothing: no file was found that could be signed.
	ErrNothing = errors.New("no file to sign")
	// ErrUnfinished: some levels are not ready yet; the same command goes on.
	ErrUnfinished = errors.New("not everything is ready; run the same command again")
	// ErrLower: a level was given up, and the highest that there is was kept.
	ErrLower = errors.New("a level was given up; the highest one that there is was kept, and can be augmented later")
)

// Options of one run.
type Options struct {
	Paths   []string                          // files and folders
	Request *pb.CreateSigningOperationRequest // without id and items
	Item    *pb.SigningItemRequest            // of each file, without source
	Out     string                            // a file for one file, else a folder; empty: beside each file
	State   string                            // path of the state file; empty: in Out, or here
	Wait    time.Duration                     // for levels
	Code    func() (string, error)            // asks for the code that came to the phone
	Report  io.Writer                         // what was done
	Show    *Progress
}

// File is one file of a run.
type File struct {
	Path     string `json:"path"`
	Target   string `json:"target"`
	Digest   string `json:"sha256,omitempty"` // of what was uploaded
	Document string `json:"document,omitempty"`
	Done     bool   `json:"done"`
	lower    bool
}

// Group is what one code signs.
type Group struct {
	Request   string `json:"request"`
	Operation string `json:"operation,omitempty"`
	Signed    bool   `json:"signed"`
	Files     []File `json:"files"`
}

// state is an unfinished run, as it is stored.
type state struct {
	Options string  `json:"options"` // digest of everything that decides on the result
	Groups  []Group `json:"groups"`
}

// Sign has everything signed. What an interrupted run has achieved is not done again.
func Sign(ctx context.Context, c *client.Conn, o Options) error {
	r := &run{Options: o, c: c}
	if err := r.plan(); err != nil {
		return err
	}
	var missing, lower error
	for i := range r.state.Groups {
		g := &r.state.Groups[i]
		err := r.group(ctx, g)
		switch {
		case errors.Is(err, ErrUnfinished):
			missing = err
		case errors.Is(err, ErrLower):
			lower = err
		case err != nil:
			return errors.Join(err, r.save())
		}
	}
	if missing != nil {
		return missing
	}
	return errors.Join(lower, removed(r.file))
}

func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type run struct {
	Options
	c     *client.Conn
	file  string // of the state
	state state
}

// group brings one operation to its end.
func (r *run) group(ctx context.Context, g *Group) error {
	if !slices.ContainsFunc(g.Files, func(f File) bool { return !f.Done }) {
		return nil
	}
	if err := r.prepare(ctx, g); err != nil {
		return err
	}
	if !g.Signed {
		if err := r.authorise(ctx, g); err != nil {
			return err
		}
	}
	o, err := r.await(ctx, g)
	if err != nil {
		return err
	}
	return r.fetch(ctx, g, o)
}

// prepare uploads the files and begins the operation.
func (r *run) prepare(ctx context.Context, g *Group) error {
	if g.Operation != "" {
		return nil
	}
	for i := range g.Files {
		f := &g.Files[i]
		if f.Document != "" {
			continue
		}
		if err := r.upload(ctx, f, i, len(g.Files)); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if err := r.save(); err != nil {
			return err
		}
	}
	request := &pb.CreateSigningOperationRequest{
		RequestId: g.Request, CredentialId: r.Request.GetCredentialId(), Title: r.Request.GetTitle(), Language: r.Request.GetLanguage(),
		Algorithm: r.Request.GetAlgorithm(), HighValue: r.Request.GetHighValue(),
	}
	for _, f := range g.Files {
		request.Items = append(request.Items, &pb.SigningItemRequest{
			Source: &pb.SigningItemRequest_DocumentId{DocumentId: f.Document}, Format: r.Item.GetFormat(), Level: r.Item.GetLevel(),
			Options: r.Item.GetOptions(),
		})
	}
	created, err := r.c.Signing.CreateSigningOperation(ctx, request)
	if reason := client.Reason(err); reason == "DOCUMENT_GONE" || reason == "NOT_FOUND" { // the run was interrupted for too long
		*g = Group{Request: client.RequestID(), Files: g.Files}
		for i := range g.Files {
			g.Files[i].Document = ""
		}
		return errors.Join(fmt.Errorf("%w; run the same command again to upload the files anew", err), r.save())
	}
	if err != nil {
		return err
	}
	g.Operation = created.GetOperation().GetId()
	for _, f := range g.Files {
		fmt.Fprintf(r.Report, "document  %s\nSHA-256   %s\n", f.Path, f.Digest)
	}
	fmt.Fprintf(r.Report, "operation %s\n", g.Operation)
	return r.save()
}

func (r *run) upload(ctx context.Context, f *File, n, of int) error {
	in, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	d, err := r.c.Upload(ctx, filepath.Base(f.Path), in, func(sent int64) {
		r.Show.step("uploading", filepath.Base(f.Path), n, of, sent, info.Size())
	})
	if err != nil {
		r.Show.clear()
		return err
	}
	r.Show.done("uploaded", f.Path)
	f.Document, f.Digest = d.GetId(), fmt.Sprintf("%x", d.GetSha256())
	return nil
}

// authorise asks for the code until it is right or the service says that no more tries are left. An operation that was
// authorised in an earlier run needs none.
func (r *run) authorise(ctx context.Context, g *Group) error {
	o, err := r.c.Signing.GetSigningOperation(ctx, &pb.GetSigningOperationRequest{OperationId: g.Operation})
	if err != nil {
		return err
	}
	switch o.GetOperation().GetState() {
	case pb.SigningState_SIGNING_STATE_CLOSED:
		// Nobody authorised it in time. The documents are still there, so only the operation is begun anew.
		*g = Group{Request: client.RequestID(), Files: g.Files}
		if err := r.save(); err != nil {
			return err
		}
		if err := r.prepare(ctx, g); err != nil {
			return err
		}
	case pb.SigningState_SIGNING_STATE_SIGNED:
		g.Signed = true
		return r.save()
	}
	for {
		code := ""
		if o.GetOperation().GetState() != pb.SigningState_SIGNING_STATE_SIGNING {
			if code, err = r.Code(); err != nil {
				return err
			}
		}
		_, err = r.c.Signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
			RequestId: client.RequestID(), OperationId: g.Operation, Code: code,
		})
		if err == nil {
			g.Signed = true
			return r.save()
		}
		if client.Reason(err) != "CODE_REJECTED" {
			return err
		}
		fmt.Fprintln(r.Show.W, "that code was not right")
	}
}

// await watches the operation until every level is there or given up, or the time is over.
func (r *run) await(ctx context.Context, g *Group) (*pb.SigningOperation, error) {
	ctx, cancel := context.WithTimeout(ctx, max(r.Wait, time.Second))
	defer cancel()
	var last *pb.SigningOperation
	for {
		s, err := r.c.Signing.WatchSigningOperation(ctx, &pb.WatchSigningOperationRequest{OperationId: g.Operation, AfterRevision: last.GetRevision()})
		for err == nil {
			var m *pb.WatchSigningOperationResponse
			if m, err = s.Recv(); err == nil {
				last = m.GetOperation()
				ready, all := levels(last)
				r.Show.step("raising", r.Item.GetLevel().String(), 0, 1, int64(ready), int64(all))
			}
		}
		switch {
		case errors.Is(err, io.EOF) && last != nil:
			r.Show.clear()
			return last, nil
		case ctx.Err() != nil && last != nil: // what is ready is taken; the rest when the command is repeated
			r.Show.clear()
			return last, nil
		case client.Reason(err) != "SHUTTING_DOWN" && client.Reason(err) != "DEADLINE_EXCEEDED":
			return nil, err
		}
	}
}

// levels counts what is ready, and all.
func levels(o *pb.SigningOperation) (ready, all int) {
	for _, it := range o.GetItems() {
		for _, l := range it.GetLevels() {
			all++
			if l.GetState() == pb.LevelState_LEVEL_STATE_READY {
				ready++
			}
		}
	}
	return ready, all
}

// fetch keeps the results that are ready, and says what is not.
func (r *run) fetch(ctx context.Context, g *Group, o *pb.SigningOperation) error {
	missing, lower := 0, 0
	for i := range g.Files {
		f := &g.Files[i]
		if f.Done {
			continue
		}
		level := pb.SignatureLevel_SIGNATURE_LEVEL_B_B
		waiting := false
		for _, l := range o.GetItems()[i].GetLevels() {
			switch l.GetState() {
			case pb.LevelState_LEVEL_STATE_READY:
				level = l.GetLevel()
			case pb.LevelState_LEVEL_STATE_GIVEN_UP:
				fmt.Fprintf(r.Report, "given up  %s at %s: %s\n", f.Path, word(l.GetLevel()), l.GetReason())
				f.lower = true
			default:
				waiting = true
				fmt.Fprintf(r.Report, "pending   %s at %s: %s\n", f.Path, word(l.GetLevel()), cmp.Or(l.GetReason(), "being worked on"))
			}
			if l.GetState() != pb.LevelState_LEVEL_STATE_READY {
				break // those above it depend on it
			}
		}
		if waiting {
			missing++
			continue
		}
		if f.lower {
			lower++
		}
		if err := r.keep(ctx, g, o, i, level); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	switch {
	case missing > 0:
		return ErrUnfinished
	case lower > 0:
		return errors.Join(ErrLower, r.complete(ctx, g))
	}
	return r.complete(ctx, g)
}

func (r *run) keep(ctx context.Context, g *Group, o *pb.SigningOperation, i int, level pb.SignatureLevel) error {
	f := &g.Files[i]
	if err := write(f.Target, func(w io.Writer) error {
		_, err := r.c.DownloadLevel(ctx, g.Operation, uint32(i), level, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, w) //nolint:gosec // 0 to 99
		return err
	}); err != nil {
		return err
	}
	if err := os.WriteFile(f.Target+".tlog-proof", o.GetReceipt(), 0o600); err != nil {
		return err
	}
	f.Done = true
	r.Show.done("fetched", f.Target)
	fmt.Fprintf(r.Report, "signed    %s\nlevel     %s\nreceipt   %s\n", f.Target, word(level), f.Target+".tlog-proof")
	return r.save()
}

func (r *run) complete(ctx context.Context, g *Group) error {
	_, err := r.c.Signing.CompleteSigningOperation(ctx, &pb.CompleteSigningOperationRequest{RequestId: client.RequestID(), OperationId: g.Operation})
	return err
}

// word is a level as the standards write it.
func word(l pb.SignatureLevel) string {
	return strings.ReplaceAll(strings.TrimPrefix(l.String(), "SIGNATURE_LEVEL_"), "_", "-")
}

// write makes a file completely or not at all.
func write(path string, content func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := errors.Join(content(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
