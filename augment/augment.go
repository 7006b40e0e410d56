// Package augment is the use case of raising signatures to higher levels (EN 319 102-1 clause 5.6): B-T, B-LT and B-LTA are
// artefacts of their own beside the signature as it was made, whose bytes never change. They are made from a queue that
// survives restarts, by asking time-stamping authorities and sources of revocation data; no key of a signatory is ever used.
//
// Each job raises one signature, level by level. A step is: look (1), obtain in memory (2), record artefact and entry of the
// log in one commit (3), let go of the document (4). A crash after 1 or 2 leaves nothing but a time-stamp that nobody sees;
// the job is taken up again at the next start.
package augment

import (
	"context"
	"crypto"
	"errors"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// Errors that a caller meets, beside those of package call.
var (
	// ErrNotOffered: no authority, or no source of revocation data, is configured for this level.
	ErrNotOffered = errors.New("augment: level is not offered")
	// ErrNotReady: the level is being worked on; the PendingError around it says more.
	ErrNotReady = errors.New("augment: level is not ready")
	// ErrGivenUp: the level will not be made; the PendingError around it says why.
	ErrGivenUp = errors.New("augment: level was given up")
	// ErrNotAsked: nobody asked for this level.
	ErrNotAsked = errors.New("augment: level was not asked for")
	// ErrIntegrity: a stored artefact is not the one whose digest the operation log holds.
	ErrIntegrity = errors.New("augment: artefact differs from its entry in the operation log")
	// ErrGone: a document is no longer kept.
	ErrGone = errors.New("augment: document is no longer kept")
	// ErrNoSignature: the document is neither a PDF nor a CMS.
	ErrNoSignature = errors.New("augment: neither a PDF nor a CMS signature")
	// ErrCredential: the credential was not granted to the client.
	ErrCredential = errors.New("augment: credential was not granted to this client")
	// ErrService: an authority or a source of revocation data failed; the ServiceError around it says how.
	ErrService = errors.New("augment: no answer that can be used")
	// ErrContent: the signature is detached and its content was not given, or the other way round.
	ErrContent = errors.New("augment: content of the signature")
)

// Kind says what is raised and how.
type Kind string

// Kinds. The first three are of our own signatures.
const (
	KindPAdES     Kind = "pades"      // a PDF whose document we keep: B-T in the CMS, the rest behind it
	KindPAdESHash Kind = "pades-hash" // the CMS of a PDF that stays with the client: B-T alone
	KindCAdES     Kind = "cades"      // a detached CMS whose content's digest is known
	KindPDF       Kind = "pdf"        // a PDF that a client sent
	KindCMS       Kind = "cms"        // a CMS that a client sent
	KindStamp     Kind = "stamp"      // a PDF that a client sent gets a document time-stamp, whatever it holds
)

// own tells that the subject is an operation, and artefacts are made for each level.
func (k Kind) own() bool { return k == KindPAdES || k == KindPAdESHash || k == KindCAdES }

// State of a job.
type State string

// States of a job.
const (
	Pending State = "pending"
	Done    State = "done"
	GivenUp State = "given-up" // final
)

// Job raises one signature to a level.
type Job struct {
	Subject   string // operation or augmentation
	Item      int    // of the operation, 0 for the first
	Version   uint64 // raised by PutJob; 0 for a new one
	Kind      Kind
	Document  string      // id in the spool that the work needs; empty: none
	Release   bool        // the client does not need the document any more
	Target    cades.Level // wanted
	Reached   cades.Level // highest that is stored; B-B for a signature as it was made
	State     State
	Attempts  int // failed ones since the last level
	Reason    Reason
	NotBefore time.Time // of the next attempt
	Created   time.Time
	Ends      time.Time // no attempt begins later
}

// Artefact is a signature at a level. Only Data or Spooled is set.
type Artefact struct {
	Subject  string
	Item     int
	Level    cades.Level
	Data     []byte // CMS, or what stands behind the original PDF
	Spooled  string // id in the spool, where the CMS holds its content
	Size     int64  // bytes
	SHA256   []byte
	LogIndex int64 // of its entry
	Created  time.Time
}

// Augmentation is what a client asked for with a document of its own.
type Augmentation struct {
	ID              string
	Caller          string
	Kind            Kind
	Document        string // id
	SHA256          []byte // of the document
	ContentDocument string // of a detached CMS, id; or
	ContentDigest   []byte // SHA-256
	Level           cades.Level
	Created         time.Time
}

// Queue keeps jobs.
type Queue interface {
	// Job returns call.ErrNotFound when there is none.
	Job(subject string, item int) (Job, error)
	// PutJob stores j and raises its version. call.ErrConflict when j.Version is not the stored one.
	PutJob(j Job) error
	// Jobs returns those of a subject in the order of items.
	Jobs(subject string) ([]Job, error)
	// DueJobs returns pending ones whose NotBefore has come, the longest due first, at most limit.
	DueJobs(now time.Time, limit int) ([]Job, error)
	// Needing counts pending jobs that need a document of the spool.
	Needing(document string) (int64, error)
	// ReleaseDocument sets Release in all jobs that need a document. It raises no version, and PutJob never takes it back.
	ReleaseDocument(document string) error
}

// Artefacts keeps what was made. What is stored once never changes.
type Artefacts interface {
	// Artefact returns call.ErrNotFound when there is none.
	Artefact(subject string, item int, level cades.Level) (Artefact, error)
	// ArtefactsOf returns those of a subject by item and level, without Data.
	ArtefactsOf(subject string) ([]Artefact, error)
	// PutArtefact stores one. call.ErrConflict when there is one of this level.
	PutArtefact(a Artefact) error
}

// Augmentations keeps what clients asked for.
type Augmentations interface {
	// Augmentation returns call.ErrNotFound for an unknown id.
	Augmentation(id string) (Augmentation, error)
	// PutAugmentation stores a new one.
	PutAugmentation(a Augmentation) error
}

// Grants says which document systems may use which credential.
type Grants interface {
	// Grant returns call.ErrNotFound when client may not use the credential.
	Grant(id credential.ID, client string) (credential.Grant, error)
}

// Tx is the unit of work of this package.
type Tx interface {
	audit.Appender
	call.Requests
	Queue
	Artefacts
	Augmentations
	Grants
	// NextIndex is the log index that the next appended event gets if this unit of work commits.
	NextIndex() int64
}

// Store runs units of work, as signer.Store does.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) (audit.Commit, error)
	View(ctx context.Context, f func(Tx) error) error
	Receipt(ctx context.Context, index int64) ([]byte, error)
}

