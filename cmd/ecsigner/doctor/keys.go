package doctor

import (
	"context"
	"crypto/hmac"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/sam"
)

// keysOf looks at the permanent keys on the token, or at those alone under which others are wrapped.
func keysOf(ctx context.Context, s *system, keks bool) finding {
	objects, err := s.device.Inspect(ctx)
	if err != nil {
		return fail("the token could not be examined: %v", err)
	}
	seen := 0
	for _, o := range objects {
		if keks && !strings.HasPrefix(o.Label, "kek-") {
			continue
		}
		seen++
		if len(o.Problems) > 0 {
			return fail("key %q on the token: %s", o.Label, strings.Join(o.Problems, "; "))
		}
	}
	if seen == 0 {
		return fail("the token holds no such key")
	}
	return pass("%d permanent keys: generated in the device, always sensitive, never extractable; reading each was tried and refused. Signatories' keys are made in the device as well and only leave it wrapped", seen)
}

func keys(ctx context.Context, s *system) finding { return keysOf(ctx, s, false) }

// broken is the finding where the database could not be read.
func (s *system) broken() (finding, bool) {
	return fail("the database could not be examined: %v", s.copied), s.copied != nil
}

// links is row 6: every seal is verified, and a copy with a changed bit refused.
func links(ctx context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	for _, c := range s.credentials {
		b, err := s.trust.OpenBinding(ctx, c.Sealed)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		destroyed := b.Status == credential.Revoked && len(c.WrappedKey) == 0
		fits := b.ID == c.ID && b.Version == c.Version && len(c.Chain) > 0 && hmac.Equal(sum(c.Chain[0]), b.Certificate) &&
			(destroyed || hmac.Equal(sum(c.WrappedKey), b.WrappedKey)) && hmac.Equal(sam.PhoneCommitment(c.PhoneSalt, c.Phone), b.Phone)
		if !fits {
			return fail("credential %s: certificate, key or phone beside the sealed record are not those in it", c.ID)
		}
		for _, bad := range []credential.Sealed{{Record: flipped(c.Sealed.Record), Seal: c.Sealed.Seal}, {Record: c.Sealed.Record, Seal: flipped(c.Sealed.Seal)}} {
			if _, err := s.trust.OpenBinding(ctx, bad); err == nil {
				return fail("credential %s: a copy with a changed bit is accepted", c.ID)
			}
		}
	}
	for _, id := range sorted(s.enrolments) {
		if _, err := s.trust.OpenEnrolment(ctx, s.enrolments[id].Sealed); err != nil {
			return fail("enrolment %s: %v", id, err)
		}
	}
	r, err := s.rehearse(ctx, "link", s.now.Add(time.Minute))
	if err != nil {
		return fail("an authorisation could not be rehearsed: %v", err)
	}
	r.Binding.Record = flipped(r.Binding.Record)
	if _, err := s.trust.OpenBinding(ctx, r.Binding); err == nil {
		return fail("a record made for it is accepted with a changed bit")
	}
	return pass("the seals of %d credentials and %d enrolments hold; key, certificate and phone beside them are the sealed ones; copies, and a record made for it, were refused with a changed bit", len(s.credentials), len(s.enrolments))
}

// names is row 7: who is named in the certificate is who was proven, with the phone that was proven.
func names(ctx context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	for _, c := range s.credentials {
		b, err := s.trust.OpenBinding(ctx, c.Sealed)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		e, err := s.trust.OpenEnrolment(ctx, s.enrolments[c.Enrolment].Sealed)
		if err != nil {
			return fail("credential %s: its enrolment %s: %v", c.ID, c.Enrolment, err)
		}
		leaf, err := leafOf(c)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		p := e.Identity.Person
		if attribute(leaf, "2.5.4.42") != p.GivenName || attribute(leaf, "2.5.4.4") != p.Surname ||
			!strings.HasSuffix(attribute(leaf, "2.5.4.5"), "-"+p.Identifier) {
			return fail("credential %s: the certificate names somebody else than was proven", c.ID)
		}
		if !hmac.Equal(b.Phone, e.Phone) || !hmac.Equal(e.Phone, e.Identity.Phone) {
			return fail("credential %s: codes go to another phone than was proven", c.ID)
		}
	}
	if len(s.credentials) == 0 {
		return none("there is no credential yet")
	}
	return pass("%d certificates name the person that was proven, and codes go to the phone that was", len(s.credentials))
}

// possession is row 8: the certified key is the one that the device made for this enrolment.
func possession(ctx context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	for _, c := range s.credentials {
		b, err := s.trust.OpenBinding(ctx, c.Sealed)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		leaf, err := leafOf(c)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		if spki := sum(leaf.RawSubjectPublicKeyInfo); !hmac.Equal(spki, b.SPKI) || !hmac.Equal(spki, s.story.keys[c.Enrolment]) {
			return fail("credential %s: the certificate is over another key than was made for enrolment %s", c.ID, c.Enrolment)
		}
	}
	if len(s.credentials) == 0 {
		return none("there is no credential yet")
	}
	return pass("%d certificates are over the key that the device made for that enrolment, as the log says", len(s.credentials))
}

// assurance is row 9: nothing claims SCAL2 with one factor.
func assurance(ctx context.Context, s *system) finding {
	if f, broken := s.broken(); broken {
		return f
	}
	two := 0
	for _, c := range s.credentials {
		b, err := s.trust.OpenBinding(ctx, c.Sealed)
		if err != nil {
			return fail("credential %s: %v", c.ID, err)
		}
		if b.SCAL != credential.SCAL1 && b.SCAL != credential.SCAL2 || len(b.Factors) == 0 {
			return fail("credential %s claims SCAL%d with the factors %v", c.ID, b.SCAL, b.Factors)
		}
		if b.SCAL != credential.SCAL2 {
			continue
		}
		two++
		factors := slices.Clone(b.Factors)
		slices.Sort(factors)
		if len(slices.Compact(factors)) < 2 {
			return fail("credential %s claims SCAL2 with one factor", c.ID)
		}
	}
	if two == 0 {
		return none("none of %d credentials claims SCAL2: a code alone is called SCAL1", len(s.credentials))
	}
	return pass("%d credentials claim SCAL2 and have two factors each", two)
}

func leafOf(c credential.Record) (*x509.Certificate, error) {
	if len(c.Chain) == 0 {
		return nil, fmt.Errorf("it has no certificate")
	}
	return x509.ParseCertificate(c.Chain[0])
}

// attribute returns the value of an attribute of the subject, or "".
func attribute(c *x509.Certificate, oid string) string {
	for _, n := range c.Subject.Names {
		if n.Type.String() == oid {
			return fmt.Sprint(n.Value)
		}
	}
	return ""
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
