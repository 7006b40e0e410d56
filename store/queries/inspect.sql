-- name: OpenChallenges :many
SELECT * FROM challenges WHERE spent = 0 AND voided = 0 AND expires > sqlc.arg(now) ORDER BY subject, id;

-- name: AllLocks :many
SELECT * FROM locks ORDER BY account, caller;
