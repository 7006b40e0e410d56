package pades

import (
	"bytes"

	"github.com/ecsigner/ecsigner/signer/pdf"
)

// DrawInto draws the appearance of o into the field number of in, whose dictionary is its widget, without a signature.
func DrawInto(in []byte, o Options, number int) ([]byte, error) {
	doc, err := pdf.Open(bytes.NewReader(in), int64(len(in)), pdf.Limits{})
	if err != nil {
		return nil, err
	}
	widget, err := doc.Load(pdf.Ref{Number: number})
	if err != nil {
		return nil, err
	}
	u, err := doc.NewUpdate()
	if err != nil {
		return nil, err
	}
	drawn, err := o.appear(u, doc, widget)
	if err != nil {
		return nil, err
	}
	if drawn != nil {
		// With a value, as the signature would be: MuPDF draws its own appearance for an empty field.
		u.Put(widget.Ref, widget.Value.With("AP", drawn).With("V", []byte("<< /Type /Sig >>")).Raw)
	}
	tail, err := u.Finish()
	return append(bytes.Clone(in), tail...), err
}
