-- name: AddEntry :exec
INSERT INTO entries (id, data) VALUES (sqlc.arg(id), sqlc.arg(data));

-- name: Entries :many
SELECT id, data FROM entries WHERE id >= sqlc.arg(first) ORDER BY id LIMIT sqlc.arg(n);

-- name: AddHash :exec
INSERT INTO hashes (id, hash) VALUES (sqlc.arg(id), sqlc.arg(hash));

-- name: Hash :one
SELECT hash FROM hashes WHERE id = sqlc.arg(id);

-- name: Log :one
SELECT * FROM log WHERE id = 1;

-- name: SetLog :execrows
UPDATE log SET size = sqlc.arg(size), latest = sqlc.arg(latest) WHERE id = 1;

-- name: AddHead :exec
INSERT INTO heads (size, note) VALUES (sqlc.arg(size), sqlc.arg(note));

-- name: FirstHead :one
SELECT * FROM heads WHERE size >= sqlc.arg(size) ORDER BY size LIMIT 1;

-- name: LastHead :one
SELECT * FROM heads ORDER BY size DESC LIMIT 1;

-- name: LastEntry :one
SELECT CAST(COALESCE(MAX(id), -1) AS BIGINT) FROM entries;

-- name: LastHash :one
SELECT CAST(COALESCE(MAX(id), -1) AS BIGINT) FROM hashes;
