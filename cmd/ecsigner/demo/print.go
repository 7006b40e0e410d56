package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// printer writes the transcript as a person likes to read it: chapters of numbered steps, a line for each result.
type printer struct {
	w     io.Writer
	steps *int
	began *time.Time // the chapter; zero before the first
}

func newPrinter(w io.Writer) printer { return printer{w: w, steps: new(int), began: new(time.Time)} }

// silent is for what was shown before.
func silent() printer { return newPrinter(io.Discard) }

func (p printer) title(text string) { p.line("%s\n%s", text, strings.Repeat("=", len(text))) }

// chapter begins a chapter and says how long the one before took.
func (p printer) chapter(text string) {
	p.end()
	*p.began = time.Now()
	p.line("\n\n%s\n%s", text, strings.Repeat("-", len(text)))
}

// end says how long the chapter took.
func (p printer) end() {
	if !p.began.IsZero() {
		p.line("\n   took %.1f s", time.Since(*p.began).Seconds())
	}
}

func (p printer) step(text string) {
	*p.steps++
	p.line("\n%2d %s", *p.steps, text)
}

func (p printer) item(name, text string) { p.line("   %-14s %s", name, text) }

func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// reason returns the stable reason of a refusal, and the tries that are left where it is about a code.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			if left, ok := i.GetMetadata()["tries_left"]; ok {
				return i.GetReason() + ", tries left: " + left
			}
			return i.GetReason()
		}
	}
	return err.Error()
}
