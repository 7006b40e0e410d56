package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxEntry is the largest entry in bytes: the length prefix of an entry bundle has two bytes (c2sp.org/tlog-tiles).
	MaxEntry = math.MaxUint16
	// MaxDigests is the most digests of one operation that always fit an entry, even SHA-512 of items and documents with
	// every other field at its longest. A use case refuses larger operations before it does anything.
	MaxDigests = 240
	// MaxID is the longest identifier or text in bytes.
	MaxID = 200

	maxNumber = 1<<53 - 1 // RFC 7493, section 2.2
)

var (
	// ErrEvent means that an event cannot become an entry: a field is missing, too long or not of its alphabet.
	ErrEvent = errors.New("audit: not a valid event")
	// ErrEntry means that bytes are not an entry as this package writes it.
	ErrEntry = errors.New("audit: not a canonical entry")
)

// Encode returns the entry of an event that happened at the given time; see the package comment for the format. What
// is below a microsecond is cut off. Errors wrap [ErrEvent].
func Encode(at time.Time, e Event) ([]byte, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: nil", ErrEvent)
	}
	c := codec{fault: ErrEvent, buf: make([]byte, 0, 512)}
	micros := at.UnixMicro()
	if micros <= 0 || micros > maxNumber {
		c.fail("at", "must lie between 1970 and 2255")
	}
	c.buf = append(c.buf, header...)
	c.buf = append(c.buf, e.kind()...)
	c.buf = append(c.buf, `","at":`...)
	c.buf = strconv.AppendInt(c.buf, micros, 10)
	e.event(&c)
	c.buf = append(c.buf, '}')
	if c.err == nil && len(c.buf) > MaxEntry {
		c.fail("entry", "has "+strconv.Itoa(len(c.buf))+" bytes, at most "+strconv.Itoa(MaxEntry)+" fit")
	}
	if c.err != nil {
		return nil, fmt.Errorf("%w (%s)", c.err, e.kind())
	}
	return c.buf, nil
}

// Decode returns the time and the event of an entry. It accepts exactly the bytes that [Encode] makes of them. Errors
// wrap [ErrEntry].
func Decode(entry []byte) (time.Time, Event, error) {
	if len(entry) > MaxEntry {
		return time.Time{}, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrEntry, len(entry), MaxEntry)
	}
	c := codec{fault: ErrEntry, reading: true, buf: entry}
	c.expect(header)
	kind := c.upToQuote()
	c.expect(`"`)
	var zero Event
	for _, e := range events() {
		if e.kind() == kind {
			zero = e
		}
	}
	if zero == nil && c.err == nil {
		c.fail("type", "is unknown: "+strconv.Quote(kind))
	}
	var micros uint64
	c.number("at", &micros)
	if c.err != nil {
		return time.Time{}, nil, c.err
	}
	e := zero.event(&c)
	c.expect("}")
	if c.err == nil && len(c.buf) != 0 {
		c.fail("entry", "goes on after its end")
	}
	if c.err != nil {
		return time.Time{}, nil, fmt.Errorf("%w (%s)", c.err, kind)
	}
	at := time.UnixMicro(int64(micros)).UTC()
	// The reader above admits no second spelling; comparing costs little and does not depend on that.
	if again, err := Encode(at, e); err != nil || !bytes.Equal(again, entry) {
		return time.Time{}, nil, fmt.Errorf("%w: encodes differently (%s)", ErrEntry, kind)
	}
	return at, e, nil
}

// ValidID reports whether s may stand in an entry as an identifier: 1 to [MaxID] letters, digits and marks out of
// "._:/=-" of ASCII. Names of clients are checked with it when they are added.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxID {
		return false
	}
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '.', b == '_', b == ':', b == '/', b == '=', b == '-':
		default:
			return false
		}
	}
	return true
}

func validText(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}
	return len(s) <= MaxID
}

// header begins every entry of version 1.
const header = `{"v":1,"type":"`

// codec writes an event's fields, or reads them, in the order of the calls. After a fault it does nothing more.
type codec struct {
	reading bool
	buf     []byte // written so far, or left to read
	fault   error  // sentinel that faults wrap
	err     error
}

func (c *codec) fail(field, text string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s %s", c.fault, field, text)
	}
}

// id is an identifier, number or enumeration that must be present.
func (c *codec) id(name string, s *string) {
	c.text(name, s)
	if !ValidID(*s) {
		c.fail(name, "is empty, too long or not an identifier")
	}
}

// maybe is an identifier that may be empty.
func (c *codec) maybe(name string, s *string) {
	c.text(name, s)
	if *s != "" && !ValidID(*s) {
		c.fail(name, "is too long or not an identifier")
	}
}

// later is an identifier that came to an event after entries without it were written: it stands behind all other fields
// and is left out when empty, so that those entries are still what a writer makes of their event.
func (c *codec) later(name string, s *string) {
	if c.reading && !bytes.HasPrefix(c.buf, []byte(`,"`+name+`":`)) || !c.reading && *s == "" {
		return
	}
	c.id(name, s)
}

// laterNumber is a number that came to an event later; left out when 0.
func (c *codec) laterNumber(name string, n *uint64) {
	if c.reading && !bytes.HasPrefix(c.buf, []byte(`,"`+name+`":`)) || !c.reading && *n == 0 {
		return
	}
	c.number(name, n)
	if *n == 0 {
		c.fail(name, "is 0, which is left out")
	}
}

