-- +goose Up

-- Records that the operation log tells of and that no row stands for: they were made after the backup from which this
-- database was restored. A record that is named here is not merely unknown.
CREATE TABLE lost (
  kind TEXT NOT NULL, -- operation, enrolment, credential
  id   TEXT NOT NULL,
  at   BIGINT NOT NULL, -- when the restore found it out
  PRIMARY KEY (kind, id)
);
