package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/backup"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/otp"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

const (
	late    = 10 * time.Second // by which an entry must have a signed head and be published
	minRoom = 320 << 20        // bytes; ten times that below which nothing is written
)

// published is what the published log came to.
type published struct {
	report tiles.Report
	end    int64 // entries in it and its tail
	err    error
}

// readPublished verifies the published log, and its tail with the key of the trust core.
func readPublished(ctx context.Context, dir, vkey string, mac func([]byte) []byte) (p published) {
	// The tail first: what a checkpoint covers meanwhile leaves it.
	lines, err := tiles.ReadTail(dir, mac)
	if p.err = err; err != nil {
		return p
	}
	var tree audit.CompactRange
	var head audit.Head
	if _, err := os.Lstat(filepath.Join(dir, "checkpoint")); !errors.Is(err, fs.ErrNotExist) { // else it is in its first second
		if p.report, p.err = tiles.VerifyDir(ctx, dir, vkey); p.err != nil {
			if len(p.report.Findings) > 0 {
				p.err = fmt.Errorf("%w: %s", p.err, p.report.Findings[0])
			}
			return p
		}
		head, _, p.err = tiles.ReadDir(ctx, dir, vkey, func(_ int64, e []byte) error {
			tree.Add(tlog.RecordHash(e))
			return nil
		})
		if p.err != nil {
			return p
		}
	}
	p.end, p.err = tiles.Extend(&tree, head.Size, lines, func([]byte) {})
	return p
}

// backups is row 5.
func backups(_ context.Context, s *system) finding {
	if s.cfg.Backup.Dir == "" {
		return none("no directory of backups is configured (backup.dir)")
	}
	dir := s.cfg.Path(s.cfg.Backup.Dir)
	found, err := backup.List(dir, s.cfg.Installation)
	if err != nil {
		return fail("%v", err)
	}
	if keep := s.cfg.Backup.Kept(); len(found) > keep {
		return fail("%d backups lie in %s, %d are allowed", len(found), dir, keep)
	}
	if len(found) == 0 {
		return none("no backup was made yet; at most %d may be", s.cfg.Backup.Kept())
	}
	if text, err := open(dir, dir); err != nil || text != "" {
		return fail("%s %v", text, err)
	}
	for _, b := range found {
		if _, err := backup.Read(b); err != nil {
			return fail("%s: %v", b, err)
		}
	}
	return pass("%d backups of at most %d, all whole and closed to others; signatories' keys in them are wrapped by a key that is not", len(found), s.cfg.Backup.Kept())
}

// open returns the first file or directory below a path that others can enter, read or write.
func open(path, below string) (text string, err error) {
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || text != "" {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			rel, _ := filepath.Rel(filepath.Dir(below), name)
			text = fmt.Sprintf("%s has mode %#o", rel, info.Mode().Perm())
		}
		return err
	})
	return text, err
}

// secrets is row 16: PINs are searched for in everything that the service writes.
func secrets(_ context.Context, s *system) finding {
	if s.cfg.Messages.Provider == "file" && !s.cfg.Test {
		return fail("messages.provider file writes codes to files, which is for tests only")
	}
	var canaries [][]byte
	if pin, err := s.cfg.PIN(); err == nil && len(pin) > 3 {
		canaries = append(canaries, pin)
	}
	if so, err := os.ReadFile(s.cfg.Path("secrets/so.pin")); err == nil && len(bytes.TrimSpace(so)) > 3 {
		canaries = append(canaries, bytes.TrimSpace(so))
	}
	places := []string{s.file, s.cfg.Path(s.cfg.Data), s.cfg.LogDir(), s.cfg.Path("pki")}
	if s.cfg.Backup.Dir != "" {
		places = append(places, s.cfg.Path(s.cfg.Backup.Dir))
	}
	files := 0
	for _, place := range places {
		err := filepath.WalkDir(place, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return ignoreAbsent(err)
			}
			files++
			hit, err := holds(name, canaries)
			if err == nil && hit {
				err = fmt.Errorf("%s holds a PIN", name)
			}
			return ignoreAbsent(err)
		})
		if err != nil {
			return fail("%v", err)
		}
	}
	note := ""
	if s.cfg.Messages.Provider == "file" {
		note = "; the outbox of this test installation holds codes by design"
	}
	return pass("%d PINs were searched for in %d files of database, log, configuration and backups and not found; codes are derived, never stored; a sealed activation stays as evidence and ends after %v%s. In logs, traces and core files: TestNoSecretAnywhere", len(canaries), files, activationLife, note)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// holds reports whether a file holds one of the canaries.
