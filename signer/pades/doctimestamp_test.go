package pades_test

import (
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func TestTimeStampEveryShape(t *testing.T) {
	s, _ := world().services()
	for _, shape := range pdftest.Signable() {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			once := timeStamp(t, shape.Data, s)
			judgeStructure(t, shape.Data, once)
			twice := timeStamp(t, once, s)
			judgeStructure(t, once, twice)
		})
	}
}