// suspect is an identifier that somebody may have tampered with: what is none enters as its SHA-256, so that the alarm
// about it can always be written.
func (c *codec) suspect(name string, s *string) {
	if !c.reading && *s != "" && !ValidID(*s) {
		*s = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(*s)))
	}
	c.maybe(name, s)
}

// remark is a text, often an error's, that must not keep the event from being written: what does not fit is replaced
// or cut off.
func (c *codec) remark(name string, s *string) {
	if !c.reading {
		*s = strings.Map(plain, *s)
		*s = (*s)[:min(len(*s), MaxID)]
	}
	c.text(name, s)
}

func plain(r rune) rune {
	switch {
	case r == '"':
		return '\''
	case r < ' ', r > '~', r == '\\':
		return '?'
	}
	return r
}

func (c *codec) outcome(name string, s *string) {
	c.text(name, s)
	switch *s {
	case OutcomeExpired, OutcomeCancelled, OutcomeAbandoned:
	default:
		c.fail(name, "is not an outcome")
	}
}

func (c *codec) text(name string, s *string) {
	c.name(name)
	if c.reading {
		c.expect(`"`)
		*s = c.upToQuote()
		c.expect(`"`)
	}
	if !validText(*s) {
		c.fail(name, "is too long or not plain ASCII")
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		c.buf = append(c.buf, *s...)
		c.buf = append(c.buf, '"')
	}
}

func (c *codec) number(name string, n *uint64) {
	c.name(name)
	if c.reading {
		digits := 0
		for digits < len(c.buf) && '0' <= c.buf[digits] && c.buf[digits] <= '9' {
			digits++
		}
		s := string(c.buf[:digits])
		c.buf = c.buf[digits:]
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil || len(s) > 1 && s[0] == '0' {
			c.fail(name, "is not a number")
		}
		*n = v
	}
	if *n > maxNumber {
		c.fail(name, "is above 2^53-1")
	}
	if !c.reading {
		c.buf = strconv.AppendUint(c.buf, *n, 10)
	}
}

func (c *codec) size(name string, n *int64) {
	u := uint64(*n)
	c.number(name, &u)
	*n = int64(u)
}

// digest is a SHA-256 or a commitment: 32 bytes.
func (c *codec) digest(name string, d *[]byte) {
	c.maybeDigest(name, d)
	if len(*d) == 0 {
		c.fail(name, "is missing")
	}
}

func (c *codec) maybeDigest(name string, d *[]byte) {
	c.name(name)
	c.hex(name, d)
	if n := len(*d); n != 0 && n != 32 {
		c.fail(name, "must have 32 bytes")
	}
}

// dtbsr is a list of at least one digest to be signed, of SHA-256, SHA-384 or SHA-512.
func (c *codec) dtbsr(name string, list *[][]byte) {
	c.list(name, list, 32, 48, 64)
	if len(*list) == 0 {
		c.fail(name, "is empty")
	}
}

// shown is a list of what a person was shown of each document: its SHA-256, or a hash as it was given.
func (c *codec) shown(name string, list *[][]byte) { c.list(name, list, 32, 48, 64) }

func (c *codec) digests(name string, list *[][]byte) { c.list(name, list, 32) }

func (c *codec) list(name string, list *[][]byte, sizes ...int) {
	c.name(name)
	c.mark("[")
	if c.reading {
		*list = nil
	}
	for i := 0; ; i++ {
		if c.err != nil || c.reading && c.at(']') || !c.reading && i == len(*list) {
			break
		}
		if i == MaxDigests {
			c.fail(name, "has more than "+strconv.Itoa(MaxDigests)+" digests")
			break
		}
		if i > 0 {
			c.mark(",")
		}
		var d []byte
		if !c.reading {
			d = (*list)[i]
		}
		c.hex(name, &d)
		if c.reading {
			*list = append(*list, d)
		}
		fits := false
		for _, size := range sizes {
			fits = fits || len(d) == size
		}
		if !fits {
			c.fail(name, "holds a digest of "+strconv.Itoa(len(d))+" bytes")
		}
	}
	c.mark("]")
}

func (c *codec) hex(name string, d *[]byte) {
	c.mark(`"`)
	if c.reading {
		s := c.upToQuote()
		b, err := hex.DecodeString(s)
		if err != nil {
			c.fail(name, "is not hex")
		}
		*d = nil
		if len(b) > 0 {
			*d = b
		}
	} else {
		c.buf = hex.AppendEncode(c.buf, *d)
	}
	c.mark(`"`)
}

func (c *codec) name(name string) {
	c.mark(`,"`)
	c.mark(name)
	c.mark(`":`)
}

// mark writes fixed text or expects it.
func (c *codec) mark(s string) {
	if c.reading {
		c.expect(s)
		return
	}
	c.buf = append(c.buf, s...)
}

func (c *codec) expect(s string) {
	if c.err != nil {
		return
	}
	if !bytes.HasPrefix(c.buf, []byte(s)) {
		c.fail("entry", "lacks "+strconv.Quote(s))
		return
	}
	c.buf = c.buf[len(s):]
}

func (c *codec) at(b byte) bool { return len(c.buf) > 0 && c.buf[0] == b }

// upToQuote reads up to the next quotation mark.
func (c *codec) upToQuote() string {
	i := bytes.IndexByte(c.buf, '"')
	if i < 0 || c.err != nil {
		return ""
	}
	s := string(c.buf[:i])
	c.buf = c.buf[i:]
	return s
}
