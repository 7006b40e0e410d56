-- Times are microseconds since 1970-01-01 UTC, 0 for "never". Lists of byte strings are canonical records: a count and
-- items behind their lengths. What decides anything is in a sealed record beside its seal; the columns next to it are
-- there to find it. Where rows are versioned the id stands last, so that one generated struct serves row, insert and
-- update.

-- +goose Up

-- The operation log: canonical entries, the stored hashes of their RFC 6962 tree, its signed heads, and one row that says
-- how far it goes.
CREATE TABLE entries (
  id   INTEGER PRIMARY KEY, -- index in the log, from 0
  data BLOB NOT NULL
);

CREATE TABLE hashes (
  id   INTEGER PRIMARY KEY, -- index of the stored hash, from 0
  hash BLOB NOT NULL
);

CREATE TABLE heads (
  size INTEGER PRIMARY KEY, -- entries that this head covers
  note BLOB NOT NULL        -- signed note
);

CREATE TABLE log (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  size   BIGINT NOT NULL, -- entries
  latest BIGINT NOT NULL  -- the latest time that any entry carries
);
INSERT INTO log (id, size, latest) VALUES (1, 0, 0);

CREATE TABLE vouchers (
  hash      BLOB PRIMARY KEY NOT NULL,
  product   TEXT NOT NULL,
  years     BIGINT NOT NULL,
  expires   BIGINT NOT NULL,
  enrolment TEXT NOT NULL,
  created   BIGINT NOT NULL,
  caller    TEXT NOT NULL
);

CREATE TABLE enrolments (
  version    BIGINT NOT NULL,
  caller     TEXT NOT NULL,
  state      TEXT NOT NULL,
  record     BLOB,
  seal       BLOB,
  phone      TEXT NOT NULL,
  phone_salt BLOB,
  language   TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  challenge  TEXT NOT NULL,
  wrapped    BLOB,
  public_key BLOB,
  agreement  BLOB,
  sealing    BLOB,
  created    BIGINT NOT NULL,
  updated    BIGINT NOT NULL,
  expires    BIGINT NOT NULL,
  id         TEXT PRIMARY KEY NOT NULL
);
CREATE INDEX enrolments_of_caller ON enrolments (caller, id);
CREATE INDEX enrolments_in_state ON enrolments (state, id);

CREATE TABLE credentials (
  record      BLOB,
  seal        BLOB,
  version     BIGINT NOT NULL,
  wrapped_key BLOB,
  chain       BLOB, -- list
  phone       TEXT NOT NULL,
  phone_salt  BLOB,
  language    TEXT NOT NULL,
  serial      TEXT NOT NULL,
  enrolment   TEXT NOT NULL,
  not_before  BIGINT NOT NULL,
  not_after   BIGINT NOT NULL,
  created_at  BIGINT NOT NULL,
  id          TEXT PRIMARY KEY NOT NULL
);

CREATE TABLE grants (
  credential TEXT NOT NULL REFERENCES credentials (id),
  client     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (credential, client)
);
CREATE INDEX grants_of_client ON grants (client, credential);

CREATE TABLE certificates (
  serial      TEXT PRIMARY KEY NOT NULL,
  issuer      BLOB NOT NULL,
  request_id  TEXT UNIQUE NOT NULL,
  person      TEXT NOT NULL,
  profile     TEXT NOT NULL,
  state       TEXT NOT NULL,
  subject     BLOB NOT NULL,
  spki        BLOB NOT NULL,
  not_before  BIGINT NOT NULL,
  not_after   BIGINT NOT NULL,
  tbs         BLOB,
  lint_report TEXT NOT NULL,
  der         BLOB,
  revoked_at  BIGINT NOT NULL,
  reason      BIGINT NOT NULL
);
CREATE INDEX certificates_of_subject ON certificates (issuer, subject, person);
CREATE INDEX certificates_of_key ON certificates (spki, person);
CREATE INDEX certificates_revoked ON certificates (serial) WHERE state = 'revoked';

CREATE TABLE challenges (
  id       TEXT PRIMARY KEY NOT NULL,
  purpose  TEXT NOT NULL,
  subject  TEXT NOT NULL,
  caller   TEXT NOT NULL,
  account  TEXT NOT NULL,
  record   BLOB,
  seal     BLOB,
  number   BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  expires  BIGINT NOT NULL,
  spent    BIGINT NOT NULL,
  voided   BIGINT NOT NULL
);

CREATE TABLE locks (
  account  TEXT NOT NULL,
  caller   TEXT NOT NULL, -- empty: all callers
  failures BIGINT NOT NULL,
  since    BIGINT NOT NULL,
  locked   BIGINT NOT NULL,
  PRIMARY KEY (account, caller)
);

CREATE TABLE operations (
  version           BIGINT NOT NULL,
  caller            TEXT NOT NULL,
  credential        TEXT NOT NULL,
  state             TEXT NOT NULL,
  outcome           TEXT NOT NULL,
  record            BLOB,
  seal              BLOB,
  items             BLOB,
  challenge         TEXT NOT NULL,
  activation_record BLOB,
  activation_seal   BLOB,
  fence             BIGINT NOT NULL,
  lease             BIGINT NOT NULL,
  signatures        BLOB, -- list
  results           BLOB, -- list
  log_index         BIGINT NOT NULL,
  created           BIGINT NOT NULL,
  expires           BIGINT NOT NULL,
  id                TEXT PRIMARY KEY NOT NULL
);
CREATE INDEX operations_open ON operations (expires, id) WHERE state IN ('requested', 'signing');

CREATE TABLE documents (
  id      TEXT PRIMARY KEY NOT NULL,
  caller  TEXT NOT NULL,
  name    TEXT NOT NULL,
  size    BIGINT NOT NULL,
  sha256  BLOB,
  created BIGINT NOT NULL
);

CREATE TABLE requests (
  caller      TEXT NOT NULL,
  id          TEXT NOT NULL,
  fingerprint BLOB,
  result      TEXT NOT NULL,
  created     BIGINT NOT NULL,
  PRIMARY KEY (caller, id)
);
CREATE INDEX requests_by_age ON requests (created);

CREATE TABLE outbox (
  id         TEXT PRIMARY KEY NOT NULL,
  kind       TEXT NOT NULL,
  subject    TEXT NOT NULL,
  challenge  TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  attempts   BIGINT NOT NULL,
  not_before BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (not_before, created_at, id);
