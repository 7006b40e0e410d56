package audit

// events lists every event once, in the order of this file; [Decode] finds an entry's type here.
func events() []Event {
	return []Event{
		VoucherCreated{},
		EnrolmentCreated{},
		RenewalCreated{},
		EnrolmentChanged{},
		EnrolmentClosed{},
		PhoneConfirmed{},
		IdentityStarted{},
		IdentityReported{},
		AgreementPrepared{},
		AgreementAccepted{},
		AgreementSealed{},
		KeyGenerated{},
		CertificateIntended{},
		CertificateIssued{},
		CertificateRevoked{},
		KeyDestroyed{},
		BindingChanged{},
		AccessGranted{},
		AccessWithdrawn{},
		CodeRequested{},
		CodeResent{},
		CodeRefused{},
		CodeAccepted{},
		CodeLocked{},
		CodeUnlocked{},
		SigningRequested{},
		SigningActivated{},
		SigningResumed{},
		SigningSigned{},
		SigningWithheld{},
		SigningClosed{},
		IntegrityAlarm{},
		ServiceStarted{},
		ServiceStopped{},
		NoticeSent{},
		ClientAdded{},
		ServiceRestored{},
		IdentityNotified{},
		VoucherRefused{},
		AgreementShown{},
		ConsentsGiven{},
		ArtefactRecorded{},
		AugmentationRecorded{},
	}
}

func (VoucherCreated) kind() string { return "voucher.created" }

func (e VoucherCreated) event(c *codec) Event {
	c.id("voucher", &e.Voucher)
	c.maybe("product", &e.Product)
	c.maybe("caller", &e.Caller)
	return e
}

func (EnrolmentCreated) kind() string { return "enrolment.created" }

func (e EnrolmentCreated) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("voucher", &e.Voucher)
	c.maybe("caller", &e.Caller)
	return e
}

func (RenewalCreated) kind() string { return "renewal.created" }

func (e RenewalCreated) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("credential", &e.Credential)
	c.id("original", &e.Original)
	c.id("caller", &e.Caller)
	return e
}

func (EnrolmentChanged) kind() string { return "enrolment.changed" }

func (e EnrolmentChanged) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.number("version", &e.Version)
	c.id("state", &e.State)
	c.maybe("caller", &e.Caller)
	c.digest("record", &e.Record)
	return e
}

func (EnrolmentClosed) kind() string { return "enrolment.closed" }

func (e EnrolmentClosed) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("outcome", &e.Outcome)
	return e
}

func (PhoneConfirmed) kind() string { return "phone.confirmed" }

func (e PhoneConfirmed) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("challenge", &e.Challenge)
	c.digest("phone_commitment", &e.PhoneCommitment)
	return e
}

func (IdentityStarted) kind() string { return "identity.started" }

func (e IdentityStarted) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("provider", &e.Provider)
	return e
}

func (IdentityReported) kind() string { return "identity.reported" }

func (e IdentityReported) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("outcome", &e.Outcome)
	c.maybeDigest("evidence", &e.Evidence)
	c.maybe("caller", &e.Caller)
	return e
}

func (AgreementPrepared) kind() string { return "agreement.prepared" }

func (e AgreementPrepared) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.digest("document", &e.Document)
	c.text("version", &e.Version)
	c.id("language", &e.Language)
	return e
}

func (AgreementAccepted) kind() string { return "agreement.accepted" }

func (e AgreementAccepted) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("challenge", &e.Challenge)
	c.digest("document", &e.Document)
	c.id("means", &e.Means)
	return e
}

func (AgreementSealed) kind() string { return "agreement.sealed" }

func (e AgreementSealed) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.digest("document", &e.Document)
	c.digest("sealed", &e.Sealed)
	return e
}

func (KeyGenerated) kind() string { return "key.generated" }

func (e KeyGenerated) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("credential", &e.Credential)
	c.id("kek", &e.KEK)
	c.digest("spki", &e.SPKI)
	c.digest("wrapped", &e.Wrapped)
	return e
}

func (CertificateIntended) kind() string { return "certificate.intended" }

func (e CertificateIntended) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("serial", &e.Serial)
	c.digest("tbs", &e.TBS)
	return e
}

