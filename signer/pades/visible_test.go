package pades_test

import (
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// onPage is a file of one page with these attributes.
func onPage(attributes string) []byte {
	return pdftest.File{Objs: []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R " + attributes + " >>"},
	}}.Classic()
}
