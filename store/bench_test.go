package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store/storetest"
)

// BenchmarkGroupCommit commits one operation and one event for each call; "signed" also has a head signed for each
// group, with a software key.
func BenchmarkGroupCommit(b *testing.B) {
	for _, event := range []audit.Event{storetest.Created(1), storetest.Signed(1)} {
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", audit.Kind(event), callers), func(b *testing.B) {
				db := open(b, config(storetest.NewWorld(b), filepath.Join(b.TempDir(), "db")))
				var n atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
							if _, err := db.Signer().Update(b.Context(), func(tx signer.Tx) error {
								tx.Append(event)
								return tx.PutOperation(signer.Operation{ID: signer.OperationID(fmt.Sprint(i)), Items: make([]byte, 600)})
							}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	}
}
