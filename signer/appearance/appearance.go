// Package appearance draws visible signatures: what a reader sees in the rectangle of a signature field. It composes
// text, a picture, background and border into one form XObject (ISO 32000-2 clause 12.5.5) and enters the field's
// widget into its page, as objects of an incremental update, so that the appearance is part of what is signed.
//
// Text is set in an embedded subset of a TrueType font and can be searched and copied. It stands upright as the reader
// sees the page, whatever the page's /Rotate. Nothing is ever shown as a box, dropped or moved: a character that the
// font lacks, a text that does not fit and a rectangle outside the visible page are errors that say so.
//
// The same input gives the same bytes. Colours are sRGB by a profile of their own, fonts are embedded, and
// nothing is transparent unless the picture is and has no background, so that a PDF/A file stays one.
package appearance

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // where the machine has none

	"github.com/ecsigner/ecsigner/signer/appearance/font"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

// Reasons not to draw. Each is wrapped with the particulars.
var (
	// ErrOptions: the options contradict themselves or lie outside their range.
	ErrOptions = errors.New("appearance: unusable options")
	// ErrPlace: the rectangle does not lie on the visible part of the page, or has no area.
	ErrPlace = errors.New("the signature's rectangle is not on the visible page: choose another place")
	// ErrTooSmall: the text does not fit even at the smallest size; the wrapping text names the height needed.
	ErrTooSmall = errors.New("the signature's rectangle is too small for its text: enlarge it or show less")
	// ErrText: a text holds a character that cannot be shown right; the wrapping text names it.
	ErrText = errors.New("text that cannot be shown in a visible signature")
	// ErrFont: the font cannot be used.
	ErrFont = font.ErrUnusable
	// ErrPicture: the picture cannot be used.
	ErrPicture = errors.New("unusable picture")
	// ErrAnnotations: the page lists its annotations in a way that cannot be extended without harm to an earlier
	// signature.
	ErrAnnotations = errors.New("the page holds annotations as direct objects, and readers would take adding one for a change of the signed " +
		"document: use an existing signature field, sign without an appearance, or choose another page")
)

// Corner is where on the page, as the reader sees it, the box stands.
type Corner uint8

// The corners.
const (
	BottomRight Corner = iota
	BottomLeft
	TopRight
	TopLeft
)

// PicturePlace is where in the box the picture stands. It is never distorted.
type PicturePlace uint8

// The places of the picture.
const (
	PictureLeft   PicturePlace = iota // at most two fifths of the width, the text beside it
	PictureRight                      // the same at the other side
	PictureTop                        // at most half of the height, the text below
	PictureBehind                     // as large as the box, under the text
	PictureOnly                       // as large as the box, without any text
)

// Item is a part of the text that can be left out; items are combined with |.
type Item uint8

// The items.
const (
	Title    Item = 1 << iota // "Electronically signed"
	Name                      // who signed
	Reason                    // Facts.Reason
	Location                  // Facts.Location
	Time                      // Facts.Time
)

// Colour is "#RRGGBB" in sRGB, "none" for nothing at all, or empty for the default.
type Colour string

// Appearance is how a visible signature looks and where it stands. The zero value is a box of 216 × 72 points with all
// that the signature says, in English, in the bottom right corner of the last page.
type Appearance struct {
	Page   int       // 1 is the first, 0 the last
	Rect   pages.Box // in user space of the page, or zero: then Corner, Width, Height and Margin apply, and only then
	Corner Corner
	Width  float64 // of the box as the reader sees it, in points (1/72 inch, UserUnit considered); default 216
	Height float64 // default 72
	Margin float64 // distance from both edges in points; default 36
	Rotate int     // degrees clockwise away from upright: 0, 90, 180 or 270

	Language string   // of the labels: "uk", "pl", "en"; default "en"
	Hide     Item     // what is not shown
	Zone     string   // in which the time is shown, with its offset: an IANA name such as "Europe/Kyiv"; default UTC
	Lines    []string // further lines of text, at most 16

	Picture      []byte // PNG or JPEG, at most 1 MiB and 4,194,304 pixels; optional
	PicturePlace PicturePlace

	Font     []byte  // TrueType file for all text; default Go Regular with Go Bold, which have Latin, Greek and Cyrillic
	BoldFont []byte  // TrueType file for the name; default Font, or Go Bold
	FontSize float64 // points, at least 1; 0: the largest from 4 to 18 that fits

	Background  Colour  // default white
	Border      Colour  // default light grey
	BorderWidth float64 // points; default 0.5
	Accent      Colour  // of the bar at the left edge and the title; default dark blue
	Ink         Colour  // of the text; default nearly black
	Muted       Colour  // of the labels; default grey
}

