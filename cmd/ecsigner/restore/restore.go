// Package restore puts an installation back from a backup and its published operation log.
//
// The log is newer than the backup, and it is the truth: what it tells happened, whether or not a row is left of it. So
// its entries are taken over byte for byte, the log is never shortened, and the rows are brought up to it: certificates
// that were revoked stay revoked, destroyed keys destroyed, spent codes spent, locks locked. What cannot be made again,
// because only the lost database had it, is named one by one, and its certificates are revoked. The epoch of the HSM is
// raised, which voids every operation, code and activation that was open.
package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/backup"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/store"
	"golang.org/x/mod/sumdb/tlog"
)

var (
	// ErrOccupied: there is a database already. Restoring never overwrites one.
	ErrOccupied = errors.New("restore: the installation has a database, which restoring never overwrites; move it away first")
	// ErrMismatch: backup, log and installation do not belong together, or one of them is too old.
	ErrMismatch = errors.New("restore: backup, log and installation do not fit")
	// ErrLog: the published log does not hold.
	ErrLog = errors.New("restore: the published log does not hold")
	// ErrClock: the clock stands before the log's last entry.
	ErrClock = errors.New("restore: the clock is behind the operation log; set the clock right")
)

// Files below engine.RestoringDir.
const (
	workDB     = "db"
	workHeads  = "heads"
	workReport = "report.json"
	complete   = "complete" // everything is there; only names change from then on
)

// Options say what is restored where.
type Options struct {
	Dir    string // of the installation
	Backup string // directory of one backup
	Log    string // the published log, or a copy of it
	Now    func() time.Time
	Say    func(string)
}

// Result says where the report lies.
type Result struct {
	Report string // file
	Text   []byte
}

// work is one restore.
type work struct {
	Options
	cfg      config.Config
	manifest backup.Manifest
	off      *engine.Offline
	gap      [][]byte // entries that the backup lacks
	head     audit.Head
	note     []byte // signed
}

// Run restores. It may be run again after any interruption, with the same or another backup, until it has succeeded once.
// Before its last step nothing that is served later is touched but the epoch.
//
// Errors wrap ErrOccupied, ErrMismatch, ErrLog, ErrClock, backup.ErrBackup, sam.ErrSeal, or are of device, store and files.
func Run(ctx context.Context, o Options) (_ Result, err error) {
	w := &work{Options: o}
	// step 1: the backup is whole, and the installation is its own.
	if err := w.openBackup(ctx); err != nil {
		return Result{}, err
	}
	if _, err := os.Lstat(w.path(complete)); err == nil {
		return w.finish()
	}
	if _, err := os.Lstat(w.cfg.Path(w.cfg.Data, "db", store.FileName)); !errors.Is(err, fs.ErrNotExist) {
		return Result{}, fmt.Errorf("%w: %s", ErrOccupied, w.cfg.Path(w.cfg.Data, "db"))
	}
	failpoint("restore", 1)
	if w.off, err = engine.OpenOffline(ctx, w.cfg); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, w.off.Close()) }()
	// step 2: the log holds, and goes on where the backup ends.
	if err := w.openLog(ctx); err != nil {
		return Result{}, err
	}
	failpoint("restore", 2)
	// step 3: a copy of the database, in a place of its own.
	if err := w.copyDatabase(); err != nil {
		return Result{}, err
	}
	failpoint("restore", 3)
	text, err := w.bringUp(ctx)
	if err != nil {
		return Result{}, err
	}
	// step 8: the report; from here on only names change.
	if err := w.seal(text); err != nil {
		return Result{}, err
	}
	failpoint("restore", 8)
	return w.finish()
}

func (w *work) path(p ...string) string {
	return w.cfg.Path(append([]string{w.cfg.Data, engine.RestoringDir}, p...)...)
}

