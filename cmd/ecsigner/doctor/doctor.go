// Package doctor examines an installation, while it is served or not, row by row against the requirements on remote signing
// that software can meet. Every result is derived from what is there: the configuration, the device, the database, the
// published log. What only a test of the program or an organisation can show is said to be so, and never to pass.
//
// It changes nothing. The database is examined in a copy; keys that it has the device make are session objects and are
// destroyed; no key of a signatory is used.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/store"
)

// Outcome of one row.
type Outcome string

// Outcomes. Only Fail makes the doctor fail.
const (
	Pass           Outcome = "pass"
	Fail           Outcome = "fail"
	NotApplicable  Outcome = "not applicable"
	ShownByTest    Outcome = "shown by test"  // the running system cannot show it; the named test of the program does
	Organisational Outcome = "organisational" // no program can show it
)

// Result is one row of the examination.
type Result struct {
	Row         string  `json:"row"`         // 1 to 20, or a letter for a row of operation
	Requirement string  `json:"requirement"` // what must hold
	Clause      string  `json:"clause"`      // who says so
	Outcome     Outcome `json:"outcome"`
	Found       string  `json:"found"`        // what was seen
	Do          string  `json:"do,omitempty"` // what to do about a failure
}

// finding is what a check saw.
type finding struct {
	outcome Outcome
	found   string
}

func pass(format string, args ...any) finding { return finding{Pass, fmt.Sprintf(format, args...)} }
func fail(format string, args ...any) finding { return finding{Fail, fmt.Sprintf(format, args...)} }
func none(format string, args ...any) finding {
	return finding{NotApplicable, fmt.Sprintf(format, args...)}
}

// row is one requirement, with its check and what to do when it fails.
type row struct {
	id, requirement, clause, do string
	check                       func(ctx context.Context, s *system) finding
}

// core is the trust core as it is examined; *sam.Module is one.
type core interface {
	SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error)
	OpenBinding(ctx context.Context, s credential.Sealed) (credential.Binding, error)
	OpenEnrolment(ctx context.Context, s credential.Sealed) (sam.Enrolment, error)
	SealOperation(ctx context.Context, o sam.Operation) (credential.Sealed, error)
	SealChallenge(ctx context.Context, c sam.Challenge) (credential.Sealed, error)
	Code(ctx context.Context, challenge credential.Sealed) (string, error)
	Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error)
	Activate(ctx context.Context, operation, challenge credential.Sealed, means []string, notAfter time.Time) (credential.Sealed, error)
	Verify(ctx context.Context, r sam.Release) error
	Sign(ctx context.Context, r sam.Release) ([][]byte, error)
	Finish(operation string, until time.Time)
}

// device is the HSM as it is examined; *hsm.Device is one.
type device interface {
	Inspect(ctx context.Context) ([]hsm.Object, error)
	sam.Device
}

// system is what is examined.
type system struct {
	cfg    config.Config
	file   string // of the configuration
	now    time.Time
	device device
	trust  core
	calls  *counted // keys that trust had the device use
	vkey   string

	heads       audit.HeadClaim // of the head file
	size        int64           // of the log in the copy
	copied      error           // why the database could not be examined
	credentials []credential.Record
	enrolments  map[string]enrol.Enrolment
	challenges  []otp.Challenge
	locks       []otp.Lock
	story       *story
	signed      audit.Head // newest signed head
	noHead      error
	published   published
	deviceEpoch uint64
	rehearsals  int // so far
}

// counted counts how often a signatory's key would be used.
type counted struct {
	sam.Device
	signs int
}

func (c *counted) SignWrapped(ctx context.Context, kek string, wrapped []byte, scheme string, digests [][]byte) ([][]byte, error) {
	c.signs++
	return c.Device.SignWrapped(ctx, kek, wrapped, scheme, digests)
}

