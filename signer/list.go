package signer

import (
	"context"
	"math"
	"time"

	"github.com/ecsigner/ecsigner/credential"
)

// Query says which operations of a caller are wanted.
type Query struct {
	State      State         // empty: any
	Credential credential.ID // empty: any
	From       time.Time     // prepared then or later; zero: from the first
	Before     time.Time     // prepared before then; zero: to the last
	After      Cursor        // the last one of the page before; zero: the first page
	Limit      int           // 1 to MaxPage; 0 means DefaultPage
}

// Cursor is the place of an operation in the list.
type Cursor struct {
	Created time.Time
	ID      OperationID
}

// Sizes of a page of operations.
const (
	DefaultPage = 50
	MaxPage     = 100
)

// Lists finds operations.
type Lists interface {
	// OperationsOf returns the operations of a caller that a query asks for, the newest first, in the order of creation
	// and then of id, without activation, signatures and results. q.Limit is above 0.
	OperationsOf(caller string, q Query) ([]Operation, error)
}

// List returns operations of the caller, the newest first, without signatures, results and receipts. The cursor is where
// the next page begins; it is zero on the last page.
func (s *Service) List(ctx context.Context, caller Caller, q Query) ([]View, Cursor, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultPage
	}
	q.Limit = min(q.Limit, MaxPage)
	if q.Before.IsZero() {
		q.Before = time.UnixMicro(math.MaxInt64 >> 1)
	}
	page := q.Limit
	q.Limit++ // one more tells whether another page follows
	var rows []Operation
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.OperationsOf(caller.Name, q)
		return err
	})
	if err != nil {
		return nil, Cursor{}, err
	}
	var next Cursor
	if len(rows) > page {
		rows = rows[:page]
		next = Cursor{rows[page-1].Created, rows[page-1].ID}
	}
	views := make([]View, 0, len(rows))
	for _, o := range rows {
		v, _, err := s.opened(ctx, o)
		if err == nil {
			err = s.progress(ctx, &v)
		}
		if err != nil {
			return nil, Cursor{}, err
		}
		views = append(views, v)
	}
	return views, next, nil
}
