package audit

// Outcomes of an operation that ended without signatures.
const (
	OutcomeExpired   = "expired"
	OutcomeCancelled = "cancelled"
	OutcomeAbandoned = "abandoned" // activated, but not finished in time
)

// Events of codes, of signing and of the engine itself.

// CodeRequested says that a one-time code was put on its way.
type CodeRequested struct {
	Challenge  string
	Purpose    string
	Subject    string // operation or enrolment
	Caller     string
	Credential string // empty: none yet
	Recipient  string // pseudonym of the number for one day; empty in older entries
}

// CodeResent says that a text with the same code was put on its way once more.
type CodeResent struct {
	Challenge  string
	Purpose    string
	Subject    string // operation or enrolment
	Caller     string
	Credential string // empty: none yet
	Sent       uint64 // texts with this code so far: 2 for the first that is sent again
	Recipient  string // pseudonym of the number for one day
}

// CodeRefused says that a try was refused.
type CodeRefused struct {
	Challenge string
	Purpose   string
	Subject   string // operation or enrolment
	Caller    string
	Result    string // wrong, expired, …
	Attempt   uint64 // 1, 2, … over a challenge; 0: refused without counting, whatever the code was
	Account   string // whom failures lock; empty in older entries
	Failures  uint64 // of the account, over all callers and in the present window; 0: not counted, or an older entry
}

// CodeAccepted says that the right code came and is spent.
type CodeAccepted struct {
	Challenge string
	Purpose   string
	Subject   string // operation or enrolment
	Caller    string
	Attempt   uint64 // continues the refused ones
	Account   string // whose failures of this caller are forgiven; empty in older entries
}

// CodeLocked says that after too many failures nobody may try any more in this scope.
type CodeLocked struct {
	Credential string
	Caller     string
	Scope      string
}

// CodeUnlocked says that an operator lifted a lock.
type CodeUnlocked struct {
	Credential string
	Caller     string
	Scope      string
}

// SigningRequested says that a document system asked for signatures over these digests.
type SigningRequested struct {
	Operation      string
	Credential     string
	Caller         string
	BindingVersion uint64
	Algorithm      string
	DTBSR          [][]byte // in order
	Documents      [][]byte // SHA-256 of each, or a hash as it was given; may be empty
	Enrolment      string   // whose agreement it is, by which the credential is renewed; empty for document systems
}

// SigningActivated says that the signatory authorised exactly these digests. From here on signatures may exist.
type SigningActivated struct {
	Operation      string
	Credential     string
	Caller         string
	BindingVersion uint64
	DTBSR          [][]byte // in order
	Means          string
	Challenge      string
	Activation     []byte // SHA-256 of its seal
}

// SigningResumed says that an activated operation was taken up again after a crash.
type SigningResumed struct {
	Operation string
	Fence     uint64
}

// SigningSigned says that the signatures exist and were checked; released only with this entry's proof. Needs a head.
type SigningSigned struct {
	Operation      string
	Credential     string
	BindingVersion uint64
	DTBSR          [][]byte // in order
	Signatures     [][]byte // SHA-256 of each, in the same order
}

// SigningWithheld says that an activated operation came to no signatures, or that those that were made were thrown away.
type SigningWithheld struct {
	Operation string
	Fence     uint64
	Reason    string // what does not fit an entry is replaced
}

// SigningClosed says that an operation ended without signatures.
type SigningClosed struct {
	Operation string
	Outcome   string // one of the Outcome constants
}

// IntegrityAlarm says that a seal or a digest did not fit its record: somebody else wrote to the database.
type IntegrityAlarm struct {
	Record  string // kind of record
	Subject string // its id, or sha256:<hex> of what stands in its place
	Reason  string // what does not fit an entry is replaced
}

// ServiceStarted says that the engine began to serve.
type ServiceStarted struct {
	Version string // of the program
	Epoch   uint64
	Size    int64 // of the log it found
}

// ServiceStopped says that the engine stopped as asked.
type ServiceStopped struct{}

// NoticeSent says that a notice was put on its way to the signatory.
type NoticeSent struct {
	Subject string
	Kind    string
}

// ClientAdded says that a client certificate's name got a role.
type ClientAdded struct {
	Client string
	Role   string
	Caller string
}

// ServiceRestored says that the database was put back from a backup and brought up to what the log tells. Everything that
// was open before it is void.
type ServiceRestored struct {
	Backup int64  // entries that the backup had
	Size   int64  // entries of the log that were recovered, those of the backup included
	Epoch  uint64 // raised
	Report []byte // SHA-256 of the report
}
