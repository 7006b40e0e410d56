-- name: Operation :one
SELECT * FROM operations WHERE id = sqlc.arg(id);

-- name: AddOperation :execrows
INSERT INTO operations (version, caller, credential, state, outcome, record, seal, items, challenge,
  activation_record, activation_seal, fence, lease, signatures, results, log_index, created, expires, id)
VALUES (sqlc.arg(version), sqlc.arg(caller), sqlc.arg(credential), sqlc.arg(state), sqlc.arg(outcome),
  sqlc.arg(record), sqlc.arg(seal), sqlc.arg(items), sqlc.arg(challenge), sqlc.arg(activation_record),
  sqlc.arg(activation_seal), sqlc.arg(fence), sqlc.arg(lease), sqlc.arg(signatures), sqlc.arg(results),
  sqlc.arg(log_index), sqlc.arg(created), sqlc.arg(expires), sqlc.arg(id))
ON CONFLICT DO NOTHING;

-- name: SetOperation :execrows
UPDATE operations SET version = sqlc.arg(version), caller = sqlc.arg(caller), credential = sqlc.arg(credential),
  state = sqlc.arg(state), outcome = sqlc.arg(outcome), record = sqlc.arg(record), seal = sqlc.arg(seal),
  items = sqlc.arg(items), challenge = sqlc.arg(challenge), activation_record = sqlc.arg(activation_record),
  activation_seal = sqlc.arg(activation_seal), fence = sqlc.arg(fence), lease = sqlc.arg(lease),
  signatures = sqlc.arg(signatures), results = sqlc.arg(results), log_index = sqlc.arg(log_index),
  created = sqlc.arg(created), expires = sqlc.arg(expires)
WHERE id = sqlc.arg(id) AND version = sqlc.arg(version) - 1;

-- name: OpenOperations :many
SELECT * FROM operations WHERE state IN ('requested', 'signing') AND expires < sqlc.arg(before)
ORDER BY expires, id LIMIT sqlc.arg(n);

-- name: OperationsOfCaller :many
SELECT id, version, caller, credential, state, outcome, record, seal, items, log_index, created, expires FROM operations
WHERE caller = sqlc.arg(caller) AND created >= sqlc.arg(since) AND created < sqlc.arg(before)
  AND (created < sqlc.arg(last_created) OR created = sqlc.arg(last_created) AND id < sqlc.arg(last_id))
  AND (state = sqlc.arg(state) OR sqlc.arg(state) = '')
  AND (credential = sqlc.arg(credential) OR sqlc.arg(credential) = '')
ORDER BY created DESC, id DESC LIMIT sqlc.arg(n);

-- name: Document :one
SELECT * FROM documents WHERE id = sqlc.arg(id);

-- name: PutDocument :exec
INSERT INTO documents (id, caller, name, size, sha256, created)
VALUES (sqlc.arg(id), sqlc.arg(caller), sqlc.arg(name), sqlc.arg(size), sqlc.arg(sha256), sqlc.arg(created))
ON CONFLICT (id) DO UPDATE SET caller = excluded.caller, name = excluded.name, size = excluded.size,
  sha256 = excluded.sha256, created = excluded.created;

-- name: Request :one
SELECT * FROM requests WHERE caller = sqlc.arg(caller) AND id = sqlc.arg(id);

-- name: AddRequest :execrows
INSERT INTO requests (caller, id, fingerprint, result, created)
VALUES (sqlc.arg(caller), sqlc.arg(id), sqlc.arg(fingerprint), sqlc.arg(result), sqlc.arg(created))
ON CONFLICT DO NOTHING;
