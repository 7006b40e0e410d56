package engine

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

// EndingSoon is how long before its end a certificate or list is warned of.
const EndingSoon = 30 * 24 * time.Hour

// End says until when something that was made with the installation lasts.
type End struct {
	File string // below the installation's directory
	At   time.Time
}

// Ends returns when each certificate of the installation and the root's revocation list end.
func Ends(cfg config.Config) ([]End, error) {
	var ends []End
	var errs []error
	for _, file := range []string{fileTLS, fileSeal, fileTLSRoot, fileIssuing, fileRoot, fileRootCRL} {
		at, err := endOf(cfg.Path(file), file == fileRootCRL)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		ends = append(ends, End{file, at})
	}
	return ends, errors.Join(errs...)
}

func endOf(path string, list bool) (time.Time, error) {
	der, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	if list {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return time.Time{}, err
		}
		return l.NextUpdate, nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return time.Time{}, err
	}
	return c.NotAfter, nil
}

// warnOfEnds tells the operator what ends soon or has ended.
func (e *Engine) warnOfEnds(now time.Time) {
	ends, err := Ends(e.config)
	for _, end := range ends {
		if end.At.Sub(now) < EndingSoon {
			e.logger.Warn("certificate or list ends", "file", end.File, "at", end.At.UTC().Format(time.RFC3339))
		}
	}
	if err != nil {
		e.logger.Warn("certificate or list ends", "error", err)
	}
}
