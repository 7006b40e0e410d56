-- +goose Up

-- The operations of a client, the newest first. State and credential are in it, so that a filter that fits few of very
-- many operations reads the index alone.
CREATE INDEX operations_of_caller ON operations (caller, created, id, state, credential);
