// Package config reads the installation's one configuration file. The struct is the manual: every key is explained
// where it is declared, and the file that init writes repeats it.
package config

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// MaxCodeLife is the longest life of a one-time code that a configuration may set.
const MaxCodeLife = 10 * time.Minute

// ErrConfig: the file cannot be read, or a key is unknown, missing or wrong. The text names file, key and remedy.
var ErrConfig = errors.New("configuration is wrong")

// Config is the content of ecsigner.yaml. Relative paths are relative to the folder of the file.
type Config struct {
	// Installation is part of every seal. It never changes once records exist.
	Installation string       `yaml:"installation"`
	Test         bool         `yaml:"test"`
	Data         string       `yaml:"data"`
	Log          string       `yaml:"log"`
	Listen       string       `yaml:"listen"`
	Hosts        []string     `yaml:"hosts"`
	Reflection   bool         `yaml:"reflection"`
	HSM          HSM          `yaml:"hsm"`
	Provider     Provider     `yaml:"provider"`
	Certificates Certificates `yaml:"certificates"`
	PKI          PKI          `yaml:"pki"`
	Metrics      Metrics      `yaml:"metrics"`
	Backup       Backup       `yaml:"backup"`
	Products     []Product    `yaml:"products"`
	Vouchers     Vouchers     `yaml:"vouchers"`
	Tracing      Tracing      `yaml:"tracing"`
	Codes        Codes        `yaml:"codes"`
	Messages     Messages     `yaml:"messages"`
	Proofing     Proofing     `yaml:"proofing"`
	Timestamp    Timestamp    `yaml:"timestamp"`
	Revocation   Revocation   `yaml:"revocation"`
	Appearance   Appearance   `yaml:"appearance"`
	Limits       Limits       `yaml:"limits"`
	Renewal      Renewal      `yaml:"renewal"`

	dir string
}

// HSM says which PKCS#11 token holds the keys.
type HSM struct {
	Module      string        `yaml:"module"`
	Token       string        `yaml:"token"`
	PINFile     string        `yaml:"pin_file"`
	SoftHSMConf string        `yaml:"softhsm_conf"`
	Sessions    int           `yaml:"sessions"`
	Timeout     time.Duration `yaml:"timeout"`
}

// Provider is the trust service provider as certificates and agreements name it.
type Provider struct {
	Country        string `yaml:"country"`
	Organisation   string `yaml:"organisation"`
	OrganisationID string `yaml:"organisation_id"`
	Address        string `yaml:"address"`
	TermsURL       string `yaml:"terms_url"`
	TermsVersion   string `yaml:"terms_version"`
	TermsSHA256    string `yaml:"terms_sha256"`
}

// Certificates says what stands in the certificates.
type Certificates struct {
	RootName       string            `yaml:"root_name"`
	IssuingName    string            `yaml:"issuing_name"`
	SealName       string            `yaml:"seal_name"`
	TLSName        string            `yaml:"tls_name"`
	PolicyNatural  string            `yaml:"policy_natural"`
	PolicySeal     string            `yaml:"policy_seal"`
	PDS            map[string]string `yaml:"pds"`
	PDSVersion     string            `yaml:"pds_version"`
	PDSSHA256      map[string]string `yaml:"pds_sha256"`
	QSCD           bool              `yaml:"qscd"`
	RetentionYears int               `yaml:"retention_years"`
	CRLLifetime    time.Duration     `yaml:"crl_lifetime"`
}

// PKI publishes CA certificates and revocation lists over HTTP.
type PKI struct {
	Listen string `yaml:"listen"`
	URL    string `yaml:"url"`
}

// Metrics says where Prometheus metrics are served; empty: nowhere.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// Backup says where `ecsigner backup` writes, and how many stay.
type Backup struct {
	Dir  string `yaml:"dir"`
	Keep int    `yaml:"keep"`
}

// Tracing says which OTLP collector gets spans; an empty endpoint: none.
type Tracing struct {
	Endpoint string  `yaml:"endpoint"`
	Insecure bool    `yaml:"insecure"`
	Ratio    float64 `yaml:"ratio"`
}

// Codes sets the limits of one-time codes.
type Codes struct {
	Digits          int           `yaml:"digits"`
	HighValueDigits int           `yaml:"high_value_digits"`
	Life            time.Duration `yaml:"life"`
	Tries           int           `yaml:"tries"`
	PerRequest      int           `yaml:"per_request"`
	Resends         int           `yaml:"resends"`
	CallerLock      int           `yaml:"caller_lock"`
	AccountLock     int           `yaml:"account_lock"`
	NumberBudget    int           `yaml:"number_budget"`
	CallerBudget    int           `yaml:"caller_budget"`
}