func holds(name string, canaries [][]byte) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read from
	const block, overlap = 1 << 20, 256
	buf := make([]byte, 0, block+overlap)
	for {
		n, err := io.ReadFull(f, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for _, c := range canaries {
			if bytes.Contains(buf, c) {
				return true, nil
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return false, err
		}
		buf = buf[:copy(buf, buf[len(buf)-overlap:])]
	}
}

// guessing is row 18.
func guessing(_ context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	c := s.cfg.Codes
	limits := engine.CodeLimits(s.cfg)
	rows := map[[2]string]otp.Lock{}
	for _, l := range s.locks {
		rows[[2]string{l.Account, l.Caller}] = l
		limit := limits.CallerLock
		if l.Caller == "" {
			limit = limits.AccountLock
		}
		if l.Failures >= limit && l.Locked.IsZero() {
			return fail("%s has %d failures for %q and is not locked", l.Account, l.Failures, l.Caller)
		}
	}
	for key := range s.story.locked {
		if rows[key].Locked.IsZero() {
			return fail("the log says that %s is locked for %q, the database does not", key[0], key[1])
		}
	}
	odds := float64(c.AccountLock) / math.Pow10(c.Digits)
	if odds > 1e-4 {
		return fail("%d tries of %d digits succeed with probability %.1e before the lock", c.AccountLock, c.Digits, odds)
	}
	return pass("%d tries a code; %d failures lock for one client, %d for all: success by guessing at most %.0e; %d locks of the log stand in the database; only an operator unlocks", c.Tries, c.CallerLock, c.AccountLock, odds, len(s.story.locked))
}

// whole is row A.
func whole(_ context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	return pass("every page and every entry was read; the log has %d entries, the head file remembers %d of them with the same root", s.size, s.heads.Size)
}

// waiting returns the age of the oldest entry at or after an index, 0 when there is none.
func (s *system) waiting(from int64) time.Duration {
	if from >= int64(len(s.story.times)) {
		return 0
	}
	return s.now.Sub(s.story.times[from])
}

// fresh is row B.
func fresh(_ context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	if s.noHead != nil && len(s.story.times) > 0 && s.waiting(0) > late {
		return fail("%v", s.noHead)
	}
	if age := s.waiting(s.signed.Size); age > late {
		return fail("%d entries have no signed head, the oldest for %v", s.size-s.signed.Size, age.Round(time.Second))
	}
	return pass("the newest head covers %d of %d entries", s.signed.Size, s.size)
}

// inStep is row C.
func inStep(_ context.Context, s *system) finding {
	p := s.published
	if p.err != nil {
		return fail("%s: %v", s.cfg.LogDir(), p.err)
	}
	if f, broken := s.broken(); broken {
		return f
	}
	if p.report.Head.Size > s.size && p.report.HeadTime.Before(s.now.Add(-late)) {
		return fail("%d entries are published, the database has %d", p.report.Head.Size, s.size)
	}
	if age := s.waiting(p.end); age > late {
		return fail("%d entries are not in the directory, the oldest for %v", s.size-p.end, age.Round(time.Second))
	}
	if age := s.waiting(p.report.Head.Size); age > late {
		return fail("%d entries are in the tail only, the oldest for %v", s.size-p.report.Head.Size, age.Round(time.Second))
	}
	return pass("verified, with every rule between entries: %d entries under the checkpoint, %d in the tail", p.report.Head.Size, p.end-p.report.Head.Size)
}

// clock is row D.
func clock(_ context.Context, s *system) finding {
	if ahead := s.story.latest.Sub(s.now); ahead > 5*time.Second {
		return fail("the clock stands %v before the log's last entry", ahead.Round(time.Second))
	}
	var state unix.Timex
	status, err := unix.Adjtimex(&state)
	synchronised := err == nil && status != unix.TIME_ERROR && state.Status&unix.STA_UNSYNC == 0
	switch {
	case synchronised:
		return pass("not behind the log; the kernel says that it is synchronised")
	case s.cfg.Test:
		return none("not behind the log; whether it is synchronised matters only in production, and the kernel does not say so")
	}
	return fail("the kernel does not say that the clock is synchronised")
}

// room is row E.
func room(_ context.Context, s *system) finding {
	var texts []string
	for _, dir := range []string{s.cfg.Path(s.cfg.Data), s.cfg.LogDir()} {
		var disk unix.Statfs_t
		if err := unix.Statfs(dir, &disk); err != nil {
			return fail("%s: %v", dir, err)
		}
		free := disk.Bavail * uint64(disk.Bsize) //nolint:gosec // a size
		if free < minRoom {
			return fail("%s has %d MiB left", dir, free>>20)
		}
		texts = append(texts, fmt.Sprintf("%d MiB", free>>20))
	}
	return pass("free for the data %s, for the published log %s", texts[0], texts[1])
}

// ends is row F.
func ends(ctx context.Context, s *system) finding {
	all, err := engine.Ends(s.cfg)
	if err != nil {
		return fail("%v", err)
	}
	first := engine.End{}
	for _, e := range all {
		if e.At.Sub(s.now) < engine.EndingSoon {
			return fail("%s ends on %s", e.File, e.At.UTC().Format(time.DateOnly))
		}
		if first.At.IsZero() || e.At.Before(first.At) {
			first = e
		}
	}
	list, err := s.served(ctx)
	if err != nil {
		return fail("the revocation list of persons: %v", err)
	}
	text := "the service does not run, so that its list was not fetched"
	if list != nil {
		if !s.now.Before(list.NextUpdate) {
			return fail("the revocation list that is served ended at %s", list.NextUpdate.UTC().Format(time.RFC3339))
		}
		text = "the list that is served lasts until " + list.NextUpdate.UTC().Format(time.RFC3339)
	}
	return pass("%d certificates and the root's list; the first to end is %s on %s; %s", len(all)-1, first.File, first.At.UTC().Format(time.DateOnly), text)
}

// served fetches the revocation list of persons' certificates; nil when nobody answers.
func (s *system) served(ctx context.Context) (*x509.RevocationList, error) {
	der, err := os.ReadFile(s.cfg.Path("pki/issuing.cer"))
	if err != nil {
		return nil, err
	}
	issuing, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := "http://" + s.cfg.PKI.Listen + "/crl/" + ca.FileName(issuing) + ".crl"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // nobody answers: the service is stopped
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s says %s", url, answer.Status)
	}
	list, err := x509.ParseRevocationList(body)
	if err == nil {
		err = list.CheckSignatureFrom(issuing)
	}
	return list, err
}

