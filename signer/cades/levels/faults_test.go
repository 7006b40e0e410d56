package levels_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/mutations"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

type stamper func(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error)

func (f stamper) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	return f(ctx, h, imprint)
}

// TestServicesFail: whatever comes from outside, there is an error and no file, or a right file.
func TestServicesFail(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	down := errors.New("connection refused")
	misbehaving := func(f tsptest.Faults) cades.Stamper {
		tsa := cadestest.Must(tsptest.New(tsptest.Options{}))
		tsa.Misbehave(f)
		return tsa
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx     context.Context
		stamper cades.Stamper
		prover  error
		content levels.Content
		change  func(*cades.Services)
		want    error
	}{
		"authority is down": {stamper: stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return nil, down }), want: down},
		"garbage":           {stamper: stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return []byte("garbage"), nil }), want: cades.ErrTimeStamp},
		"nothing":           {stamper: stamper(func(context.Context, crypto.Hash, []byte) ([]byte, error) { return nil, nil }), want: cades.ErrTimeStamp},
		"stalls": {ctx: canceled, stamper: stamper(func(ctx context.Context, _ crypto.Hash, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), want: context.Canceled},
		"another imprint":    {stamper: misbehaving(tsptest.Faults{OtherImprint: true}), want: cades.ErrTimeStamp},
		"wrong signature":    {stamper: misbehaving(tsptest.Faults{BadSignature: true}), want: cades.ErrTimeStamp},
		"other usage":        {stamper: misbehaving(tsptest.Faults{Certificate: tsptest.OtherUsage}), want: cades.ErrTimeStamp},
		"two signers":        {stamper: misbehaving(tsptest.Faults{TwoSigners: true}), want: cades.ErrTimeStamp},
		"no revocation data": {stamper: authority(), prover: down, want: down},
		"no content":         {stamper: authority(), want: cades.ErrContent},
		"unreadable content": {stamper: authority(), content: func(crypto.Hash) ([]byte, error) { return nil, down }, want: down},
		"short digest":       {stamper: authority(), content: func(crypto.Hash) ([]byte, error) { return []byte{1}, nil }, want: cades.ErrInput},
		"other content":      {stamper: authority(), content: cadestest.Detached([]byte("other")), want: cades.ErrDigest},
		"no clock":           {stamper: authority(), change: func(s *cades.Services) { s.Now = nil }, want: cades.ErrInput},
		"no stamper":         {stamper: authority(), change: func(s *cades.Services) { s.Stamper = nil }, want: cades.ErrInput},
		"no prover":          {stamper: authority(), change: func(s *cades.Services) { s.Prover = nil }, want: cades.ErrInput},
		"SHA-1":              {stamper: authority(), change: func(s *cades.Services) { s.Hash = crypto.SHA1 }, want: cades.ErrInput},
		"signer has ended":   {stamper: authority(), change: func(s *cades.Services) { s.Now = func() time.Time { return time.Now().AddDate(3, 0, 0) } }, want: cades.ErrTimeStamp},
	} {
		s := services(tc.stamper, &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}, err: tc.prover})
		if tc.change != nil {
			tc.change(&s)
		}
		if tc.ctx == nil {
			tc.ctx = t.Context()
		}
		if tc.content == nil && name != "no content" {
			tc.content = cadestest.Detached(content)
		}
		var out bytes.Buffer
		err := levels.AugmentTo(tc.ctx, &out, cadestest.Must(cms.Parse(data)), tc.content, cades.LevelBLTA, s)
		if !errors.Is(err, tc.want) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	// A file of nothing but certificates, in the fewest octets.
	empty := cadestest.Must(hex.DecodeString("302306092a864886f70d010702a01630140201013100300b06092a864886f70d0107013100"))
	if err := levels.AugmentTo(t.Context(), io.Discard, cadestest.Must(cms.Parse(empty)), nil, cades.LevelBT, services(authority(), &prover{})); !errors.Is(err, cades.ErrUnsupported) {
		t.Errorf("no signature: %v", err)
	}
	if _, err := levels.Augment(t.Context(), data, cadestest.Detached(content), 9, services(authority(), &prover{})); !errors.Is(err, cades.ErrInput) {
		t.Errorf("level 9: %v", err)
	}
	// Not faults: a huge token, one in BER, one that names its signer by SHA-1.
	for name, f := range map[string]tsptest.Faults{"huge": {Size: 200_000}, "BER": {BER: true}, "signing-certificate": {SigningCertificateV1: true}} {
		tsa := cadestest.Must(tsptest.New(tsptest.Options{}))
		tsa.Misbehave(f)
		s := services(tsa, &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{tsa}})
		out := raise(t, data, cadestest.Detached(content), cades.LevelBLTA, s)
		if der := cadestest.Must(cms.DER(out)); !bytes.Equal(der, out) {
			t.Errorf("%s: the result is not DER", name)
		}
	}
}

