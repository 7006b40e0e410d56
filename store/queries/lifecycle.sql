-- name: RevocationCode :one
SELECT challenge FROM revocations WHERE credential = sqlc.arg(credential);

-- name: PutRevocationCode :exec
INSERT INTO revocations (credential, challenge) VALUES (sqlc.arg(credential), sqlc.arg(challenge))
ON CONFLICT (credential) DO UPDATE SET challenge = excluded.challenge;

-- name: RevokedWithKey :many
SELECT credentials.* FROM certificates JOIN credentials ON credentials.serial = certificates.serial
WHERE certificates.state = 'revoked' AND credentials.wrapped_key IS NOT NULL AND credentials.id > sqlc.arg(after)
ORDER BY credentials.id LIMIT sqlc.arg(n);

-- name: EndingCredentials :many
SELECT credentials.* FROM credentials LEFT JOIN reminders ON reminders.credential = credentials.id
WHERE credentials.not_after > sqlc.arg(from_time) AND credentials.not_after <= sqlc.arg(until_time) AND reminders.credential IS NULL
  AND credentials.wrapped_key IS NOT NULL
ORDER BY credentials.not_after, credentials.id LIMIT sqlc.arg(n);

-- name: PutReminder :exec
INSERT INTO reminders (credential, sent) VALUES (sqlc.arg(credential), sqlc.arg(sent))
ON CONFLICT (credential) DO UPDATE SET sent = excluded.sent;

-- name: Renewal :one
SELECT * FROM renewals WHERE enrolment = sqlc.arg(enrolment);

-- name: PutRenewal :exec
INSERT INTO renewals (enrolment, record, seal, prepared, activation_record, activation_seal, fence, tail)
VALUES (sqlc.arg(enrolment), sqlc.arg(record), sqlc.arg(seal), sqlc.arg(prepared), sqlc.arg(activation_record),
  sqlc.arg(activation_seal), sqlc.arg(fence), sqlc.arg(tail))
ON CONFLICT (enrolment) DO UPDATE SET record = excluded.record, seal = excluded.seal, prepared = excluded.prepared,
  activation_record = excluded.activation_record, activation_seal = excluded.activation_seal,
  fence = excluded.fence, tail = excluded.tail;
