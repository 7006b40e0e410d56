package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// HeadClaim is what the newest whole line of a head file says, for those who have no key to verify it: backups and
// inspections without the HSM. Whole is the file without a torn last line.
type HeadClaim struct {
	Size  int64
	Root  tlog.Hash
	Whole []byte
}

// ReadHeadClaim reads the bytes of a head file. It verifies no MAC. Errors wrap [ErrHeadFile].
func ReadHeadClaim(data []byte) (HeadClaim, error) {
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	lines := strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n")
	fields := strings.Split(lines[len(lines)-1], " ")
	if len(fields) != 3 {
		return HeadClaim{}, fmt.Errorf("%w: its last line is none", ErrHeadFile)
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || size < 0 || size > maxSize {
		return HeadClaim{}, fmt.Errorf("%w: its last line has no size", ErrHeadFile)
	}
	root, err := tlog.ParseHash(fields[1])
	if err != nil {
		return HeadClaim{}, fmt.Errorf("%w: its last line has no root", ErrHeadFile)
	}
	return HeadClaim{Size: size, Root: root, Whole: whole}, nil
}

// VerifyHeadFile reads the bytes of a head file as [OpenHeadFile] does, and changes nothing. Errors wrap [ErrHeadFile].
func VerifyHeadFile(data []byte, mac func([]byte) []byte) (HeadClaim, error) {
	claim, err := ReadHeadClaim(data)
	if err != nil {
		return HeadClaim{}, err
	}
	f := &HeadFile{mac: mac}
	for line := range bytes.Lines(claim.Whole) {
		l, err := f.parse(string(line))
		if err == nil && f.last.mac != nil && l.size <= f.last.size {
			err = errors.New("the size does not grow")
		}
		if err != nil {
			return HeadClaim{}, fmt.Errorf("%w: %w", ErrHeadFile, err)
		}
		f.last = l
	}
	return claim, nil
}