// TestRefusedSignatures: what is broken or no baseline signature is not raised.
func TestRefusedSignatures(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	s := services(authority(), &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}})
	good := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	info := cadestest.Must(cms.Parse(good)).Signers[0]
	broken := bytes.Clone(good)
	broken[bytes.Index(good, info.Value)+len(info.Value)-1] ^= 1
	bt := raise(t, good, cadestest.Detached(content), cades.LevelBT, s)
	archived := raise(t, good, cadestest.Detached(content), cades.LevelBLTA, s)
	tampered := func(data []byte, oid ...int) []byte {
		token := cms.AllValues(cadestest.Must(cms.Parse(data)).Signers[0].Unsigned, oid)[0]
		bad := bytes.Clone(data)
		bad[bytes.Index(data, token)+len(token)-1] ^= 1
		return bad
	}
	add := func(data []byte, oid ...int) []byte {
		return cadestest.Must(cadestest.Must(cms.Parse(data)).Add(cms.Additions{Unsigned: map[int][][]byte{0: {cms.NewAttribute(cadestest.OID(oid...), []byte{0x30, 0})}}}))
	}
	for name, tc := range map[string]struct {
		data []byte
		to   cades.Level
		want error
	}{
		"signature value":                {broken, cades.LevelBT, cades.ErrSignature},
		"PAdES":                          {cadestest.Assemble(t, cades.PAdES, id, cades.ECDSAWithSHA256, content), cades.LevelBT, cades.ErrProfile},
		"time-stamp":                     {tampered(bt, 1, 2, 840, 113549, 1, 9, 16, 2, 14), cades.LevelBLT, cades.ErrTimeStamp},
		"archive time-stamp":             {tampered(archived, 0, 4, 0, 1733, 2, 4), cades.LevelBLTA, cades.ErrTimeStamp},
		"certificate-values":             {add(bt, 1, 2, 840, 113549, 1, 9, 16, 2, 23), cades.LevelBLT, cades.ErrProfile},
		"archive-time-stamp-v2":          {add(good, 1, 2, 840, 113549, 1, 9, 16, 2, 48), cades.LevelBT, cades.ErrUnsupported},
		"archive-time-stamp-v2 to B-LTA": {add(bt, 1, 2, 840, 113549, 1, 9, 16, 2, 48), cades.LevelBLTA, cades.ErrProfile},
		"no CMS":                         {[]byte("%PDF-1.7"), cades.LevelBT, cades.ErrMalformed},
	} {
		if out, err := levels.Augment(t.Context(), tc.data, cadestest.Detached(content), tc.to, s); !errors.Is(err, tc.want) || out != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTampered changes each part that an archive time-stamp covers; none may go unseen.
func TestTampered(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	s := services(authority(), &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}})
	data := raise(t, cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content), cadestest.Detached(content), cades.LevelBLTA, s)
	sd := cadestest.Must(cms.Parse(data))
	index := cms.AllValues(cadestest.Must(cms.Parse(cms.AllValues(sd.Signers[0].Unsigned, asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 4})[0])).Signers[0].Unsigned, asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 5})[0]
	parts := map[string][]byte{"index": index, "signature-time-stamp": cms.AllValues(sd.Signers[0].Unsigned, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14})[0]}
	for i, c := range sd.Certificates {
		parts["certificate "+strconv.Itoa(i)] = c
	}
	for i, c := range sd.RevocationInfos {
		parts["revocation data "+strconv.Itoa(i)] = c
	}
	for name, part := range parts {
		bad := bytes.Clone(data)
		bad[bytes.Index(data, part)+len(part)-1] ^= 1
		reports, err := levels.Inspect(bad, cadestest.Detached(content))
		if err == nil && reports[0].Level == cades.LevelBLTA {
			t.Errorf("%s changed, and still B-LTA", name)
		}
	}
}

