-- name: Challenge :one
SELECT * FROM challenges WHERE id = sqlc.arg(id);

-- name: PutChallenge :exec
INSERT INTO challenges (id, purpose, subject, caller, account, record, seal, number, attempts, expires, spent, voided, sent)
VALUES (sqlc.arg(id), sqlc.arg(purpose), sqlc.arg(subject), sqlc.arg(caller), sqlc.arg(account), sqlc.arg(record),
  sqlc.arg(seal), sqlc.arg(number), sqlc.arg(attempts), sqlc.arg(expires), sqlc.arg(spent), sqlc.arg(voided),
  sqlc.arg(sent))
ON CONFLICT (id) DO UPDATE SET purpose = excluded.purpose, subject = excluded.subject, caller = excluded.caller,
  account = excluded.account, record = excluded.record, seal = excluded.seal, number = excluded.number,
  attempts = excluded.attempts, expires = excluded.expires, spent = excluded.spent, voided = excluded.voided, sent = excluded.sent;

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

-- name: Delivery :one
SELECT * FROM deliveries WHERE message = sqlc.arg(message);

-- name: PutDelivery :exec
INSERT INTO deliveries (message, kind, challenge, status, provider, reference, at)
VALUES (sqlc.arg(message), sqlc.arg(kind), sqlc.arg(challenge), sqlc.arg(status), sqlc.arg(provider), sqlc.arg(reference), sqlc.arg(at))
ON CONFLICT (message) DO UPDATE SET kind = excluded.kind, challenge = excluded.challenge, status = excluded.status,
  provider = excluded.provider, reference = excluded.reference, at = excluded.at;

-- name: DeliveryByReference :one
SELECT * FROM deliveries WHERE provider = sqlc.arg(provider) AND reference = sqlc.arg(reference) ORDER BY at DESC LIMIT 1;

-- name: Message :one
SELECT * FROM outbox WHERE id = sqlc.arg(id);

-- name: OutboxBacklog :one
SELECT count(*) AS messages, CAST(COALESCE(MIN(created_at), 0) AS BIGINT) AS oldest FROM outbox;
