-- name: Voucher :one
SELECT * FROM vouchers WHERE hash = sqlc.arg(hash);

-- name: PutVoucher :exec
INSERT INTO vouchers (hash, product, years, expires, enrolment, created, caller)
VALUES (sqlc.arg(hash), sqlc.arg(product), sqlc.arg(years), sqlc.arg(expires), sqlc.arg(enrolment), sqlc.arg(created),
  sqlc.arg(caller))
ON CONFLICT (hash) DO UPDATE SET product = excluded.product, years = excluded.years, expires = excluded.expires,
  enrolment = excluded.enrolment, created = excluded.created, caller = excluded.caller;

-- name: Enrolment :one
SELECT * FROM enrolments WHERE id = sqlc.arg(id);

-- name: AddEnrolment :execrows
INSERT INTO enrolments (version, caller, state, record, seal, phone, phone_salt, language, birth_date, challenge,
  wrapped, public_key, agreement, sealing, created, updated, expires, id)
VALUES (sqlc.arg(version), sqlc.arg(caller), sqlc.arg(state), sqlc.arg(record), sqlc.arg(seal),
  sqlc.arg(phone), sqlc.arg(phone_salt), sqlc.arg(language), sqlc.arg(birth_date), sqlc.arg(challenge),
  sqlc.arg(wrapped), sqlc.arg(public_key), sqlc.arg(agreement), sqlc.arg(sealing), sqlc.arg(created),
  sqlc.arg(updated), sqlc.arg(expires), sqlc.arg(id))
ON CONFLICT DO NOTHING;

-- name: SetEnrolment :execrows
UPDATE enrolments SET version = sqlc.arg(version), caller = sqlc.arg(caller), state = sqlc.arg(state),
  record = sqlc.arg(record), seal = sqlc.arg(seal), phone = sqlc.arg(phone), phone_salt = sqlc.arg(phone_salt),
  language = sqlc.arg(language), birth_date = sqlc.arg(birth_date), challenge = sqlc.arg(challenge),
  wrapped = sqlc.arg(wrapped), public_key = sqlc.arg(public_key), agreement = sqlc.arg(agreement),
  sealing = sqlc.arg(sealing), created = sqlc.arg(created), updated = sqlc.arg(updated), expires = sqlc.arg(expires)
WHERE id = sqlc.arg(id) AND version = sqlc.arg(version) - 1;

-- name: TouchEnrolment :execrows
UPDATE enrolments SET phone = sqlc.arg(phone), phone_salt = sqlc.arg(phone_salt), language = sqlc.arg(language),
  birth_date = sqlc.arg(birth_date), challenge = sqlc.arg(challenge), wrapped = sqlc.arg(wrapped),
  public_key = sqlc.arg(public_key), agreement = sqlc.arg(agreement), sealing = sqlc.arg(sealing),
  updated = sqlc.arg(updated), expires = sqlc.arg(expires)
WHERE id = sqlc.arg(id) AND version = sqlc.arg(version);

-- name: EnrolmentsOfCaller :many
SELECT * FROM enrolments WHERE caller = sqlc.arg(caller) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(n);

-- name: EnrolmentsInState :many
SELECT * FROM enrolments WHERE state = sqlc.arg(state) AND id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(n);

-- name: EnrolmentsOverdue :many
SELECT * FROM enrolments WHERE expires <= sqlc.arg(now) AND id > sqlc.arg(after)
  AND state IN ('created', 'parameters', 'data', 'phone', 'proofing', 'deferred', 'review', 'proven')
ORDER BY id LIMIT sqlc.arg(n);

-- name: Proofing :one
SELECT * FROM proofings WHERE enrolment = sqlc.arg(enrolment);

-- name: PutProofing :exec
INSERT INTO proofings (enrolment, provider, session, url, expires, reason, fields, report)
VALUES (sqlc.arg(enrolment), sqlc.arg(provider), sqlc.arg(session), sqlc.arg(url), sqlc.arg(expires), sqlc.arg(reason),
  sqlc.arg(fields), sqlc.arg(report))
ON CONFLICT (enrolment) DO UPDATE SET provider = excluded.provider, session = excluded.session, url = excluded.url,
  expires = excluded.expires, reason = excluded.reason, fields = excluded.fields, report = excluded.report;

-- name: EnrolmentOfSession :one
SELECT enrolment FROM proofings WHERE provider = sqlc.arg(provider) AND session = sqlc.arg(session) AND session <> ''
ORDER BY enrolment LIMIT 1;

-- name: Callback :one
SELECT * FROM callbacks WHERE provider = sqlc.arg(provider) AND event = sqlc.arg(event);

-- name: AddCallback :execrows
INSERT INTO callbacks (provider, event, session, received)
VALUES (sqlc.arg(provider), sqlc.arg(event), sqlc.arg(session), sqlc.arg(received))
ON CONFLICT DO NOTHING;

-- name: Credential :one
SELECT * FROM credentials WHERE id = sqlc.arg(id);

-- name: AddCredential :execrows
INSERT INTO credentials (record, seal, version, wrapped_key, chain, phone, phone_salt, language, serial, enrolment,
  not_before, not_after, created_at, id)
VALUES (sqlc.arg(record), sqlc.arg(seal), sqlc.arg(version), sqlc.arg(wrapped_key), sqlc.arg(chain),
  sqlc.arg(phone), sqlc.arg(phone_salt), sqlc.arg(language), sqlc.arg(serial), sqlc.arg(enrolment),
  sqlc.arg(not_before), sqlc.arg(not_after), sqlc.arg(created_at), sqlc.arg(id))
ON CONFLICT DO NOTHING;

-- name: SetCredential :execrows
UPDATE credentials SET record = sqlc.arg(record), seal = sqlc.arg(seal), version = sqlc.arg(version),
  wrapped_key = sqlc.arg(wrapped_key), chain = sqlc.arg(chain), phone = sqlc.arg(phone),
  phone_salt = sqlc.arg(phone_salt), language = sqlc.arg(language), serial = sqlc.arg(serial),
  enrolment = sqlc.arg(enrolment), not_before = sqlc.arg(not_before), not_after = sqlc.arg(not_after),
  created_at = sqlc.arg(created_at)
WHERE id = sqlc.arg(id) AND version = sqlc.arg(version) - 1;

-- name: Credentials :many
SELECT * FROM credentials WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(n);

-- name: CredentialsOfClient :many
SELECT credentials.* FROM credentials JOIN grants ON grants.credential = credentials.id
WHERE grants.client = sqlc.arg(client) AND grants.credential > sqlc.arg(after)
ORDER BY grants.credential LIMIT sqlc.arg(n);

-- name: Grant :one
SELECT * FROM grants WHERE credential = sqlc.arg(credential) AND client = sqlc.arg(client);

-- name: PutGrant :exec
INSERT INTO grants (credential, client, created_at)
VALUES (sqlc.arg(credential), sqlc.arg(client), sqlc.arg(created_at))
ON CONFLICT (credential, client) DO UPDATE SET created_at = excluded.created_at;

-- name: DeleteGrant :exec
DELETE FROM grants WHERE credential = sqlc.arg(credential) AND client = sqlc.arg(client);