// TestAddTimeStamp makes the CMS of PAdES and CAdES B-T.
func TestAddTimeStamp(t *testing.T) {
	content := []byte("content")
	for _, profile := range []cades.Profile{cades.PAdES, cades.CAdES} {
		data := cadestest.Assemble(t, profile, cadestest.P256(), cades.ECDSAWithSHA256, content)
		value := cadestest.Must(cades.Parse(data)).Value
		tsa := cadestest.Must(tsptest.New(tsptest.Options{}))
		tsa.Misbehave(tsptest.Faults{BER: profile == cades.PAdES})
		token := cadestest.Must(tsa.Stamp(t.Context(), crypto.SHA256, hashWith(crypto.SHA256, value)))
		out, err := levels.AddTimeStamp(data, token)
		if err != nil {
			t.Fatal(err)
		}
		s, err := cades.Parse(out)
		if err != nil || s.Conforms(profile) != nil || s.SignatureTimeStamp == nil || s.Verify(hashWith(crypto.SHA256, content)) != nil || !bytes.Equal(s.Value, value) {
			t.Fatalf("%v: %v", profile, err)
		}
		if der := cadestest.Must(cms.DER(out)); !bytes.Equal(der, out) {
			t.Errorf("%v: not DER", profile)
		}
		twice := cadestest.Must(levels.AddTimeStamp(out, cadestest.Must(authority().Stamp(t.Context(), crypto.SHA384, hashWith(crypto.SHA384, value)))))
		if n := len(cadestest.Must(cms.Parse(twice)).Signers[0].Unsigned); n != 2 {
			t.Errorf("%v: %d unsigned attributes after the second time-stamp", profile, n)
		}
		other := cadestest.Must(authority().Stamp(t.Context(), crypto.SHA256, hashWith(crypto.SHA256, []byte("other"))))
		for name, bad := range map[string][]byte{"of another signature": other, "garbage": []byte("garbage"), "none": nil} {
			if out, err := levels.AddTimeStamp(data, bad); !errors.Is(err, cades.ErrTimeStamp) || out != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	vectors, _ := foreignVectors(t, content)
	if _, err := levels.AddTimeStamp(vectors["two signers"], nil); !errors.Is(err, cades.ErrUnsupported) {
		t.Errorf("two signers: %v", err)
	}
}

// countersign adds a countersignature (RFC 5652 section 11.4) by another signatory: over the signature value, without
// content-type.
func countersign(t *testing.T, data []byte, by cadestest.Identity) []byte {
	t.Helper()
	sd := cadestest.Must(cms.Parse(data))
	parts := cadestest.Prepare(t, cades.CAdES, by, cades.ECDSAWithSHA384, sd.Signers[0].Value)
	var attributes []asn1.RawValue
	if _, err := asn1.UnmarshalWithParams(parts.SignedAttributes, &attributes, "set"); err != nil {
		t.Fatal(err)
	}
	attributes = slices.DeleteFunc(attributes, func(a asn1.RawValue) bool {
		return bytes.HasPrefix(a.Bytes, cadestest.OID(1, 2, 840, 113549, 1, 9, 3))
	})
	signed := parts.SignedAttributes
	parts.SignedAttributes = cadestest.Must(asn1.MarshalWithParams(attributes, "set"))
	parts = by.Sign(t, parts)
	value := parts.Signature
	parts.SignedAttributes = signed
	// A SignerInfo of the same fields, in which attributes and value are replaced.
	whole := cadestest.Must(cades.Assemble(by.Sign(t, parts)))
	si := cadestest.Must(cms.Parse(whole)).Signers[0]
	body := slices.Concat(si.RawVersion, si.SID, si.DigestAlgorithm, append([]byte{0xa0}, cadestest.Must(asn1.MarshalWithParams(attributes, "set"))[1:]...),
		si.SignatureAlgorithm, cadestest.Must(asn1.Marshal(value)))
	counter := cadestest.Must(asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: body}))
	return cadestest.Must(sd.Add(cms.Additions{
		Certificates: by.Chain,
		Unsigned:     map[int][][]byte{0: {cms.NewAttribute(cadestest.OID(1, 2, 840, 113549, 1, 9, 6), counter)}},
	}))
}

// TestCountersigned: the countersignature stays, is covered, and its signer's evidence is there, unless it cannot be had.
func TestCountersigned(t *testing.T) {
	content := []byte("content")
	data := countersign(t, cadestest.Assemble(t, cades.CAdES, cadestest.P256(), cades.ECDSAWithSHA256, content), cadestest.P384())
	p := &prover{ids: []cadestest.Identity{cadestest.P256(), cadestest.P384()}, tsas: []*tsptest.TSA{authority()}}
	out := raise(t, data, cadestest.Detached(content), cades.LevelBLTA, services(authority(), p))
	if r := cadestest.Must(levels.Inspect(out, cadestest.Detached(content)))[0]; r.Countersignatures != 1 {
		t.Errorf("%d countersignatures", r.Countersignatures)
	}
	if n := strings.Count(strings.Join(p.asked, "\n"), "Signer at"); n != 2 {
		t.Errorf("asked for %q", p.asked)
	}
	p = &prover{ids: []cadestest.Identity{cadestest.P256()}, tsas: []*tsptest.TSA{authority()}}
	raise(t, data, cadestest.Detached(content), cades.LevelBLTA, services(authority(), p))
	// Countersigned later: the archive time-stamp does not cover it, and stays right.
	hold(t, out, countersign(t, out, cadestest.P384()), cadestest.Detached(content), cades.LevelBLTA)
}

