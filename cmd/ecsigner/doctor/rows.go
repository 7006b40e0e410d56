package doctor

import (
	"context"

	"github.com/ecsigner/ecsigner/signer"
)

const activationLife = signer.ActivationLife

// organisational is for what no program can show.
func organisational(text string) func(context.Context, *system) finding {
	return func(context.Context, *system) finding { return finding{Organisational, text} }
}

// shown is for what only a test of the program can show.
func shown(text string) func(context.Context, *system) finding {
	return func(context.Context, *system) finding { return finding{ShownByTest, text} }
}

// notHere is for what this program does not have.
func notHere(text string) func(context.Context, *system) finding {
	return func(context.Context, *system) finding { return none("%s", text) }
}

// rows are the requirements in their order: 1 to 20 of ETSI TS 119 431-1 V1.3.1, which refers to EN 419 241-1 and -2, and of
// the CSC API; letters are the operation of an installation.
func rows() []row {
	return []row{
		{"1", "signatories' and service keys are generated in the module and can never be read", "TS 119 431-1 GEN-6.2.1-01 to -04 (SRG_KM.1.1 to 1.3), GEN-A.4-01", "stop the service; find out who made the named key, and make the installation's keys anew", keys},
		{"2", "a key leaves the module only wrapped, with integrity, by a key that cannot be extracted", "GEN-6.2.1-04 (SRG_KM.1.3)", "stop the service; find out who made the named key; use a module that enforces unwrap templates", wrapping},
		{"3", "only algorithms of the allow-list are used", "GEN-6.2.1-03, SIG-6.3.1-10; TS 119 312", "use a released version of this program", algorithms},
		{"4", "initialising the module, and backing its keys up, takes two privileged persons", "GEN-6.2.1-05 (SRG_KM.1.4), GEN-6.3.3-03 (SRG_KM.2.3)", "", organisational("the module's own administration must ask for two persons; this program initialises SoftHSM only, for tests, and copies no key of the module")},
		{"5", "backups of keys are as protected as the originals, and their number is bounded", "GEN-6.3.3-02, -04; eIDAS Annex II(4)", "close the directory to others (chmod 700) and remove what is too many or damaged", backups},
		{"6", "key, signatory, certificate and means of authorisation are linked, and the link is protected", "LNK-6.2.2-03A, -10A, LNK-6.2.3-01 to -03", "stop the service, keep a copy of the data, find out who could write to the database; restore", links},
		{"7", "the name behind the means of authorisation is the certificate's", "LNK-6.2.2-05", "revoke the named credential and enrol the person anew; find out who could write to the database", names},
		{"8", "the certificate is over the signatory's own key", "GEN-6.2.1-08, REG-6.3.1-01", "revoke the named credential and enrol the person anew; find out who could write to the database", possession},
		{"9", "SCAL2 means two factors of different kinds", "LNK-6.2.2-02D, -02E; CSC API 8.2", "revoke the named credential: it claims what it is not", assurance},
		{"10", "secrets for the activation are delivered apart from the means", "EID-6.2.4-02", "", notHere("no secret is delivered: the only means is the phone that proofing confirmed")},
		{"11", "where authentication is delegated, the delegate's assertion is verified", "LNK-6.2.2-08A", "", notHere("authentication for a signature is not delegated to anybody")},
		{"12", "the activation binds signatory, key and exactly the data to be signed", "SIG-A.6-03 (SRA_SAP.2.3)", "stop the service; use a released version of this program", bound},
		{"13", "the activation is checked before the key is, by the component that activates it", "SIG-6.3.1-05 (SRA_SKM.2.1), SIG-A.6-05 (SRA_SAP.2.5)", "stop the service; use a released version of this program", checkedFirst},
		{"14", "an activation allows only its operation and at most its n signatures", "SIG-A.6-04 (SRA_SAP.2.4); CSC API 9", "stop the service; have the log verified: ecsigner audit verify names the entry", onlyThese},
		{"15", "neither activation nor code can be replayed", "SIG-6.3.1-02, -06 (SRC_SA.1.3, SRA_SAP.1.2); FPT_RPL.1", "stop the service; have the log verified: ecsigner audit verify names the entry", onceOnly},
		{"16", "no activation secret, PIN or code lies in the clear", "SIG-A.6-08 (SRA_SAP.2.8)", "remove the file, change what stood in it, and find out who wrote it", secrets},
		{"17", "an activation is short-lived, by the server's time", "CSC API 11.6; SIG-6.3.1-14, SIG-A.5-09", "set codes.life to 10 minutes at most; use a released version of this program", shortLived},
		{"18", "guessing is bounded, and the bound survives", "SIG-A.5-04 (SRA_SAP.1.4); FIA_AFL.1", "find out who could write to the database; unlock credentials with ecsigner credential unlock alone", guessing},
		{"19", "codes have enough entropy, live once, and fit one operation", "SIG-A.5-03 (SRA_SAP.1.3)", "find out who could write to the database; use a released version of this program", codes},
		{"20", "the message to the phone names what is signed", "SIG-6.3.1-09, SIG-6.3.1-15", "", shown("TestMessageNamesWhatIsSigned; what it names is under the seal that row 12 changed")},

		{"A", "the database is whole and not older than its head file", "OVR-6.4.5-06 (SRG_AA.7)", "put the newest database back, or restore from a backup and the published log", whole},
		{"B", "signed heads follow the log", "OVR-6.4.5-06 (SRG_AA.7)", "read the service's log: mostly the HSM does not sign", fresh},
		{"C", "the published log holds and is in step", "OVR-6.4.5-04, -06 (SRG_AA.2, SRG_AA.7)", "read the finding: a directory that cannot be written, or a log that was changed", inStep},
		{"D", "the clock is right", "OVR-6.4.5-07 (SRG_AA.8, SRG_SO.2)", "set the clock and let NTP keep it", clock},
		{"E", "there is room on the disks", "OVR-6.4.5-04 (SRG_AA.2)", "make room: below 32 MiB nothing is signed", room},
		{"F", "certificates and revocation lists last", "EN 319 411-1 CSS-6.3.9", "renew what ends in time; see docs/operations.md", ends},
		{"G", "files are closed to others", "GEN-6.3.3-02", "chmod as said; find out who could read or write it", modes},
		{"H", "the HSM is not put back to an older state", "GEN-6.3.3-03 (SRG_KM.2.3)", "raise the epoch by restoring; find out who put the token back", epoch},
	}
}
