-- name: Dossier :one
SELECT * FROM dossiers WHERE enrolment = sqlc.arg(enrolment);

-- name: PutDossier :exec
INSERT INTO dossiers (enrolment, document, basis, shown, code_sent, evidence)
VALUES (sqlc.arg(enrolment), sqlc.arg(document), sqlc.arg(basis), sqlc.arg(shown), sqlc.arg(code_sent), sqlc.arg(evidence))
ON CONFLICT (enrolment) DO UPDATE SET document = excluded.document, basis = excluded.basis, shown = excluded.shown,
  code_sent = excluded.code_sent, evidence = excluded.evidence;