// TestLongTermMutations: 10,000 damaged files of all levels, or as many as MUTATIONS says, without a panic and within a
// second each.
func TestLongTermMutations(t *testing.T) {
	n := mutations.Count(t, 10_000)
	content := []byte("content")
	vectors, ids := foreignVectors(t, content)
	s := services(authority(), &prover{ids: ids, tsas: []*tsptest.TSA{authority()}})
	seeds := [][]byte{countersign(t, cadestest.Assemble(t, cades.CAdES, cadestest.P256(), cades.ECDSAWithSHA256, content), cadestest.P384())}
	for _, name := range []string{"detached", "BER", "PSS", "two signers"} {
		seeds = append(seeds, vectors[name], raise(t, vectors[name], cadestest.Detached(content), cades.LevelBLTA, s))
	}
	r := rand.New(rand.NewPCG(3, 4))
	good := 0
	for i := range n {
		data := mutate(r, seeds[i%len(seeds)])
		begun := cpu(t)
		reports, err := levels.Inspect(data, cadestest.Detached(content))
		for _, report := range reports {
			if report.Level == cades.LevelBLTA {
				good++
			}
		}
		if (err == nil) == (reports == nil) {
			t.Fatal("neither or both of reports and error")
		}
		if i%10 == 0 {
			if out, err := levels.Augment(t.Context(), data, cadestest.Detached(content), cades.LevelBLTA, s); err == nil {
				hold(t, data, out, cadestest.Detached(content), cades.LevelBLTA)
			}
		}
		if took := cpu(t) - begun; took > time.Second {
			t.Errorf("mutation %d took %v", i, took)
		}
	}
	t.Logf("%d signatures still B-LTA", good)
}

func mutate(r *rand.Rand, seed []byte) []byte {
	data := bytes.Clone(seed)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(data))
		switch r.IntN(4) {
		case 0:
			data[at] = byte(r.Uint32())
		case 1:
			data[at] ^= 1 << r.IntN(8)
		case 2:
			data = slices.Insert(data, at, 0x30, 0x80)
		default:
			data = slices.Delete(data, at, min(len(data), at+1+r.IntN(3)))
		}
	}
	return data
}

// FuzzInspect replaces drop bytes at a place of a B-LTA signature: what is mutated is short, and hits what is read.
func FuzzInspect(f *testing.F) {
	id, content := cadestest.P256(), []byte("content")
	attrs := cadestest.Must(cades.SignedAttributes(cades.CAdES, cades.Attributes{Certificate: id.Chain[0], ContentDigest: hashWith(crypto.SHA256, content), Algorithm: cades.ECDSAWithSHA256, SigningTime: cadestest.SigningTime}))
	sig := cadestest.Must(id.Key.Sign(nil, hashWith(crypto.SHA256, attrs), crypto.SHA256))
	data := cadestest.Must(cades.Assemble(cades.Parts{SignedAttributes: attrs, Signature: sig, Algorithm: cades.ECDSAWithSHA256, Chain: id.Chain}))
	s := services(authority(), &prover{ids: []cadestest.Identity{id}, tsas: []*tsptest.TSA{authority()}})
	data = cadestest.Must(levels.Augment(context.Background(), data, cadestest.Detached(content), cades.LevelBLTA, s))
	for _, at := range []int{0, 20, 60, len(data) / 2, len(data) - 200} {
		f.Add(uint16(at), uint8(1), []byte{0x30, 0x80})
	}
	f.Fuzz(func(t *testing.T, at uint16, drop uint8, instead []byte) {
		from := int(at) % len(data)
		damaged := slices.Concat(data[:from], instead, data[min(len(data), from+int(drop)):])
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("%v, of %x", r, damaged) // keys are others each time
			}
		}()
		reports, err := levels.Inspect(damaged, cadestest.Detached(content))
		if (reports == nil) == (err == nil) {
			t.Fatalf("neither or both of result and error, of %x", damaged)
		}
		for _, r := range reports {
			if r.Missing == nil != (r.Level == cades.LevelBLTA) || r.Invalid == nil && r.Signer == nil {
				t.Fatalf("level %v, missing %v, invalid %v, signer %v, of %x", r.Level, r.Missing, r.Invalid, r.Signer, damaged)
			}
		}
		_, _ = levels.Decode(instead)
	})
}

// cpu is the processor time that the tests have used: the machine has other work too.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
