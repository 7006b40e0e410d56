package signer

import (
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Errors of a document that cannot be signed, as the formats return them. Their texts say what to do.
var (
	ErrNotPDF         = pdf.ErrNotPDF
	ErrDamagedPDF     = pdf.ErrDamaged
	ErrEncryptedPDF   = pdf.ErrEncrypted
	ErrHybridPDF      = pdf.ErrHybrid
	ErrComplexPDF     = pdf.ErrTooLarge
	ErrUnsupportedPDF = pdf.ErrUnsupported
	ErrXFA            = pdf.ErrXFA
	ErrCertifiedPDF   = sigfield.ErrCertified
	ErrFieldsLocked   = sigfield.ErrLocked
)
