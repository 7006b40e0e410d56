package system_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	_ "github.com/mattn/go-sqlite3" // the attacker writes to the database with any client
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusal is what a caller is told when a call is refused.
type refusal struct {
	code     codes.Code
	sentence string
	reason   string
	remedy   string
	fields   []string
	metadata map[string]string
}

func refusalOf(err error) refusal {
	s := status.Convert(err)
	r := refusal{code: s.Code(), sentence: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			r.reason, r.metadata = d.GetReason(), d.GetMetadata()
		case *errdetails.LocalizedMessage:
			r.remedy = d.GetMessage()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				r.fields = append(r.fields, v.GetField())
			}
		}
	}
	return r
}

// wantRefusal checks that err carries this reason with everything that belongs to a refusal, and the field, if one is
// named.
func wantRefusal(t testing.TB, err error, code codes.Code, reason, field string) {
	t.Helper()
	r := refusalOf(err)
	if err == nil || r.code != code || r.reason != reason || r.sentence == "" || r.remedy == "" {
		t.Errorf("got %+v (%v), want %s %s with a sentence and a remedy", r, err, code, reason)
	}
	if field != "" && !slices.Contains(r.fields, field) {
		t.Errorf("%s names the fields %q, not %s", r.reason, r.fields, field)
	}
}

// wantTampered checks that err says that somebody changed a stored record.
func wantTampered(t testing.TB, err error) {
	t.Helper()
	wantRefusal(t, err, codes.DataLoss, "RECORD_TAMPERED", "")
}

// entry is one entry of the operation log.
type entry map[string]any

// logLength and logFrom read the operation log as an auditor.
func logLength(i *system.Installation) int64 { return int64(len(logFrom(i, 0))) }

func logFrom(i *system.Installation, index int64) []entry {
	c := i.Client("auditor", pb.Role_ROLE_AUDITOR)
	var all []entry
	for {
		r, err := c.Audit.ListEntries(i.Context(), &pb.ListEntriesRequest{StartIndex: index, PageSize: 1000})
		if err != nil {
			panic(err) // a test cannot go on without the log
		}
		if len(r.GetEntries()) == 0 {
			return all
		}
		for _, b := range r.GetEntries() {
			var e entry
			if err := json.Unmarshal(b, &e); err != nil {
				panic(err)
			}
			all = append(all, e)
		}
		index = r.GetNextIndex()
	}
}

// count returns how many entries have this type and these fields, given as name, value, …
func count(entries []entry, kind string, fields ...string) int {
	n := 0
	for _, e := range entries {
		fits := e["type"] == kind
		for k := 0; k+1 < len(fields); k += 2 {
			fits = fits && fmt.Sprint(e[fields[k]]) == fields[k+1]
		}
		if fits {
			n++
		}
	}
	return n
}

// row is one row of a table, by column.
type row map[string]any

// writer is somebody who can write to the database.
type writer struct {
	t testing.TB
	*sql.DB
}

// newWriter opens the database of an installation, whose server may run.
func newWriter(t testing.TB, i *system.Installation) writer {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+i.Path("data", "db", "ecsigner.db")+"?mode=rw&_busy_timeout=10000&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return writer{t, db}
}

// run changes something, and must.
func (w writer) run(query string, args ...any) {
	w.t.Helper()
	r, err := w.Exec(query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		w.t.Fatalf("%s changed nothing (%v)", query, err)
	}
}

// get returns the row with this id.
func (w writer) get(table, id string) row {
	w.t.Helper()
	rows, err := w.Query("SELECT * FROM "+table+" WHERE id = ?", id)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		w.t.Fatalf("%s has no row %s (%v, %v)", table, id, err, rows.Err())
	}
	values, pointers := make([]any, len(names)), make([]any, len(names))
	for k := range values {
		pointers[k] = &values[k]
	}
	if err := rows.Scan(pointers...); err != nil {
		w.t.Fatal(err)
	}
	r := row{}
	for k, name := range names {
		r[name] = values[k]
	}
	return r
}

// put overwrites columns of the row with this id.
func (w writer) put(table, id string, r row) {
	w.t.Helper()
	var set []string
	var args []any
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if name != "id" {
			set, args = append(set, name+" = ?"), append(args, r[name])
		}
	}
	w.run("UPDATE "+table+" SET "+strings.Join(set, ", ")+" WHERE id = ?", append(args, id)...)
}

// replace changes bytes within a column; they must be there.
func (w writer) replace(table, id, column, from, to string) {
	w.t.Helper()
	old := string(w.get(table, id)[column].([]byte))
	if !strings.Contains(old, from) {
		w.t.Fatalf("%s %s does not hold %q", table, column, from)
	}
	w.put(table, id, row{column: []byte(strings.ReplaceAll(old, from, to))})
}

// pick returns some columns of a row.
func (r row) pick(names ...string) row {
	p := row{}
	for _, name := range names {
		p[name] = r[name]
	}
	return p
}

// configure replaces a line's value in the configuration file and returns what undoes it.
func configure(t testing.TB, i *system.Installation, from, to string) (undo func()) {
	t.Helper()
	path := i.Path("ecsigner.yaml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(before), from) != 1 {
		t.Fatalf("the configuration holds %q %d times", from, strings.Count(string(before), from))
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(before), from, to, 1))
	return func() { write(string(before)) }
}
