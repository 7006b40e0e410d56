-- +goose Up

-- The current challenge by whose code a person may revoke a credential.
CREATE TABLE revocations (
  credential TEXT PRIMARY KEY NOT NULL REFERENCES credentials (id),
  challenge  TEXT NOT NULL
);

-- When a person was told that the certificate of a credential is about to end.
CREATE TABLE reminders (
  credential TEXT PRIMARY KEY NOT NULL REFERENCES credentials (id),
  sent       BIGINT NOT NULL
);
CREATE INDEX credentials_ending ON credentials (not_after, id);

-- What the current credential signs so that it is renewed: an operation of the trust core for one agreement.
CREATE TABLE renewals (
  enrolment         TEXT PRIMARY KEY NOT NULL REFERENCES enrolments (id),
  record            BLOB,
  seal              BLOB,
  prepared          BLOB,
  activation_record BLOB,
  activation_seal   BLOB,
  fence             BIGINT NOT NULL,
  tail              BLOB
);
