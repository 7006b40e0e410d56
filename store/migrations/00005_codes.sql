-- +goose Up

-- How often the text with a code went on its way: 1 for the first.
ALTER TABLE challenges ADD COLUMN sent BIGINT NOT NULL DEFAULT 1;

-- What became of each text. It names no number; the row of the outbox is gone once a provider took the text or it was
-- given up.
CREATE TABLE deliveries (
  message   TEXT PRIMARY KEY NOT NULL,
  kind      TEXT NOT NULL,
  challenge TEXT NOT NULL, -- whose code it carried, empty for notices
  status    TEXT NOT NULL,
  provider  TEXT NOT NULL,
  reference TEXT NOT NULL, -- the provider's own name of the text
  at        BIGINT NOT NULL
);
CREATE INDEX deliveries_of_challenge ON deliveries (challenge, at);
CREATE INDEX deliveries_by_reference ON deliveries (provider, reference);
CREATE INDEX outbox_of_challenge ON outbox (challenge);