func (CertificateIssued) kind() string { return "certificate.issued" }

func (e CertificateIssued) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.id("credential", &e.Credential)
	c.id("serial", &e.Serial)
	c.digest("certificate", &e.Certificate)
	return e
}

func (CertificateRevoked) kind() string { return "certificate.revoked" }

func (e CertificateRevoked) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.id("serial", &e.Serial)
	c.text("reason", &e.Reason)
	c.maybe("caller", &e.Caller)
	c.later("requester", &e.Requester)
	c.later("means", &e.Means)
	c.later("challenge", &e.Challenge)
	return e
}

func (KeyDestroyed) kind() string { return "key.destroyed" }

func (e KeyDestroyed) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.digest("spki", &e.SPKI)
	c.digest("wrapped", &e.Wrapped)
	c.maybe("caller", &e.Caller)
	return e
}

func (BindingChanged) kind() string { return "binding.changed" }

func (e BindingChanged) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.number("version", &e.Version)
	c.id("status", &e.Status)
	c.digest("binding", &e.Binding)
	return e
}

func (AccessGranted) kind() string { return "access.granted" }

func (e AccessGranted) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.id("client", &e.Client)
	c.maybe("caller", &e.Caller)
	return e
}

func (AccessWithdrawn) kind() string { return "access.withdrawn" }

func (e AccessWithdrawn) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.id("client", &e.Client)
	c.maybe("caller", &e.Caller)
	return e
}

func (CodeRequested) kind() string { return "code.requested" }

func (e CodeRequested) event(c *codec) Event {
	c.id("challenge", &e.Challenge)
	c.id("purpose", &e.Purpose)
	c.id("subject", &e.Subject)
	c.maybe("caller", &e.Caller)
	c.maybe("credential", &e.Credential)
	c.later("recipient", &e.Recipient)
	return e
}

func (CodeResent) kind() string { return "code.resent" }

func (e CodeResent) event(c *codec) Event {
	c.id("challenge", &e.Challenge)
	c.id("purpose", &e.Purpose)
	c.id("subject", &e.Subject)
	c.maybe("caller", &e.Caller)
	c.maybe("credential", &e.Credential)
	c.number("sent", &e.Sent)
	c.maybe("recipient", &e.Recipient)
	return e
}

func (CodeRefused) kind() string { return "code.refused" }

func (e CodeRefused) event(c *codec) Event {
	c.id("challenge", &e.Challenge)
	c.id("purpose", &e.Purpose)
	c.id("subject", &e.Subject)
	c.maybe("caller", &e.Caller)
	c.id("result", &e.Result)
	c.number("attempt", &e.Attempt)
	c.later("account", &e.Account)
	c.laterNumber("failures", &e.Failures)
	return e
}

func (CodeAccepted) kind() string { return "code.accepted" }

func (e CodeAccepted) event(c *codec) Event {
	c.id("challenge", &e.Challenge)
	c.id("purpose", &e.Purpose)
	c.id("subject", &e.Subject)
	c.maybe("caller", &e.Caller)
	c.number("attempt", &e.Attempt)
	c.later("account", &e.Account)
	return e
}

func (CodeLocked) kind() string { return "code.locked" }

func (e CodeLocked) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.maybe("caller", &e.Caller)
	c.id("scope", &e.Scope)
	return e
}

func (CodeUnlocked) kind() string { return "code.unlocked" }

func (e CodeUnlocked) event(c *codec) Event {
	c.id("credential", &e.Credential)
	c.maybe("caller", &e.Caller)
	c.id("scope", &e.Scope)
	return e
}

func (SigningRequested) kind() string { return "signing.requested" }

func (e SigningRequested) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.id("credential", &e.Credential)
	c.id("caller", &e.Caller)
	c.number("binding_version", &e.BindingVersion)
	c.id("algorithm", &e.Algorithm)
	c.dtbsr("dtbsr", &e.DTBSR)
	c.shown("documents", &e.Documents)
	c.later("enrolment", &e.Enrolment)
	return e
}

func (SigningActivated) kind() string { return "signing.activated" }

