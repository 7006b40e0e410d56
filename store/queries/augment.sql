-- name: Job :one
SELECT * FROM jobs WHERE subject = sqlc.arg(subject) AND item = sqlc.arg(item);

-- name: AddJob :execrows
INSERT INTO jobs (version, kind, document, release, target, reached, state, attempts, reason, not_before, created, ends, subject, item)
VALUES (sqlc.arg(version), sqlc.arg(kind), sqlc.arg(document), sqlc.arg(release), sqlc.arg(target), sqlc.arg(reached),
  sqlc.arg(state), sqlc.arg(attempts), sqlc.arg(reason), sqlc.arg(not_before), sqlc.arg(created), sqlc.arg(ends),
  sqlc.arg(subject), sqlc.arg(item))
ON CONFLICT DO NOTHING;

-- name: SetJob :execrows
UPDATE jobs SET version = sqlc.arg(version), kind = sqlc.arg(kind), document = sqlc.arg(document),
  release = MAX(release, CAST(sqlc.arg(release) AS BIGINT)), target = sqlc.arg(target), reached = sqlc.arg(reached), state = sqlc.arg(state),
  attempts = sqlc.arg(attempts), reason = sqlc.arg(reason), not_before = sqlc.arg(not_before), created = sqlc.arg(created),
  ends = sqlc.arg(ends)
WHERE subject = sqlc.arg(subject) AND item = sqlc.arg(item) AND version = sqlc.arg(version) - 1;

-- name: JobsOf :many
SELECT * FROM jobs WHERE subject = sqlc.arg(subject) ORDER BY item;

-- name: DueJobs :many
SELECT * FROM jobs WHERE state = 'pending' AND not_before <= sqlc.arg(due) ORDER BY not_before, subject, item LIMIT sqlc.arg(n);

-- name: JobsNeeding :one
SELECT COUNT(*) FROM jobs WHERE document = sqlc.arg(document) AND document <> '' AND state = 'pending';

-- name: ReleaseDocument :exec
UPDATE jobs SET release = 1 WHERE document = sqlc.arg(document) AND document <> '';

-- name: JobBacklog :one
SELECT COUNT(*) AS jobs, CAST(COALESCE(MIN(created), 0) AS BIGINT) AS oldest FROM jobs WHERE state = 'pending';

-- name: Artefact :one
SELECT * FROM artefacts WHERE subject = sqlc.arg(subject) AND item = sqlc.arg(item) AND level = sqlc.arg(level);

-- name: ArtefactsOf :many
SELECT subject, item, level, spooled, size, sha256, log_index, created FROM artefacts WHERE subject = sqlc.arg(subject)
ORDER BY item, level;

-- name: AddArtefact :execrows
INSERT INTO artefacts (subject, item, level, data, spooled, size, sha256, log_index, created)
VALUES (sqlc.arg(subject), sqlc.arg(item), sqlc.arg(level), sqlc.arg(data), sqlc.arg(spooled), sqlc.arg(size), sqlc.arg(sha256),
  sqlc.arg(log_index), sqlc.arg(created))
ON CONFLICT DO NOTHING;

-- name: Augmentation :one
SELECT * FROM augmentations WHERE id = sqlc.arg(id);

-- name: AddAugmentation :execrows
INSERT INTO augmentations (id, caller, kind, document, sha256, content_document, content_digest, level, created)
VALUES (sqlc.arg(id), sqlc.arg(caller), sqlc.arg(kind), sqlc.arg(document), sqlc.arg(sha256), sqlc.arg(content_document),
  sqlc.arg(content_digest), sqlc.arg(level), sqlc.arg(created))
ON CONFLICT DO NOTHING;
