// Package backup makes and checks backups of an installation: a consistent copy of its database, taken while it is served,
// with head file, configuration and certificates, and a manifest that says what must be in it.
//
// A backup holds no PIN, no key of the HSM, no document and no message. It does hold signatories' keys, wrapped under a
// key that never leaves the HSM: it deserves the protection of the database, and their number is bounded (ETSI TS
// 119 431-1 GEN-6.3.3-02, -04).
package backup

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Format is the name and version of the manifest's format.
const Format = "ecsigner backup v1"

// Files of a backup.
const (
	ManifestFile = "manifest.json"
	DatabaseFile = "db/ecsigner.db"
	HeadFile     = "heads"
	ConfigFile   = "ecsigner.yaml"
	PKIDir       = "pki"
)

// ErrBackup: the directory is no backup, or not what was written. Use another one.
var ErrBackup = errors.New("backup: not a whole backup")

// Manifest says what a backup holds. It is written last; its hashes find damage, not an attacker, whom the seals and the
// log's signed head stop.
type Manifest struct {
	Format       string    `json:"format"`
	Installation string    `json:"installation"`
	Made         time.Time `json:"made"`
	Version      string    `json:"version"` // of the program
	Schema       int64     `json:"schema"`  // of the tables
	Size         int64     `json:"size"`    // entries of the operation log
	Root         string    `json:"root"`    // of the tree over them, base64
	Files        []File    `json:"files"`
	LeftOut      []string  `json:"left_out"` // for the reader
}

// File is one file of a backup.
type File struct {
	Path   string `json:"path"` // below the backup, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// leftOut is what nobody may expect in a backup.
func leftOut() []string {
	return []string{
		"PINs of the HSM", "keys of the HSM (back the HSM up by its own means)", "uploaded documents",
		"messages", "the published operation log (copy it elsewhere by itself)", "keys of clients",
	}
}

// TreeRoot returns the root of the log.
func (m Manifest) TreeRoot() (tlog.Hash, error) {
	b, err := base64.StdEncoding.DecodeString(m.Root)
	if err != nil || len(b) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("%w: the manifest holds no root", ErrBackup)
	}
	return tlog.Hash(b), nil
}

// Read reads a backup's manifest and holds every file of the backup to it: none changed, none missing, none too many.
// Errors wrap ErrBackup.
func Read(dir string) (Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	var m Manifest
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("%w: %s: %w", ErrBackup, ManifestFile, err)
	}
	if m.Format != Format {
		return Manifest{}, fmt.Errorf("%w: its format is %q, known is %q", ErrBackup, m.Format, Format)
	}
	if _, err := m.TreeRoot(); err != nil {
		return Manifest{}, err
	}
	there, err := list(dir)
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	for _, f := range there {
		if !slices.Contains(m.Files, f) {
			return Manifest{}, fmt.Errorf("%w: %s is not what the manifest names", ErrBackup, f.Path)
		}
	}
	for _, f := range m.Files {
		if !slices.Contains(there, f) {
			return Manifest{}, fmt.Errorf("%w: %s is missing or changed", ErrBackup, f.Path)
		}
	}
	for _, name := range []string{DatabaseFile, HeadFile, ConfigFile} {
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Path == name }) {
			return Manifest{}, fmt.Errorf("%w: it holds no %s", ErrBackup, name)
		}
	}
	return m, nil
}

// list hashes the files below dir, but for the manifest. Anything that is no plain file is refused.
func list(dir string) ([]File, error) {
	var files []File
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == ManifestFile {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file", name)
		}
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, f)
		files = append(files, File{Path: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))})
		return errors.Join(err, f.Close())
	})
	return files, err
}