// Limits bounds what clients may ask for.
type Limits struct {
	DocumentBytes int64         `yaml:"document_bytes"`
	DocumentLife  time.Duration `yaml:"document_life"`
	OperationLife time.Duration `yaml:"operation_life"`
	EnrolmentLife time.Duration `yaml:"enrolment_life"`
	RatePerClient float64       `yaml:"rate_per_client"`

	// What follows may be left out: 0 means the default, which the template shows.
	CallsPerClient     int           `yaml:"calls_per_client"`
	StreamsPerClient   int           `yaml:"streams_per_client"`
	UploadsPerClient   int           `yaml:"uploads_per_client"`
	BytesPerClient     int64         `yaml:"bytes_per_client"`
	CallTime           time.Duration `yaml:"call_time"`
	StreamTime         time.Duration `yaml:"stream_time"`
	MessageBytes       int           `yaml:"message_bytes"`
	UploadRate         int           `yaml:"upload_rate"`
	IdleTime           time.Duration `yaml:"idle_time"`
	KeepAliveTime      time.Duration `yaml:"keep_alive_time"`
	Connections        int           `yaml:"connections"`
	ConnectionsPerHost int           `yaml:"connections_per_host"`
}

// Renewal says when a credential can be renewed with its own signature, and when its end is announced; zeros: not at all.
type Renewal struct {
	Window   time.Duration `yaml:"window"`
	ProofAge time.Duration `yaml:"proof_age"`
	Notice   time.Duration `yaml:"notice"`
}

// Load reads and checks a configuration file. An unknown or repeated key is an error.
func Load(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w; `ecsigner init --dir DIR` makes an installation", ErrConfig, err)
	}
	c, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if c.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c, nil
}

// Parse reads and checks the text of a configuration file; relative paths stay relative to the working directory.
func Parse(text []byte) (Config, error) {
	c := Config{ // what holds for a key that is not there: files are older than some keys
		Codes:    Codes{Resends: 2, NumberBudget: 100, CallerBudget: 20_000},
		Messages: Messages{Parts: 2, Signed: true}, Proofing: defaultProofing(),
		Timestamp: defaultTimestamp(), Revocation: defaultRevocation(),
		Vouchers: Vouchers{WrongPerPerson: 10, WrongPerClient: 600, Window: 10 * time.Minute},
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%w:\n%s", ErrConfig, yaml.FormatError(err, false, true))
	}
	if c.Products == nil {
		c.Products = defaultProducts()
	}
	if c.Codes.HighValueDigits == 0 {
		c.Codes.HighValueDigits = max(8, c.Codes.Digits)
	}
	return c, errors.Join(c.validate(), c.Proofing.validate(), c.validateMessages(), c.validateLevels())
}

// isDigest accepts a SHA-256 in hexadecimal, or nothing.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && (len(b) == 32 || len(b) == 0) && s == strings.ToLower(s)
}