// Facts are what the signature itself says; the appearance repeats those that are not empty.
type Facts struct {
	Name, Reason, Location string
	Time                   time.Time
}

const (
	defaultWidth, defaultHeight, defaultMargin = 216, 72, 36
	minSize, maxSize                           = 4.0, 18.0 // points, automatic
	leastSize                                  = 1.0       // points, asked for
	longest                                    = 14400     // points: 200 inches
	maxLines                                   = 16
)

// Check judges the options as far as it can be done without a document. Errors wrap ErrOptions, ErrText, ErrFont and
// ErrPicture.
func (a *Appearance) Check() error {
	_, err := a.prepare(Facts{})
	return err
}

func (a *Appearance) checkOptions() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	for what, v := range map[string]float64{
		"width": a.Width, "height": a.Height, "margin": a.Margin, "border": a.BorderWidth, "font size": a.FontSize,
	} {
		if !(v >= 0 && v <= longest) {
			return bad("%s of %v points", what, v)
		}
	}
	switch {
	case a.FontSize > 0 && a.FontSize < leastSize:
		return bad("font size of %v points: nobody could read it; %v is the least", a.FontSize, leastSize)
	case a.Page < 0:
		return bad("page %d", a.Page)
	case a.Rect != (pages.Box{}) && (a.Corner != 0 || a.Width != 0 || a.Height != 0 || a.Margin != 0):
		return bad("both a rectangle and a corner, size or margin")
	case a.Corner > TopLeft || a.PicturePlace > PictureOnly:
		return bad("unknown corner or place of the picture")
	case a.Rotate != 0 && a.Rotate != 90 && a.Rotate != 180 && a.Rotate != 270:
		return bad("rotation by %d degrees", a.Rotate)
	case len(a.Lines) > maxLines:
		return bad("more than %d lines of text", maxLines)
	case a.Ink == "none" || a.Muted == "none":
		return bad("text without a colour; use Hide")
	case a.Picture == nil && a.PicturePlace == PictureOnly:
		return bad("only a picture is wanted, and there is none")
	}
	if _, ok := labelsOf(a.Language); !ok {
		return bad("no labels in language %q; there are uk, pl and en", a.Language)
	}
	if _, err := a.location(); err != nil {
		return bad("time zone %q is unknown; use a name such as Europe/Kyiv", a.Zone)
	}
	for _, c := range []Colour{a.Background, a.Border, a.Accent, a.Ink, a.Muted} {
		if c != "" && c != "none" && !c.valid() {
			return bad("colour %q is neither #RRGGBB nor none", string(c))
		}
	}
	return nil
}

// valid reports whether c is "#RRGGBB".
func (c Colour) valid() bool {
	return len(c) == 7 && c[0] == '#' && strings.Trim(string(c[1:]), "0123456789ABCDEFabcdef") == ""
}

// labels are the fixed words.
type labels struct {
	title, reason, location, time string
	date                          string // layout of package time
}

func labelsOf(language string) (labels, bool) {
	switch language {
	case "uk":
		return labels{"Підписано електронно", "Підстава:", "Місце:", "Час:", "02.01.2006 15:04:05"}, true
	case "pl":
		return labels{"Podpisano elektronicznie", "Powód:", "Miejsce:", "Czas:", "02.01.2006 15:04:05"}, true
	case "en", "":
		return labels{"Electronically signed", "Reason:", "Location:", "Time:", "2006-01-02 15:04:05"}, true
	}
	return labels{}, false
}

// location is that of Zone. "Local" would be another one on each machine.
func (a *Appearance) location() (*time.Location, error) {
	if a.Zone == "Local" {
		return nil, ErrOptions
	}
	return time.LoadLocation(a.Zone)
}

// when shows a time with its offset from UTC, as a time without one could be any.
func (l labels) when(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	if _, offset := t.Zone(); offset == 0 {
		return t.Format(l.date) + " UTC"
	}
	return t.Format(l.date + " -07:00")
}