// modes is row G.
func modes(_ context.Context, s *system) finding {
	private := []string{s.file, s.cfg.Path(s.cfg.Data, "db"), s.cfg.Path(s.cfg.Data, "heads"), s.cfg.Path(s.cfg.Data, "spool")}
	if os.Getenv("ECSIGNER_PIN") == "" {
		private = append(private, s.cfg.Path(s.cfg.HSM.PINFile))
	}
	if s.cfg.HSM.SoftHSMConf != "" {
		private = append(private, filepath.Dir(s.cfg.Path(s.cfg.HSM.SoftHSMConf)))
	}
	for _, path := range append(private, s.cfg.Path("secrets")) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fail("%v", err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			return fail("%s has mode %#o, others must have none", path, info.Mode().Perm())
		}
	}
	for _, path := range []string{s.cfg.LogDir(), s.cfg.Path("pki")} { // public, but not to be written by others
		info, err := os.Stat(path)
		if err != nil {
			return fail("%v", err)
		}
		if info.Mode().Perm()&0o022 != 0 {
			return fail("%s has mode %#o, others must not write", path, info.Mode().Perm())
		}
	}
	return pass("configuration, PIN, token, database, head file and documents are their owner's alone; what is public only the owner writes")
}

// epoch is row H.
func epoch(_ context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	if s.deviceEpoch < s.story.epoch {
		return fail("the HSM is in epoch %d, the log in %d", s.deviceEpoch, s.story.epoch)
	}
	return pass("the HSM is in epoch %d, as the log says", s.deviceEpoch)
}

// Failed counts the rows that failed.
func Failed(results []Result) int {
	n := 0
	for _, r := range results {
		if r.Outcome == Fail {
			n++
		}
	}
	return n
}

// Text writes the results for people.
func Text(w io.Writer, results []Result) error {
	var b strings.Builder
	counts := map[Outcome]int{}
	for _, r := range results {
		counts[r.Outcome]++
		fmt.Fprintf(&b, "%-2s %-14s %s\n", r.Row, r.Outcome, r.Requirement)
		fmt.Fprintf(&b, "%18s%s [%s]\n", "", r.Found, r.Clause)
		if r.Do != "" {
			fmt.Fprintf(&b, "%18sdo: %s\n", "", r.Do)
		}
	}
	fmt.Fprintf(&b, "\n%d pass, %d fail, %d not applicable, %d shown by a test only, %d organisational\n",
		counts[Pass], counts[Fail], counts[NotApplicable], counts[ShownByTest], counts[Organisational])
	_, err := io.WriteString(w, b.String())
	return err
}