func (c Config) validate() error {
	for _, rule := range []struct {
		holds     bool
		key, want string
	}{
		{len(c.Products) > 0, "products", "a list of at least one product"},
		{c.Vouchers.WrongPerPerson > 0 && c.Vouchers.WrongPerClient > 0, "vouchers.wrong_per_person", "above 0, like vouchers.wrong_per_client"},
		{c.Vouchers.Window >= time.Minute && c.Vouchers.Window <= 24*time.Hour, "vouchers.window", "1m to 24h"},
		{c.Installation != "" && !strings.ContainsAny(c.Installation, " \n/"), "installation", "a name without spaces or slashes"},
		{c.Data != "", "data", "a directory"},
		{c.Listen != "", "listen", "an address such as 127.0.0.1:7443"},
		{len(c.Hosts) > 0, "hosts", "at least one name or address of this server"},
		{c.HSM.Module != "", "hsm.module", "the path of a PKCS#11 library"},
		{c.HSM.Token != "", "hsm.token", "the label of a token"},
		{c.HSM.Sessions > 0 && c.HSM.Sessions <= 1024, "hsm.sessions", "1 to 1024"},
		{c.HSM.Timeout >= time.Second && c.HSM.Timeout <= time.Minute, "hsm.timeout", "1s to 1m"},
		{c.Provider.TermsURL != "" && c.Provider.TermsVersion != "", "provider.terms_url", "an address, with provider.terms_version"},
		{isDigest(c.Provider.TermsSHA256), "provider.terms_sha256", "64 lower-case hexadecimal digits, or empty"},
		{!slices.ContainsFunc(slices.Collect(maps.Values(c.Certificates.PDSSHA256)), func(s string) bool { return !isDigest(s) }), "certificates.pds_sha256", "64 lower-case hexadecimal digits for each language"},
		{c.Certificates.RetentionYears >= 7, "certificates.retention_years", "7 or more"},
		{c.PKI.Listen != "", "pki.listen", "an address such as 127.0.0.1:7080"},
		{c.Backup.Keep >= 0 && c.Backup.Keep <= 1000, "backup.keep", "1 to 1000; 0 for the default"},
		{c.Tracing.Ratio >= 0 && c.Tracing.Ratio <= 1, "tracing.ratio", "0 to 1"},
		{c.Codes.Digits >= 6 && c.Codes.Digits <= 9, "codes.digits", "6 to 9"},
		{c.Codes.HighValueDigits >= c.Codes.Digits && c.Codes.HighValueDigits <= 9, "codes.high_value_digits", "codes.digits to 9"},
		{c.Codes.NumberBudget >= 0 && c.Codes.CallerBudget >= 0, "codes.number_budget", "0 or more, like codes.caller_budget"},
		{c.Codes.Life >= time.Minute && c.Codes.Life <= MaxCodeLife, "codes.life", "1m to 10m"},
		{c.Codes.Tries >= 1 && c.Codes.Tries <= 5, "codes.tries", "1 to 5"},
		{c.Codes.PerRequest >= 1 && c.Codes.PerRequest <= 5, "codes.per_request", "1 to 5"},
		{c.Codes.Resends >= 0 && c.Codes.Resends <= 5, "codes.resends", "0 to 5"},
		{c.Codes.CallerLock >= 1 && c.Codes.CallerLock <= 20, "codes.caller_lock", "1 to 20"},
		{c.Codes.AccountLock >= c.Codes.CallerLock && c.Codes.AccountLock <= 100, "codes.account_lock", "codes.caller_lock to 100"},
		{c.Limits.DocumentBytes > 0, "limits.document_bytes", "a positive number"},
		{c.Limits.DocumentLife >= time.Minute, "limits.document_life", "1m or more"},
		{c.Limits.OperationLife >= c.Codes.Life && c.Limits.OperationLife <= 24*time.Hour, "limits.operation_life", "codes.life to 24h"},
		{c.Limits.EnrolmentLife >= time.Hour, "limits.enrolment_life", "1h or more"},
		{c.Renewal.Window >= 0 && c.Renewal.Window <= 366*24*time.Hour, "renewal.window", "0s to 8784h"},
		{c.Renewal.ProofAge >= 0, "renewal.proof_age", "0s or more"},
		{c.Renewal.Notice >= 0, "renewal.notice", "0s or more"},
		{c.Limits.RatePerClient > 0, "limits.rate_per_client", "calls per second, above 0"},
		{within(c.Limits.CallsPerClient, 1, 1<<16), "limits.calls_per_client", "1 to 65536"},
		{within(c.Limits.StreamsPerClient, 1, 1<<16), "limits.streams_per_client", "1 to 65536"},
		{within(c.Limits.UploadsPerClient, 1, 1<<16), "limits.uploads_per_client", "1 to 65536"},
		{c.Limits.BytesPerClient >= 0, "limits.bytes_per_client", "bytes, or 0 for the default"},
		{within(c.Limits.CallTime, time.Second, 10*time.Minute), "limits.call_time", "1s to 10m"},
		{within(c.Limits.StreamTime, time.Second, time.Hour), "limits.stream_time", "1s to 1h"},
		{within(c.Limits.MessageBytes, 1<<20, 16<<20), "limits.message_bytes", "1048576 to 16777216"},
		{within(c.Limits.UploadRate, 1, 1<<30), "limits.upload_rate", "bytes a second, above 0"},
		{within(c.Limits.IdleTime, time.Second, 10*time.Minute), "limits.idle_time", "1s to 10m"},
		{within(c.Limits.KeepAliveTime, time.Second, time.Hour), "limits.keep_alive_time", "1s to 1h"},
		{within(c.Limits.Connections, 1, 1<<20), "limits.connections", "1 to 1048576"},
		{within(c.Limits.ConnectionsPerHost, 1, 1<<20), "limits.connections_per_host", "1 to 1048576"},
	} {
		if !rule.holds {
			return fmt.Errorf("%w: %s must be %s", ErrConfig, rule.key, rule.want)
		}
	}
	return checkProducts(c.Products)
}

// defaultKeep is how many backups stay where the configuration does not say.
const defaultKeep = 7

// Kept is how many backups may lie in the directory of backups.
func (b Backup) Kept() int {
	if b.Keep == 0 {
		return defaultKeep
	}
	return b.Keep
}

// within tells whether an optional value is left out or between two others.
func within[N int | time.Duration](n, low, high N) bool { return n == 0 || n >= low && n <= high }

// Path resolves a path of the file.
func (c Config) Path(p ...string) string {
	j := filepath.Join(p...)
	if filepath.IsAbs(j) {
		return j
	}
	return filepath.Join(c.dir, j)
}

// LogDir is the directory of the published log.
func (c Config) LogDir() string {
	if c.Log == "" {
		return c.Path(c.Data, "log")
	}
	return c.Path(c.Log)
}

// PIN reads the token's PIN: from the environment variable ECSIGNER_PIN, else from the file, which nobody else may read.
func (c Config) PIN() ([]byte, error) {
	if pin := os.Getenv("ECSIGNER_PIN"); pin != "" {
		return []byte(pin), nil
	}
	return c.Secret("hsm.pin_file", c.HSM.PINFile)
}

// Secret reads a file that nobody else may read, without the end of its line. key is where the configuration names it.
func (c Config) Secret(key, file string) ([]byte, error) {
	path := c.Path(file)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s can be read by others; run chmod 600 on it", ErrConfig, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
	}
	return bytes.TrimRight(b, "\r\n"), nil
}