// openBackup checks the backup and reads the configuration; an installation without one gets that of the backup.
func (w *work) openBackup(ctx context.Context) (err error) {
	if w.manifest, err = backup.Read(w.Backup); err != nil {
		return err
	}
	facts, err := store.Inspect(ctx, filepath.Join(w.Backup, backup.DatabaseFile))
	if err != nil {
		return fmt.Errorf("%w: %w", backup.ErrBackup, err)
	}
	root, err := w.manifest.TreeRoot()
	if err != nil {
		return err
	}
	if facts.Size != w.manifest.Size || facts.Root != root {
		return fmt.Errorf("%w: its database has another log than its manifest says", backup.ErrBackup)
	}
	file := filepath.Join(w.Dir, engine.FileConfig)
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		if err := w.copySettings(); err != nil {
			return err
		}
		w.Say("configuration and certificates of the backup put into " + w.Dir)
	}
	if w.cfg, err = config.Load(file); err != nil {
		return err
	}
	if w.cfg.Installation != w.manifest.Installation {
		return fmt.Errorf("%w: the backup is of installation %q, this is %q", ErrMismatch, w.manifest.Installation, w.cfg.Installation)
	}
	w.Say(fmt.Sprintf("backup of %s is whole: %d entries", w.manifest.Made.Format(time.RFC3339), w.manifest.Size))
	return nil
}

// copySettings puts configuration and certificates where none are, the configuration last.
func (w *work) copySettings() error {
	if err := os.MkdirAll(filepath.Join(w.Dir, backup.PKIDir), 0o755); err != nil { // certificates are public
		return err
	}
	for _, f := range w.manifest.Files {
		if path := filepath.FromSlash(f.Path); filepath.Dir(path) == backup.PKIDir {
			if err := copyFile(filepath.Join(w.Backup, path), filepath.Join(w.Dir, path), 0o644); err != nil {
				return err
			}
		}
	}
	return copyFile(filepath.Join(w.Backup, backup.ConfigFile), filepath.Join(w.Dir, engine.FileConfig), 0o600)
}

// openLog verifies the published log and its tail, and takes from them what the backup lacks.
func (w *work) openLog(ctx context.Context) error {
	lines, err := tiles.ReadTail(w.Log, w.off.Trust.Head)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	_, absent := os.Lstat(filepath.Join(w.Log, "checkpoint"))
	signed := len(lines) == 0 || !errors.Is(absent, fs.ErrNotExist) // in its first second a log has a tail alone
	if signed {
		report, err := tiles.VerifyDir(ctx, w.Log, w.off.VKey)
		if err != nil && len(report.Findings) > 0 {
			err = fmt.Errorf("%w: %s", err, report.Findings[0])
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrLog, w.Log, err)
		}
	}
	want, err := w.milestones()
	if err != nil {
		return err
	}
	var tree audit.CompactRange
	size := int64(0)
	next := func(entry []byte) {
		if size++; size > w.manifest.Size {
			w.gap = append(w.gap, bytes.Clone(entry))
		}
	}
	if signed {
		if w.head, w.note, err = tiles.ReadDir(ctx, w.Log, w.off.VKey, func(_ int64, entry []byte) error {
			tree.Add(tlog.RecordHash(entry))
			next(entry)
			return want.check(size, tree.Root)
		}); err != nil {
			return err
		}
	}
	end, err := tiles.Extend(&tree, size, lines, func(e []byte) { next(e) })
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	// Sizes within the tail are compared when its entries stand in the database.
	if err := want.reached(end, w.head.Size); err != nil {
		return err
	}
	w.Say(fmt.Sprintf("published log holds: %d entries under its checkpoint, %d in its tail", w.head.Size, end-w.head.Size))
	return nil
}

// milestone is a size at which the log must have had a root.
type milestone struct {
	size int64
	root tlog.Hash
	of   string // who says so
	what string // what to do when the log does not reach it
	met  bool
}

type milestones []*milestone

// check compares the root where one is known; root is computed only then.
func (m milestones) check(size int64, root func() tlog.Hash) error {
	for _, s := range m {
		if s.size != size {
			continue
		}
		if root() != s.root {
			return fmt.Errorf("%w: %s knows another log of %d entries", ErrMismatch, s.of, size)
		}
		s.met = true
	}
	return nil
}

