package store

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// Augment returns the store as the use case of raising signatures sees it.
func (db *DB) Augment() augment.Store { return port[augment.Tx]{db} }

// Job implements augment.Queue.
func (t *tx) Job(subject string, item int) (augment.Job, error) {
	return get(t, "job", t.q.Job, sqlc.JobParams{Subject: subject, Item: int64(item)}, jobOf)
}

func jobOf(r sqlc.Job) (augment.Job, error) {
	return augment.Job{
		Subject: r.Subject, Item: int(r.Item), Version: uint64(r.Version), Kind: augment.Kind(r.Kind), Document: r.Document,
		Release: r.Release != 0, Target: cades.Level(r.Target), Reached: cades.Level(r.Reached), State: augment.State(r.State),
		Attempts: int(r.Attempts), Reason: augment.Reason(r.Reason), NotBefore: instant(r.NotBefore), Created: instant(r.Created),
		Ends: instant(r.Ends),
	}, nil
}

// PutJob implements augment.Queue.
func (t *tx) PutJob(j augment.Job) error {
	row := sqlc.SetJobParams{
		Subject: j.Subject, Item: int64(j.Item), Version: int64(j.Version) + 1, Kind: string(j.Kind), Document: j.Document,
		Target: int64(j.Target), Reached: int64(j.Reached), State: string(j.State), Attempts: int64(j.Attempts),
		Reason: string(j.Reason), NotBefore: micros(j.NotBefore), Created: micros(j.Created), Ends: micros(j.Ends),
	}
	if j.Release {
		row.Release = 1
	}
	if j.Version == 0 {
		return change(t, "job", t.q.AddJob, sqlc.AddJobParams(row))
	}
	return change(t, "job", t.q.SetJob, row)
}

// Jobs implements augment.Queue.
func (t *tx) Jobs(subject string) ([]augment.Job, error) {
	return list(t, "jobs", t.q.JobsOf, subject, jobOf)
}

// DueJobs implements augment.Queue.
func (t *tx) DueJobs(now time.Time, limit int) ([]augment.Job, error) {
	return list(t, "jobs", t.q.DueJobs, sqlc.DueJobsParams{Due: micros(now), N: int64(limit)}, jobOf)
}

// Needing implements augment.Queue.
func (t *tx) Needing(document string) (int64, error) {
	return get(t, "jobs", t.q.JobsNeeding, document, func(n int64) (int64, error) { return n, nil })
}

// ReleaseDocument implements augment.Queue.
func (t *tx) ReleaseDocument(document string) error {
	return put(t, "jobs", t.q.ReleaseDocument, document)
}

// Artefact implements augment.Artefacts.
func (t *tx) Artefact(subject string, item int, level cades.Level) (augment.Artefact, error) {
	key := sqlc.ArtefactParams{Subject: subject, Item: int64(item), Level: int64(level)}
	return get(t, "artefact", t.q.Artefact, key, func(r sqlc.Artefact) (augment.Artefact, error) {
		return augment.Artefact{
			Subject: r.Subject, Item: int(r.Item), Level: cades.Level(r.Level), Data: r.Data, Spooled: r.Spooled, Size: r.Size,
			SHA256: r.Sha256, LogIndex: r.LogIndex, Created: instant(r.Created),
		}, nil
	})
}

// ArtefactsOf implements augment.Artefacts.
func (t *tx) ArtefactsOf(subject string) ([]augment.Artefact, error) {
	return list(t, "artefacts", t.q.ArtefactsOf, subject, func(r sqlc.ArtefactsOfRow) (augment.Artefact, error) {
		return augment.Artefact{
			Subject: r.Subject, Item: int(r.Item), Level: cades.Level(r.Level), Spooled: r.Spooled, Size: r.Size,
			SHA256: r.Sha256, LogIndex: r.LogIndex, Created: instant(r.Created),
		}, nil
	})
}

// PutArtefact implements augment.Artefacts.
func (t *tx) PutArtefact(a augment.Artefact) error {
	return change(t, "artefact", t.q.AddArtefact, sqlc.AddArtefactParams{
		Subject: a.Subject, Item: int64(a.Item), Level: int64(a.Level), Data: a.Data, Spooled: a.Spooled, Size: a.Size,
		Sha256: a.SHA256, LogIndex: a.LogIndex, Created: micros(a.Created),
	})
}

// Augmentation implements augment.Augmentations.
func (t *tx) Augmentation(id string) (augment.Augmentation, error) {
	return get(t, "augmentation", t.q.Augmentation, id, func(r sqlc.Augmentation) (augment.Augmentation, error) {
		return augment.Augmentation{
			ID: r.ID, Caller: r.Caller, Kind: augment.Kind(r.Kind), Document: r.Document, SHA256: r.Sha256,
			ContentDocument: r.ContentDocument, ContentDigest: r.ContentDigest, Level: cades.Level(r.Level), Created: instant(r.Created),
		}, nil
	})
}

// PutAugmentation implements augment.Augmentations.
func (t *tx) PutAugmentation(a augment.Augmentation) error {
	return change(t, "augmentation", t.q.AddAugmentation, sqlc.AddAugmentationParams{
		ID: a.ID, Caller: a.Caller, Kind: string(a.Kind), Document: a.Document, Sha256: a.SHA256,
		ContentDocument: a.ContentDocument, ContentDigest: a.ContentDigest, Level: int64(a.Level), Created: micros(a.Created),
	})
}

// JobBacklog tells how many signatures wait for a higher level, and since when the oldest of them; zero without one.
func (db *DB) JobBacklog(ctx context.Context) (jobs int, oldest time.Time, err error) {
	err = db.view(ctx, func(t *tx) error {
		row, err := t.q.JobBacklog(context.Background())
		jobs, oldest = int(row.Jobs), instant(row.Oldest)
		return logError(err)
	})
	return jobs, oldest, err
}
