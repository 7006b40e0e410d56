-- name: Challenge :one
SELECT * FROM challenges WHERE id = sqlc.arg(id);

-- name: PutChallenge :exec
INSERT INTO challenges (id, purpose, subject, caller, account, record, seal, number, attempts, expires, spent, voided)
VALUES (sqlc.arg(id), sqlc.arg(purpose), sqlc.arg(subject), sqlc.arg(caller), sqlc.arg(account), sqlc.arg(record),
  sqlc.arg(seal), sqlc.arg(number), sqlc.arg(attempts), sqlc.arg(expires), sqlc.arg(spent), sqlc.arg(voided))
ON CONFLICT (id) DO UPDATE SET purpose = excluded.purpose, subject = excluded.subject, caller = excluded.caller,
  account = excluded.account, record = excluded.record, seal = excluded.seal, number = excluded.number,
  attempts = excluded.attempts, expires = excluded.expires, spent = excluded.spent, voided = excluded.voided;

-- name: Lock :one
SELECT * FROM locks WHERE account = sqlc.arg(account) AND caller = sqlc.arg(caller);

-- name: PutLock :exec
INSERT INTO locks (account, caller, failures, since, locked)
VALUES (sqlc.arg(account), sqlc.arg(caller), sqlc.arg(failures), sqlc.arg(since), sqlc.arg(locked))
ON CONFLICT (account, caller) DO UPDATE SET failures = excluded.failures, since = excluded.since, locked = excluded.locked;

-- name: Enqueue :execrows
INSERT INTO outbox (id, kind, subject, challenge, created_at, attempts, not_before)
VALUES (sqlc.arg(id), sqlc.arg(kind), sqlc.arg(subject), sqlc.arg(challenge), sqlc.arg(created_at), sqlc.arg(attempts),
  sqlc.arg(not_before))
ON CONFLICT DO NOTHING;

-- name: DueMessages :many
SELECT * FROM outbox WHERE not_before <= sqlc.arg(due) ORDER BY created_at, id LIMIT sqlc.arg(n);

-- name: DeleteMessage :exec
DELETE FROM outbox WHERE id = sqlc.arg(id);

-- name: DeferMessage :execrows
UPDATE outbox SET attempts = sqlc.arg(attempts), not_before = sqlc.arg(not_before) WHERE id = sqlc.arg(id);
