-- +goose Up

-- How the agreement of an enrolment came to be accepted.
CREATE TABLE dossiers (
  enrolment TEXT PRIMARY KEY NOT NULL,
  document  BLOB NOT NULL, -- SHA-256 of the agreement that the rest is about
  basis     BLOB,
  shown     BIGINT NOT NULL,
  code_sent BIGINT NOT NULL,
  evidence  BLOB -- its SHA-256 is in the sealed enrolment
);
