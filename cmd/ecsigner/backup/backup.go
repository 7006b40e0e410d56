package backup

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/store"
)

const (
	partial  = ".partial-" // begins the name of a backup that is being written
	lockFile = ".lock"
	stamp    = "20060102T150405Z"

	// MaxKeep is how many backups one directory may hold.
	MaxKeep = 1000
)

// ErrBusy: another backup is being made into the same directory.
var ErrBusy = errors.New("backup: another backup is being made there; wait for its end")

// Options of Make.
type Options struct {
	Config  string // the configuration file that cfg was read from
	To      string // directory of backups, made when absent
	Keep    int    // how many of this installation stay, 1 to MaxKeep: the oldest go once the new one is whole
	Version string // of the program
	Now     time.Time
}

// Result of Make.
type Result struct {
	Dir      string
	Manifest Manifest
	Removed  []string // older backups that went
}

// Make writes a backup into a new directory below o.To and verifies it. The installation may be served meanwhile. The
// backup appears whole and synced under its name, or not at all; nothing that is there is overwritten.
func Make(ctx context.Context, cfg config.Config, o Options) (_ Result, err error) {
	if o.Keep < 1 || o.Keep > MaxKeep {
		return Result{}, fmt.Errorf("backup: keep 1 to %d backups", MaxKeep)
	}
	if err := os.MkdirAll(o.To, 0o700); err != nil {
		return Result{}, err
	}
	unlock, err := claim(o.To)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(o.To); err != nil {
		return Result{}, err
	}
	name := fmt.Sprintf("%s-%s", cfg.Installation, o.Now.UTC().Format(stamp))
	final, draft := filepath.Join(o.To, name), filepath.Join(o.To, partial+name)
	if _, err := os.Lstat(final); !errors.Is(err, fs.ErrNotExist) {
		return Result{}, fmt.Errorf("backup: %s: %w", final, fs.ErrExist)
	}
	m, err := write(ctx, cfg, draft, o)
	if err != nil {
		return Result{}, errors.Join(err, os.RemoveAll(draft))
	}
	// step 5: the backup appears under its name.
	if err := errors.Join(os.Rename(draft, final), syncDir(o.To)); err != nil {
		return Result{}, err
	}
	failpoint("backup", 5)
	// step 6: the oldest go.
	removed, err := prune(o.To, cfg.Installation, o.Keep)
	failpoint("backup", 6)
	return Result{Dir: final, Manifest: m, Removed: removed}, err
}

// write fills the draft. The head file is read first: what it knows is in the database that is copied after it.
func write(ctx context.Context, cfg config.Config, draft string, o Options) (Manifest, error) {
	if err := os.MkdirAll(filepath.Join(draft, filepath.Dir(DatabaseFile)), 0o700); err != nil {
		return Manifest{}, err
	}
	// step 1: head file, configuration and certificates.
	heads, err := os.ReadFile(cfg.Path(cfg.Data, "heads"))
	if err != nil {
		return Manifest{}, err
	}
	claim, err := audit.ReadHeadClaim(heads)
	if err != nil {
		return Manifest{}, err
	}
	if err := put(filepath.Join(draft, HeadFile), claim.Whole); err != nil {
		return Manifest{}, err
	}
	if err := copySettings(cfg, o.Config, draft); err != nil {
		return Manifest{}, err
	}
	failpoint("backup", 1)
	// step 2: the database, as it stands at one moment.
	database := filepath.Join(draft, DatabaseFile)
	if err := store.Snapshot(ctx, cfg.Path(cfg.Data, "db"), database); err != nil {
		return Manifest{}, err
	}
	failpoint("backup", 2)
	// step 3: what was written is read again.
	facts, err := store.Inspect(ctx, database, claim.Size)
	if err != nil {
		return Manifest{}, err
	}
	if root, ok := facts.Roots[claim.Size]; !ok || root != claim.Root {
		return Manifest{}, fmt.Errorf("%w: the database, of %d entries, does not hold the %d that the head file remembers",
			store.ErrRolledBack, facts.Size, claim.Size)
	}
	failpoint("backup", 3)
	// step 4: the manifest.
	m := Manifest{
		Format: Format, Installation: cfg.Installation, Made: o.Now.UTC().Truncate(time.Second), Version: o.Version, Schema: facts.Schema,
		Size: facts.Size, Root: base64.StdEncoding.EncodeToString(facts.Root[:]), LeftOut: leftOut(),
	}
	if m.Files, err = list(draft); err != nil {
		return Manifest{}, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Manifest{}, err
	}
	if err := put(filepath.Join(draft, ManifestFile), append(text, '\n')); err != nil {
		return Manifest{}, err
	}
	err = errors.Join(syncDir(filepath.Join(draft, "db")), syncDir(filepath.Join(draft, PKIDir)), syncDir(draft))
	failpoint("backup", 4)
	return m, err
}

// copySettings copies the configuration and what is public: certificates, the root's revocation list, the log's key.
func copySettings(cfg config.Config, file, draft string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := errors.Join(put(filepath.Join(draft, ConfigFile), text), os.Mkdir(filepath.Join(draft, PKIDir), 0o700)); err != nil {
		return err
	}
	files, err := os.ReadDir(cfg.Path(PKIDir))
	if err != nil {
		return err
	}
	for _, f := range files {
		public := slices.Contains([]string{".cer", ".crl", ".vkey"}, filepath.Ext(f.Name()))
		if !f.Type().IsRegular() || !public {
			continue
		}
		b, err := os.ReadFile(cfg.Path(PKIDir, f.Name()))
		if err == nil {
			err = put(filepath.Join(draft, PKIDir, f.Name()), b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// List returns the directories of an installation's backups below dir, the oldest first. An absent dir holds none.
func List(dir, installation string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ours := regexp.MustCompile("^" + regexp.QuoteMeta(installation) + `-\d{8}T\d{6}Z$`)
	var found []string
	for _, e := range entries {
		if e.IsDir() && ours.MatchString(e.Name()) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(found)
	return found, nil
}

// prune removes the oldest backups of an installation beyond keep. One that is half removed after a crash lacks its
// manifest first, so that nobody takes it for a backup.
func prune(dir, installation string, keep int) ([]string, error) {
	found, err := List(dir, installation)
	if err != nil || len(found) <= keep {
		return nil, err
	}
	old := found[:len(found)-keep]
	for _, d := range old {
		if err := os.Remove(filepath.Join(d, ManifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := os.RemoveAll(d); err != nil {
			return nil, err
		}
	}
	return old, syncDir(dir)
}

// claim keeps others from making a backup into the same directory. The kernel ends the claim with the process.
func claim(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrBusy, dir), f.Close())
	}
	return f.Close, nil
}

// sweep removes what a crash left of backups that were being written.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partial) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// put writes a new file and syncs it.
func put(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
