-- name: Lost :one
SELECT at FROM lost WHERE kind = sqlc.arg(kind) AND id = sqlc.arg(id);

-- name: PutLost :exec
INSERT INTO lost (kind, id, at) VALUES (sqlc.arg(kind), sqlc.arg(id), sqlc.arg(at)) ON CONFLICT DO NOTHING;

-- name: AllEnrolments :many
SELECT * FROM enrolments WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(n);

-- name: VoidChallenges :execrows
UPDATE challenges SET voided = sqlc.arg(at) WHERE spent = 0 AND voided = 0;

-- name: ClearOutbox :execrows
DELETE FROM outbox;
