package pdf_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestTrustWork opens small files whose objects refer to large ones again and again: what they cost must stay bounded.
func TestTrustWork(t *testing.T) {
	const fields = 20000
	refs := func(from int) string {
		var b strings.Builder
		for i := range fields {
			fmt.Fprintf(&b, "%d 0 R ", from+i)
		}
		return b.String()
	}
	many := func(body string) []pdftest.Obj {
		objs := make([]pdftest.Obj, fields)
		for i := range objs {
			objs[i] = pdftest.Obj{Number: 100 + i, Body: body}
		}
		return objs
	}
	large := strings.Repeat("x", 1<<20)
	for name, data := range map[string][]byte{
		"names that share an object": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T 50 0 R >>"), pdftest.Obj{Number: 50, Body: "(" + large + ")"})...)}.Classic(),
		"names below a long one": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [50 0 R] >>", "",
			append(many("<< /T (a) >>"), pdftest.Obj{Number: 50, Body: "<< /T (" + large + ") /Kids [" + refs(100) + "] >>"})...)}.Classic(),
		"values that share an object": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T (a) /V 50 0 R >>"), pdftest.Obj{Number: 50, Body: "[" + strings.Repeat("1 ", 1<<17) + "]"})...)}.Classic(),
		"values that share an object in a stream": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T (a) /V 50 0 R >>"), pdftest.Obj{Number: 50, Body: "[" + strings.Repeat("1 ", 1<<17) + "]"})...)}.Streams(50),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := openForm(data, pdf.Limits{}); !errors.Is(err, pdf.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d bytes of file, %v, %d MiB", name, len(data), time.Since(began), (after.TotalAlloc-before.TotalAlloc)>>20)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(data))
		}
	}
}
