-- +goose Up

-- Signatures on their way to a higher level.
CREATE TABLE jobs (
  subject    TEXT NOT NULL,
  item       BIGINT NOT NULL,
  version    BIGINT NOT NULL,
  kind       TEXT NOT NULL,
  document   TEXT NOT NULL,
  release    BIGINT NOT NULL,
  target     BIGINT NOT NULL,
  reached    BIGINT NOT NULL,
  state      TEXT NOT NULL,
  attempts   BIGINT NOT NULL,
  reason     TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  created    BIGINT NOT NULL,
  ends       BIGINT NOT NULL,
  PRIMARY KEY (subject, item)
);
CREATE INDEX jobs_due ON jobs (not_before, subject, item) WHERE state = 'pending';
CREATE INDEX jobs_of_document ON jobs (document) WHERE document <> '';

-- What was made of them.
CREATE TABLE artefacts (
  subject   TEXT NOT NULL,
  item      BIGINT NOT NULL,
  level     BIGINT NOT NULL,
  data      BLOB,
  spooled   TEXT NOT NULL,
  size      BIGINT NOT NULL,
  sha256    BLOB,
  log_index BIGINT NOT NULL,
  created   BIGINT NOT NULL,
  PRIMARY KEY (subject, item, level)
);

-- Documents that clients sent to be augmented.
CREATE TABLE augmentations (
  id               TEXT PRIMARY KEY NOT NULL,
  caller           TEXT NOT NULL,
  kind             TEXT NOT NULL,
  document         TEXT NOT NULL,
  sha256           BLOB,
  content_document TEXT NOT NULL,
  content_digest   BLOB,
  level            BIGINT NOT NULL,
  created          BIGINT NOT NULL
);