// Spool holds documents, encrypted, outside the database.
type Spool interface {
	// Create opens a new document. It exists only after Commit.
	Create(id string) (SpoolWriter, error)
	// Open reads a document. An error when it was fetched, expired or never committed.
	Open(id string) (SpoolReader, error)
	// Remove deletes a document; removing an absent one is no error.
	Remove(id string) error
}

// SpoolWriter takes the bytes of one document. Close without Commit leaves nothing.
type SpoolWriter interface {
	io.WriteCloser
	Commit() error
}

// SpoolReader reads one document at any place.
type SpoolReader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Signature is what a job works on.
type Signature struct {
	Base     io.ReaderAt // the PDF as it was before, or the document of a client; nil: not needed
	Size     int64       // of Base
	Result   []byte      // of our own: the CMS, or what stands behind Base, at level B-B
	Prepared *pades.Prepared
	Content  levels.Content // of a detached CMS
	Hash     crypto.Hash    // KindCAdES: by which the digest of the content is known; time-stamps use it too
	Room     int            // KindPAdESHash: bytes that the client left for the CMS
	Close    func() error   // nil: nothing to close
}

// Source opens what a job works on; the use case of signing is one.
type Source interface {
	// Signature returns the signature of an operation's item as it was released. ErrGone when its document is no longer kept.
	Signature(ctx context.Context, operation string, item int) (Signature, error)
	// Document opens a document of a caller. call.ErrNotFound for one of somebody else; ErrGone.
	Document(ctx context.Context, caller, id string) (r SpoolReader, sha256 []byte, err error)
}

// Stamper obtains time-stamps and knows how large they become; *tsp.Client is one.
type Stamper interface {
	cades.Stamper
	// MaxSize returns the greatest size of a token over a digest of h, in bytes; it asks an authority that it knows nothing of.
	MaxSize(ctx context.Context, h crypto.Hash) (int, error)
}
