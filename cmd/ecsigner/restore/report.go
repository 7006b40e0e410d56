package restore

import (
	"encoding/json"
	"time"
)

// Format is the name and version of the report's format.
const Format = "ecsigner restore v1"

// Report says what a restore did and, record by record, what is gone. It names ids, never a person.
type Report struct {
	Format       string    `json:"format"`
	Installation string    `json:"installation"`
	At           time.Time `json:"at"`
	Backup       int64     `json:"backup_entries"`    // entries that the backup had
	Published    int64     `json:"published_entries"` // entries that the published log's checkpoint covers
	Recovered    int64     `json:"recovered_entries"` // entries of the log now, those of its tail included
	Epoch        uint64    `json:"epoch"`
	Bindings     int       `json:"bindings_verified"`
	Enrolments   int       `json:"enrolments_verified"`
	Voided       int64     `json:"codes_voided"`
	Messages     int64     `json:"messages_dropped"`

	// Replayed is what the backup lacked and has now.
	Replayed struct {
		Bindings   []string `json:"credentials_changed"`
		Revoked    []string `json:"certificates_revoked"`
		Destroyed  []string `json:"keys_destroyed"`
		Vouchers   []string `json:"vouchers_redeemed"`
		Grants     int      `json:"grants_changed"`
		Tries      int      `json:"code_attempts"`
		Operations []string `json:"operations_closed"`
	} `json:"replayed"`

	// Lost is what was made after the backup and is gone. Each line says what to do.
	Lost []Loss `json:"lost"`
}

// Loss is one record that is gone.
type Loss struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Do   string `json:"do"`
}

func (r *Report) lose(kind, id, do string) { r.Lost = append(r.Lost, Loss{kind, id, do}) }

func (r *Report) text() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}