// Examine examines the installation whose configuration is in file. An error means that it could not be examined at all;
// what is wrong with it is in the results.
func Examine(ctx context.Context, file string, now func() time.Time) (_ []Result, err error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	off, err := engine.OpenOffline(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, off.Close()) }()
	// A service that was started this moment has not signed a head yet for what waited.
	for try := 1; ; try++ {
		s, err := see(ctx, cfg, file, off, now)
		if err != nil {
			return nil, err
		}
		lags := fresh(ctx, s).outcome == Fail || inStep(ctx, s).outcome == Fail
		if !lags || try == patience {
			return s.examine(ctx, rows()), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// patience is how often the doctor looks at a log that is behind, a second apart, before it says so.
const patience = 3

// see reads everything that the rows are derived from.
func see(ctx context.Context, cfg config.Config, file string, off *engine.Offline, now func() time.Time) (*system, error) {
	calls := &counted{Device: off.Device}
	trust, err := sam.Open(ctx, calls, sam.Config{Installation: cfg.Installation, Epoch: off.Epoch, Digits: cfg.Codes.Digits, Now: now})
	if err != nil {
		return nil, err
	}
	s := &system{
		cfg: cfg, file: file, now: now(), device: off.Device, trust: trust, calls: calls, vkey: off.VKey, deviceEpoch: off.Epoch,
		enrolments: map[string]enrol.Enrolment{}, story: newStory(),
	}
	if s.copied, err = s.read(ctx, off); err != nil {
		return nil, err
	}
	s.published = readPublished(ctx, cfg.LogDir(), off.VKey, off.Trust.Head)
	if s.published.err == nil && s.published.report.Entries == 0 && s.waiting(0) > late {
		s.published.err = errors.New("it has no checkpoint")
	}
	return s, nil
}

func (s *system) examine(ctx context.Context, rows []row) []Result {
	results := make([]Result, 0, len(rows))
	for _, r := range rows {
		f := r.check(ctx, s)
		result := Result{Row: r.id, Requirement: r.requirement, Clause: r.clause, Outcome: f.outcome, Found: f.found}
		if f.outcome == Fail {
			result.Do = r.do
		}
		results = append(results, result)
	}
	return results
}

// read copies the database as it stands now and reads what the rows need from the copy, which is removed again. What is
// wrong with the database is returned first, what keeps the doctor from looking at it second.
func (s *system) read(ctx context.Context, off *engine.Offline) (wrong, err error) {
	heads, err := os.ReadFile(s.cfg.Path(s.cfg.Data, "heads"))
	if err != nil {
		return err, nil
	}
	if s.heads, err = audit.VerifyHeadFile(heads, off.Trust.Head); err != nil {
		return err, nil
	}
	dir, err := os.MkdirTemp(s.cfg.Path(s.cfg.Data), ".doctor-") // mode 0700, on a disk that may hold the database
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "db"), 0o700), os.WriteFile(filepath.Join(dir, "heads"), s.heads.Whole, 0o600),
	); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "db", store.FileName)
	if err := store.Snapshot(ctx, s.cfg.Path(s.cfg.Data, "db"), file); err != nil {
		return err, nil
	}
	if _, err := store.Inspect(ctx, file); err != nil {
		return err, nil
	}
	db, err := store.Open(ctx, store.Config{
		Dir: filepath.Join(dir, "db"), HeadFile: filepath.Join(dir, "heads"), HeadMAC: off.Trust.Head,
		Now: func() time.Time { return s.now },
	})
	if err != nil {
		return err, nil
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return s.load(ctx, db), nil
}

// load reads rows and log of the copy.
func (s *system) load(ctx context.Context, db *store.DB) error {
	err := db.ViewRestore(ctx, func(tx store.RestoreTx) error {
		for after := credential.ID(""); ; {
			page, err := tx.CredentialsOf("", after, 200)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			s.credentials = append(s.credentials, page...)
			after = page[len(page)-1].ID
		}
		for after := ""; ; {
			page, err := tx.AllEnrolments(after, 200)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				s.enrolments[e.ID] = e
				after = e.ID
			}
		}
		var err error
		if s.challenges, err = tx.OpenChallenges(s.now); err == nil {
			s.locks, err = tx.Locks()
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.size, err = db.Size(ctx); err != nil {
		return err
	}
	note, err := db.LastHead(ctx)
	if err == nil && note != nil {
		s.signed, s.noHead = audit.OpenHead(s.vkey, note)
	} else {
		s.noHead = errors.Join(err, errors.New("no head was ever signed"))
	}
	return db.Events(ctx, func(i int64, at time.Time, e audit.Event) error {
		s.story.tell(i, at, e)
		return nil
	})
}
