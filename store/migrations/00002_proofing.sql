-- +goose Up

-- The session of identity proofing of an enrolment: where its provider is asked, and why a proofing ended without proof.
-- What it came to is in the enrolment's sealed record, with the SHA-256 of the report.
CREATE TABLE proofings (
  enrolment TEXT PRIMARY KEY NOT NULL,
  provider  TEXT NOT NULL,
  session   TEXT NOT NULL,
  url       TEXT NOT NULL,
  expires   BIGINT NOT NULL,
  reason    TEXT NOT NULL,
  fields    TEXT NOT NULL, -- names, comma between
  report    BLOB
);
CREATE INDEX proofings_of_session ON proofings (provider, session) WHERE session <> '';

-- What identity providers called about, so that a repeated call has no second effect.
CREATE TABLE callbacks (
  provider TEXT NOT NULL,
  event    TEXT NOT NULL,
  session  TEXT NOT NULL,
  received BIGINT NOT NULL,
  PRIMARY KEY (provider, event)
);

CREATE INDEX enrolments_due ON enrolments (expires, id)
  WHERE state IN ('created', 'parameters', 'data', 'phone', 'proofing', 'deferred', 'review', 'proven');
