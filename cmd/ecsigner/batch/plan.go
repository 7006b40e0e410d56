package batch

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// plan finds the files, and what an earlier run did with them.
func (r *run) plan() error {
	files, err := r.find()
	if err != nil {
		return err
	}
	r.file = r.State
	if r.file == "" {
		r.file = ".ecsigner-sign.json"
		if info, err := os.Stat(r.Out); err == nil && info.IsDir() {
			r.file = filepath.Join(r.Out, r.file)
		}
	}
	fresh := state{Options: r.digest(files)}
	switch text, err := os.ReadFile(r.file); {
	case err == nil:
		if err := json.Unmarshal(text, &r.state); err != nil {
			return fmt.Errorf("%s: %w", r.file, err)
		}
		if r.state.Options != fresh.Options {
			return fmt.Errorf("%s: %w", r.file, ErrOther)
		}
		fmt.Fprintf(r.Report, "going on with the run in %s\n", r.file)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, f := range files {
		if _, err := os.Stat(f.Target); err == nil {
			return fmt.Errorf("%s %w", f.Target, ErrExists)
		}
	}
	for part := range slices.Chunk(files, perOperation) {
		fresh.Groups = append(fresh.Groups, Group{Request: client.RequestID(), Files: part})
	}
	r.state = fresh
	return r.save()
}

// save stores the state, wholly or not at all.
func (r *run) save() error {
	text, err := json.MarshalIndent(r.state, "", "  ")
	if err != nil {
		return err
	}
	return write(r.file, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// digest stands for the files and everything that decides on the result.
func (r *run) digest(files []File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%q %q\n", f.Path, f.Target)
	}
	fmt.Fprintf(h, "%v\n%v\n", r.Request.String(), r.Item.String())
	return fmt.Sprintf("%x", h.Sum(nil))
}

// find lists the files: those that are named, and those in folders that the format fits, in order.
func (r *run) find() ([]File, error) {
	var all []File
	several := len(r.Paths) > 1
	for _, path := range r.Paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			all = append(all, File{Path: path})
			continue
		}
		several = true
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && r.fits(e.Name()) {
				all = append(all, File{Path: filepath.Join(path, e.Name())})
			}
		}
	}
	if len(all) == 0 {
		return nil, ErrNothing
	}
	if several && r.Out != "" {
		if err := os.MkdirAll(r.Out, 0o755); err != nil { // as open as the folder above it
			return nil, err
		}
	}
	seen := map[string]bool{}
	for i := range all {
		all[i].Target = r.target(all[i].Path, several)
		if seen[all[i].Target] {
			return nil, fmt.Errorf("two files would become %s; sign them in two runs", all[i].Target)
		}
		seen[all[i].Target] = true
	}
	return all, nil
}

// fits tells whether a file of a folder is meant: no result of an earlier run, and nothing hidden.
func (r *run) fits(name string) bool {
	lower := strings.ToLower(name)
	for _, end := range []string{".signed.pdf", ".p7s", ".p7m", ".tlog-proof"} {
		if strings.HasSuffix(lower, end) {
			return false
		}
	}
	return !strings.HasPrefix(name, ".") && (!r.pdf() || strings.HasSuffix(lower, ".pdf"))
}

func (r *run) pdf() bool { return r.Item.GetFormat() == pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B }

func (r *run) target(path string, several bool) string {
	name := filepath.Base(path)
	switch {
	case r.pdf():
		name = strings.TrimSuffix(name, ".pdf") + ".signed.pdf"
	case r.Item.GetFormat() == pb.SignatureFormat_SIGNATURE_FORMAT_CADES_ATTACHED:
		name += ".p7m"
	default:
		name += ".p7s"
	}
	if r.Out == "" {
		return filepath.Join(filepath.Dir(path), name)
	}
	if info, err := os.Stat(r.Out); several || err == nil && info.IsDir() {
		return filepath.Join(r.Out, name)
	}
	return r.Out
}
