package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// HeadSigner signs the head of the log. The store's writer calls it between the last unit of work and COMMIT, so it
// must respect ctx's deadline; an error means that no head exists. It may be called again for the same head.
type HeadSigner interface {
	SignHead(ctx context.Context, size int64, root tlog.Hash) ([]byte, error)
}