// reached fails when the log ends before a size that is known.
func (m milestones) reached(size, checked int64) error {
	for _, s := range m {
		if s.size > size {
			return fmt.Errorf("%w: the log given ends at %d entries, %s knows %d: %s", ErrMismatch, size, s.of, s.size, s.what)
		}
		if s.size <= checked && s.size > 0 && !s.met {
			return fmt.Errorf("%w: %s knows another log", ErrMismatch, s.of)
		}
	}
	return nil
}

// milestones are what backup, a head file that survived and the installation's own published log know.
func (w *work) milestones() (milestones, error) {
	root, err := w.manifest.TreeRoot()
	if err != nil {
		return nil, err
	}
	const newer = "give the newest copy of the log"
	list := milestones{{size: w.manifest.Size, root: root, of: "the backup", what: newer}}
	survived := w.cfg.Path(w.cfg.Data, "heads")
	data, err := os.ReadFile(survived)
	switch {
	case err == nil:
		heads, err := audit.VerifyHeadFile(data, w.off.Trust.Head)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", survived, err)
		}
		list = append(list, &milestone{
			size: heads.Size, root: heads.Root, of: "the head file " + survived,
			what: newer + "; if none is left, entries are lost for good: move the head file away to say that you know",
		})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	own := w.cfg.LogDir()
	text, err := os.ReadFile(filepath.Join(own, "checkpoint"))
	switch {
	case err == nil:
		head, err := audit.OpenHead(w.off.VKey, text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrLog, own, err)
		}
		list = append(list, &milestone{size: head.Size, root: head.Root, of: "the installation's own " + own, what: "give that one"})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return list, nil
}

// copyDatabase begins anew: what an interrupted restore left goes.
func (w *work) copyDatabase() error {
	err := os.RemoveAll(w.path())
	if err == nil {
		err = os.MkdirAll(w.path(workDB), 0o700)
	}
	if err == nil {
		err = copyFile(filepath.Join(w.Backup, backup.DatabaseFile), w.path(workDB, store.FileName), 0o600)
	}
	if err == nil {
		err = copyFile(filepath.Join(w.Backup, backup.HeadFile), w.path(workHeads), 0o600)
	}
	return err
}

