package config

import "github.com/goccy/go-yaml"

// Text returns the configuration as YAML, without comments: every key with the value in force.
func (c Config) Text() ([]byte, error) { return yaml.Marshal(c) }

// Redacted returns c without what tells a stranger about the network and the machine: addresses, names and paths. An
// empty value stays empty, because it says that something is switched off.
func (c Config) Redacted() Config {
	for _, value := range []*string{
		&c.Data, &c.Log, &c.Listen, &c.HSM.Module, &c.HSM.Token, &c.HSM.PINFile, &c.HSM.SoftHSMConf, &c.PKI.Listen,
		&c.Metrics.Listen, &c.Messages.Dir, &c.Backup.Dir,
	} {
		if *value != "" {
			*value = redacted
		}
	}
	c.Hosts = []string{redacted}
	c.Proofing = c.Proofing.redacted()
	c.Messages = c.Messages.redacted()
	c.Timestamp, c.Revocation, c.Appearance = c.Timestamp.redacted(), c.Revocation.redacted(), c.Appearance.redacted()
	return c
}

const redacted = "redacted"
