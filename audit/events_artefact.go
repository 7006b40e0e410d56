package audit

// Events of what is made of signatures afterwards, without a key of a signatory.

// ArtefactRecorded says that a signature of an operation stands at a higher level: a file of its own beside the one that was
// signed, which stays. Needs a head.
type ArtefactRecorded struct {
	Operation string
	Item      uint64 // 0 for the first
	Level     string // B-T, B-LT or B-LTA
	Artefact  []byte // SHA-256 of the CMS, or of what stands behind the original PDF
}

// AugmentationRecorded says that a document which a client sent was augmented: a signature made elsewhere, or no signature
// but a time-stamp. Needs a head.
type AugmentationRecorded struct {
	Augmentation string
	Caller       string
	Level        string // B-T, B-LT or B-LTA; time-stamp: a document time-stamp alone
	Document     []byte // SHA-256 of what was sent
	Artefact     []byte // SHA-256 of the CMS, or of what is to be appended to the PDF
}
