//go:build interop

package interop

import (
	"fmt"
	"strings"
	"time"
)

// artefact is a file to be judged: a PDF, or a CMS.
type artefact struct {
	file    string
	content string // what a detached CMS signs; empty for others
}

func (a artefact) pdf() bool { return strings.HasSuffix(a.file, ".pdf") }

// moment is when and with which means a judge judges. The zero value is now, without a network.
type moment struct {
	online bool
	at     time.Time
	list   bool // EU DSS: whom to trust stands in the trusted list, not in the roots
}

func (m moment) pairs() []string {
	var online, at string
	if m.online {
		online = "1"
	}
	if !m.at.IsZero() {
		at = m.at.UTC().Format(time.RFC3339)
	}
	return []string{"online", online, "time", at}
}

// dssStamp and dssReport are what EU DSS answers.
type dssStamp struct {
	Type, Archive, Indication, Sub, Qualification, Time string
	Errors, Warnings                                    []string
}

type dssReport struct {
	Signatures []struct {
		Indication, Sub, Level, Qualification, Time, By string
		Errors, Warnings                                []string
		Stamps                                          []dssStamp
	}
	Stamps []dssStamp // that belong to no signature
}

// askDSS has EU DSS validate with its default policy.
func (w *world) askDSS(r *residents, a artefact, m moment) (dssReport, error) {
	var report dssReport
	list := ""
	if m.list {
		list = "1"
	}
	err := r.java.ask(&report, "validate", append(m.pairs(), "file", a.file, "content", a.content, "roots", w.roots, "tl", list)...)
	return report, err
}

// String is the whole verdict: indication, level, every time-stamp, and every error and warning that is not allowed.
func (d dssReport) String() string {
	var said []string
	for _, s := range d.Signatures {
		line := s.Indication + plus("/", s.Sub) + " " + s.Level + qualification(s.Qualification)
		for _, t := range s.Stamps {
			line += " + " + t.String()
		}
		said = append(said, line+complaints(s.Errors, s.Warnings))
	}
	for _, t := range d.Stamps {
		said = append(said, t.String())
	}
	if len(said) == 0 {
		return "no signature"
	}
	return strings.Join(said, "; ")
}

func (t dssStamp) String() string {
	kind := strings.TrimSuffix(t.Type, "_TIMESTAMP")
	if t.Archive != "" && t.Archive != "PAdES" {
		kind += " " + t.Archive
	}
	return kind + " " + t.Indication + plus("/", t.Sub) + qualification(t.Qualification) + complaints(t.Errors, t.Warnings)
}

func complaints(errors, warnings []string) string {
	var text string
	for _, e := range errors {
		text += fmt.Sprintf(" [error %s]", e)
	}
	for _, e := range warnings {
		text += fmt.Sprintf(" [warning %s]", e)
	}
	return text
}

// qualification leaves out what is always so without a trusted list.
func qualification(q string) string {
	if q == "NA" {
		return ""
	}
	return plus(" ", q)
}

func plus(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}
