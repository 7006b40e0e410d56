package store

import (
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// Dossier implements enrol.Dossiers.
func (t *tx) Dossier(enrolment string) (enrol.Dossier, error) {
	return get(t, "dossier", t.q.Dossier, enrolment, func(r sqlc.Dossier) (enrol.Dossier, error) {
		return enrol.Dossier{
			Enrolment: r.Enrolment, Document: r.Document, Basis: r.Basis, Shown: instant(r.Shown),
			CodeSent: instant(r.CodeSent), Evidence: r.Evidence,
		}, nil
	})
}

// PutDossier implements enrol.Dossiers.
func (t *tx) PutDossier(d enrol.Dossier) error {
	return put(t, "dossier", t.q.PutDossier, sqlc.PutDossierParams{
		Enrolment: d.Enrolment, Document: d.Document, Basis: d.Basis, Shown: micros(d.Shown),
		CodeSent: micros(d.CodeSent), Evidence: d.Evidence,
	})
}