func (e SigningActivated) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.id("credential", &e.Credential)
	c.id("caller", &e.Caller)
	c.number("binding_version", &e.BindingVersion)
	c.dtbsr("dtbsr", &e.DTBSR)
	c.id("means", &e.Means)
	c.id("challenge", &e.Challenge)
	c.digest("activation", &e.Activation)
	return e
}

func (SigningResumed) kind() string { return "signing.resumed" }

func (e SigningResumed) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.number("fence", &e.Fence)
	return e
}

func (SigningSigned) kind() string { return "signing.signed" }

func (e SigningSigned) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.id("credential", &e.Credential)
	c.number("binding_version", &e.BindingVersion)
	c.dtbsr("dtbsr", &e.DTBSR)
	c.digests("signatures", &e.Signatures)
	return e
}

func (SigningWithheld) kind() string { return "signing.withheld" }

func (e SigningWithheld) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.number("fence", &e.Fence)
	c.remark("reason", &e.Reason)
	return e
}

func (SigningClosed) kind() string { return "signing.closed" }

func (e SigningClosed) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.outcome("outcome", &e.Outcome)
	return e
}

func (IntegrityAlarm) kind() string { return "integrity.alarm" }

func (e IntegrityAlarm) event(c *codec) Event {
	c.id("record", &e.Record)
	c.suspect("subject", &e.Subject)
	c.remark("reason", &e.Reason)
	return e
}

func (ServiceStarted) kind() string { return "service.started" }

func (e ServiceStarted) event(c *codec) Event {
	c.text("version", &e.Version)
	c.number("epoch", &e.Epoch)
	c.size("size", &e.Size)
	return e
}

func (ServiceStopped) kind() string { return "service.stopped" }

func (e ServiceStopped) event(*codec) Event { return e }

func (NoticeSent) kind() string { return "notice.sent" }

func (e NoticeSent) event(c *codec) Event {
	c.id("subject", &e.Subject)
	c.id("kind", &e.Kind)
	return e
}

func (ClientAdded) kind() string { return "client.added" }

func (e ClientAdded) event(c *codec) Event {
	c.id("client", &e.Client)
	c.id("role", &e.Role)
	c.maybe("caller", &e.Caller)
	return e
}

func (ServiceRestored) kind() string { return "service.restored" }

func (e ServiceRestored) event(c *codec) Event {
	c.size("backup", &e.Backup)
	c.size("size", &e.Size)
	c.number("epoch", &e.Epoch)
	c.digest("report", &e.Report)
	return e
}

func (IdentityNotified) kind() string { return "identity.notified" }

func (e IdentityNotified) event(c *codec) Event {
	c.id("provider", &e.Provider)
	c.id("session", &e.Session)
	c.id("event", &e.Event)
	c.maybe("enrolment", &e.Enrolment)
	return e
}

func (VoucherRefused) kind() string { return "voucher.refused" }

func (e VoucherRefused) event(c *codec) Event {
	c.id("caller", &e.Caller)
	c.maybe("person", &e.Person)
	c.id("reason", &e.Reason)
	return e
}

func (AgreementShown) kind() string { return "agreement.shown" }

func (e AgreementShown) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.digest("document", &e.Document)
	c.maybe("caller", &e.Caller)
	return e
}

func (ConsentsGiven) kind() string { return "consents.given" }

func (e ConsentsGiven) event(c *codec) Event {
	c.id("enrolment", &e.Enrolment)
	c.text("consents", &e.Consents)
	c.digest("evidence", &e.Evidence)
	return e
}

func (ArtefactRecorded) kind() string { return "artefact.recorded" }

func (e ArtefactRecorded) event(c *codec) Event {
	c.id("operation", &e.Operation)
	c.number("item", &e.Item)
	c.id("level", &e.Level)
	c.digest("artefact", &e.Artefact)
	return e
}

func (AugmentationRecorded) kind() string { return "augmentation.recorded" }

func (e AugmentationRecorded) event(c *codec) Event {
	c.id("augmentation", &e.Augmentation)
	c.id("caller", &e.Caller)
	c.id("level", &e.Level)
	c.digest("document", &e.Document)
	c.digest("artefact", &e.Artefact)
	return e
}
