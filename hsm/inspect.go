package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// Object is a permanent key on the token, as the token itself describes it.
type Object struct {
	Label    string
	Problems []string // what a holder of the PIN could do with it, or could have done; none for a key that is as it should be
}

// Inspect looks at every permanent secret and private key on the token: its attributes, and whether its value can be read.
// Of each KEK it tries what its unwrap template must forbid. Nothing stays on the token.
// Errors: ErrUnavailable.
func (d *Device) Inspect(ctx context.Context) ([]Object, error) {
	return do(ctx, d, func(c *call) ([]Object, error) {
		var all []Object
		for _, class := range []uint{pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY} {
			found, err := c.find(pkcs11.CKA_CLASS, class, pkcs11.CKA_TOKEN, true)
			if err != nil {
				return nil, err
			}
			for _, h := range found {
				o, err := c.inspect(h)
				if err != nil {
					return nil, err
				}
				all = append(all, o)
			}
		}
		return all, nil
	})
}

func (c *call) inspect(h pkcs11.ObjectHandle) (Object, error) {
	label, err := c.values(h, pkcs11.CKA_LABEL)
	if err != nil {
		return Object{}, err
	}
	o := Object{Label: string(label[0])}
	for _, want := range []struct {
		attribute uint
		value     string
		text      string
	}{
		{pkcs11.CKA_SENSITIVE, "\x01", "it is not sensitive"},
		{pkcs11.CKA_ALWAYS_SENSITIVE, "\x01", "it was not always sensitive"},
		{pkcs11.CKA_EXTRACTABLE, "\x00", "it can be extracted"},
		{pkcs11.CKA_NEVER_EXTRACTABLE, "\x01", "it could be extracted once"},
		{pkcs11.CKA_LOCAL, "\x01", "it was not generated in the device"},
	} {
		got, err := c.values(h, want.attribute)
		if err != nil {
			return Object{}, err
		}
		if string(got[0]) != want.value {
			o.Problems = append(o.Problems, want.text)
		}
	}
	for _, secret := range []uint{pkcs11.CKA_VALUE, pkcs11.CKA_PRIVATE_EXPONENT} {
		got, err := c.k.GetAttributeValue(c.s, h, []*pkcs11.Attribute{pkcs11.NewAttribute(secret, nil)})
		if err == nil && len(got) == 1 && len(got[0].Value) > 0 {
			o.Problems = append(o.Problems, "its value can be read")
		}
	}
	if _, ok := parseKEK(o.Label); !ok {
		return o, nil
	}
	if _, err := c.admit(h); errors.Is(err, ErrUnsupported) {
		o.Problems = append(o.Problems, fmt.Sprintf("it wraps keys that could be read: %v", err))
	} else if err != nil {
		return Object{}, err
	}
	return o, nil
}