// bringUp opens the copy and brings it up to the log. It returns the report.
func (w *work) bringUp(ctx context.Context) (_ []byte, err error) {
	db, err := store.Open(ctx, store.Config{
		Dir: w.path(workDB), HeadFile: w.path(workHeads), HeadMAC: w.off.Trust.Head, Head: w.off.Head, Now: w.Now,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// step 4: every seal is verified, and what the backup lacks is made out.
	p, err := w.plan(ctx, db)
	if err != nil {
		return nil, err
	}
	failpoint("restore", 4)
	// step 5: the epoch is raised: from here on nothing that was open can be used, whatever happens to this restore.
	if p.report.Epoch, err = w.off.Device.RaiseEpoch(ctx); err != nil {
		return nil, err
	}
	w.Say(fmt.Sprintf("epoch raised to %d: every operation, code and activation that was open is void", p.report.Epoch))
	failpoint("restore", 5)
	// step 6: the log's entries, and its signed head.
	if err := w.adopt(ctx, db); err != nil {
		return nil, err
	}
	failpoint("restore", 6)
	// step 7: the rows, in one transaction with what the log is told of it.
	limits := engine.CodeLimits(w.cfg)
	if err := db.Restore(ctx, func(tx store.RestoreTx) error { return p.record(tx, limits) }); err != nil {
		return nil, err
	}
	// What others can read again is what they could read before; the new entries wait for the service to sign a head.
	if err := os.MkdirAll(w.cfg.LogDir(), 0o755); err != nil { // for everybody to read
		return nil, err
	}
	if _, err := tiles.NewExporter(w.cfg.LogDir(), w.off.VKey).Export(ctx, db); err != nil {
		return nil, err
	}
	failpoint("restore", 7)
	w.Say(fmt.Sprintf("%d entries that the backup lacks were replayed; %d records are lost", len(w.gap), len(p.report.Lost)))
	return p.text, nil
}

// plan reads the story of the log and decides what becomes of each record.
func (w *work) plan(ctx context.Context, db *store.DB) (*plan, error) {
	s := newStory()
	if err := db.Events(ctx, func(_ int64, at time.Time, e audit.Event) error {
		s.tell(at, e, false)
		return nil
	}); err != nil {
		return nil, err
	}
	for i, entry := range w.gap {
		at, e, err := audit.Decode(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrLog, w.manifest.Size+int64(i), err)
		}
		s.tell(at, e, true)
	}
	now := w.Now().UTC().Truncate(time.Microsecond)
	if s.latest.Sub(now) > 5*time.Second {
		return nil, fmt.Errorf("%w: it is %s, the last entry is of %s", ErrClock, now.Format(time.RFC3339), s.latest.Format(time.RFC3339))
	}
	p := &plan{off: w.off, story: s, now: now, report: Report{
		Format: Format, Installation: w.cfg.Installation, At: now, Backup: w.manifest.Size, Published: w.head.Size,
		Recovered: w.manifest.Size + int64(len(w.gap)),
	}}
	for _, f := range []func(context.Context, *store.DB) error{p.credentialsOf, p.enrolmentsOf, p.operationsOf} {
		if err := f(ctx, db); err != nil {
			return nil, err
		}
	}
	p.others()
	return p, nil
}

// adopt takes over the entries that the backup lacks, and the head under which they were published.
func (w *work) adopt(ctx context.Context, db *store.DB) error {
	for from := 0; from < len(w.gap); from += page {
		if err := db.Adopt(ctx, w.gap[from:min(len(w.gap), from+page)]); err != nil {
			return err
		}
	}
	if w.note != nil {
		if err := db.AdoptHead(ctx, w.head.Size, w.head.Root, w.note); err != nil {
			return err
		}
	}
	size, err := db.Size(ctx)
	if err != nil {
		return err
	}
	if want := w.manifest.Size + int64(len(w.gap)); size != want {
		return fmt.Errorf("%w: the log has %d entries, %d were expected", store.ErrCorrupt, size, want)
	}
	milestones, err := w.milestones()
	if err != nil {
		return err
	}
	for _, m := range milestones {
		root, err := tlog.TreeHash(m.size, db)
		if err != nil {
			return err
		}
		if m.size > 0 && root != m.root {
			return fmt.Errorf("%w: %s knows another log of %d entries", ErrMismatch, m.of, m.size)
		}
	}
	return nil
}

// seal writes the report and says that the work is complete.
func (w *work) seal(text []byte) error {
	if err := writeFile(w.path(workReport), text, 0o600); err != nil {
		return err
	}
	if err := errors.Join(syncDir(w.path(workDB)), syncDir(w.path())); err != nil {
		return err
	}
	return errors.Join(writeFile(w.path(complete), nil, 0o600), syncDir(w.path()))
}

// finish gives everything its name. It may be interrupted anywhere and run again.
func (w *work) finish() (Result, error) {
	data := w.cfg.Path(w.cfg.Data)
	text, err := os.ReadFile(w.path(workReport))
	if err != nil {
		return Result{}, err
	}
	report := filepath.Join(data, "restore-"+reportTime(text)+".json")
	if err := writeFile(report, text, 0o600); err != nil {
		return Result{}, err
	}
	// What a start without a database left: a directory with a lock.
	if _, err := os.Lstat(filepath.Join(data, workDB, store.FileName)); errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(filepath.Join(data, workDB)); err != nil {
			return Result{}, err
		}
	}
	// step 9: head file and database get their names, the database last.
	for _, name := range []string{workHeads, workDB} {
		if err := os.Rename(w.path(name), filepath.Join(data, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Result{}, err
		}
		if err := syncDir(data); err != nil {
			return Result{}, err
		}
		failpoint("restore", 9)
	}
	// step 10: the service may start.
	if err := errors.Join(os.RemoveAll(w.path()), syncDir(data)); err != nil {
		return Result{}, err
	}
	failpoint("restore", 10)
	w.Say("done; the service can be started")
	return Result{Report: report, Text: text}, nil
}

// reportTime names a report's file after the time in it, so that finishing twice writes the same file.
func reportTime(text []byte) string {
	_, after, _ := strings.Cut(string(text), `"at": "`)
	stamp, _, _ := strings.Cut(after, `"`)
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return "report"
	}
	return at.UTC().Format("20060102T150405Z")
}
