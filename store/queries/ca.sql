-- name: Certificate :one
SELECT * FROM certificates WHERE serial = sqlc.arg(serial);

-- name: CertificateByRequest :one
SELECT * FROM certificates WHERE request_id = sqlc.arg(request_id);

-- name: RevokedCertificates :many
SELECT * FROM certificates WHERE state = 'revoked' ORDER BY serial;

-- name: SubjectHolders :one
SELECT COUNT(*) FROM certificates
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND person <> sqlc.arg(person);

-- name: KeyHolders :one
SELECT COUNT(*) FROM certificates WHERE spki = sqlc.arg(spki) AND person <> sqlc.arg(person);

-- name: RequestHolders :one
SELECT COUNT(*) FROM certificates WHERE request_id = sqlc.arg(request_id) AND serial <> sqlc.arg(serial);

-- name: PutCertificate :exec
INSERT INTO certificates (serial, issuer, request_id, person, profile, state, subject, spki, not_before, not_after, tbs,
  lint_report, der, revoked_at, reason)
VALUES (sqlc.arg(serial), sqlc.arg(issuer), sqlc.arg(request_id), sqlc.arg(person), sqlc.arg(profile), sqlc.arg(state),
  sqlc.arg(subject), sqlc.arg(spki), sqlc.arg(not_before), sqlc.arg(not_after), sqlc.arg(tbs), sqlc.arg(lint_report),
  sqlc.arg(der), sqlc.arg(revoked_at), sqlc.arg(reason))
ON CONFLICT (serial) DO UPDATE SET issuer = excluded.issuer, request_id = excluded.request_id, person = excluded.person,
  profile = excluded.profile, state = excluded.state, subject = excluded.subject, spki = excluded.spki,
  not_before = excluded.not_before, not_after = excluded.not_after, tbs = excluded.tbs,
  lint_report = excluded.lint_report, der = excluded.der, revoked_at = excluded.revoked_at, reason = excluded.reason;
