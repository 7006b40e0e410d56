package batch

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Progress tells a person what goes on: a bar on a terminal, a line for each thing that is done elsewhere.
type Progress struct {
	W        io.Writer
	Terminal bool
	Now      func() time.Time

	shown time.Time
	wide  int
}

const (
	barWidth = 28
	perFrame = 80 * time.Millisecond
)

// step shows a bar: part of the n-th of several things.
func (p *Progress) step(what, name string, n, of int, part, whole int64) {
	now := p.Now()
	if !p.Terminal || part < whole && now.Sub(p.shown) < perFrame {
		return
	}
	p.shown = now
	ratio := (float64(n) + float64(part)/float64(max(whole, 1))) / float64(max(of, 1))
	full := min(barWidth, int(ratio*barWidth))
	line := fmt.Sprintf("%-10s [%s%s] %3.0f %%  %s", what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*ratio, name)
	p.write(line)
}

// done says that one thing is done.
func (p *Progress) done(what, name string) {
	if !p.Terminal {
		fmt.Fprintf(p.W, "%s %s\n", what, name)
	}
}

// clear removes the bar.
func (p *Progress) clear() {
	if p.Terminal && p.wide > 0 {
		p.write("")
		fmt.Fprint(p.W, "\r")
		p.wide = 0
	}
}

func (p *Progress) write(line string) {
	length := len([]rune(line))
	fmt.Fprintf(p.W, "\r%s%s", line, strings.Repeat(" ", max(0, p.wide-length)))
	p.wide = length
}
