package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/hsm"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// Names of keys, as options and the report have them.
const (
	ECDSAP256 = "ecdsa-p256"
	ECDSAP384 = "ecdsa-p384"
	RSA3072   = "rsa-3072"
)

// scheme is how a key signs, by the names of all who are asked to.
type scheme struct {
	name   string // in options and the report
	key    string
	device string // name of the signature at the device
	wire   pb.SignatureAlgorithm
	hash   crypto.Hash // of what is signed
}

// every lists the schemes that can be measured.
func every() []scheme {
	return []scheme{
		{"ecdsa-p256", ECDSAP256, hsm.ECDSAP256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256, crypto.SHA256},
		{"ecdsa-p384", ECDSAP384, hsm.ECDSAP384, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA384, crypto.SHA384},
		{"rsa-3072-pss", RSA3072, hsm.PSSSHA256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256, crypto.SHA256},
		{"rsa-3072-pkcs1", RSA3072, hsm.PKCS1SHA256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256, crypto.SHA256},
		{"rsa-3072-pss-sha384", RSA3072, hsm.PSSSHA384, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA384, crypto.SHA384},
		{"rsa-3072-pss-sha512", RSA3072, hsm.PSSSHA512, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA512, crypto.SHA512},
		{"rsa-3072-pkcs1-sha384", RSA3072, hsm.PKCS1SHA384, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA384, crypto.SHA384},
		{"rsa-3072-pkcs1-sha512", RSA3072, hsm.PKCS1SHA512, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA512, crypto.SHA512},
	}
}

// schemes returns those that a name means: one of that name; of RSA3072 both paddings with SHA-256. nil for an unknown name.
func schemes(name string) (found []scheme) {
	for _, s := range every() {
		if s.name == name || name == RSA3072 && s.key == name && s.hash == crypto.SHA256 {
			found = append(found, s)
		}
	}
	return found
}

// valid tells whether the scheme made a signature over a digest.
func (s scheme) valid(public crypto.PublicKey, digest, signature []byte) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return s.key != RSA3072 && ecdsa.VerifyASN1(k, digest, signature)
	case *rsa.PublicKey:
		if strings.HasPrefix(s.name, "rsa-3072-pss") {
			return rsa.VerifyPSS(k, s.hash, digest, signature, &rsa.PSSOptions{SaltLength: s.hash.Size()}) == nil
		}
		return s.key == RSA3072 && rsa.VerifyPKCS1v15(k, s.hash, digest, signature) == nil
	}
	return false
}

// wireKey is the key as a person chooses it.
func wireKey(key string) pb.KeyAlgorithm {
	switch key {
	case RSA3072:
		return pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256
	case ECDSAP384:
		return pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P384_SHA384
	}
	return pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256
}

// workload is what one group of rows does: one operation after the other, each of batch digests under one code.
type workload struct {
	scheme
	batch   int
	callers []int
}

// String names it in progress and tables.
func (w workload) String() string {
	if w.batch == 1 {
		return w.name
	}
	return fmt.Sprintf("%s × %d", w.name, w.batch)
}

// file names it in names of files.
func (w workload) file() string { return fmt.Sprintf("%s-%d", w.name, w.batch) }

// batchCallers keep every core busy with batches. Each takes as long as many single signatures: of more callers the last
// would wait longer for the HSM than the service allows.
const batchCallers = 8

// workloads lists what the options ask for. Batches have a row with few callers alone.
func (o Options) workloads() (all []workload) {
	for _, name := range o.Algorithms {
		for _, s := range schemes(name) {
			for _, batch := range o.Batches {
				callers := o.Callers
				if batch > 1 {
					callers = []int{min(slices.Min(callers), batchCallers)}
				}
				all = append(all, workload{s, batch, callers})
			}
		}
	}
	return all
}

// persons returns how many are enrolled with such a key.
func (o Options) persons(key string) int {
	if key == RSA3072 {
		return o.RSAPersons
	}
	return o.Persons
}

// keys lists the keys of what is measured, each once.
func (o Options) keys() (all []string) {
	for _, name := range o.Algorithms {
		for _, s := range schemes(name) {
			if !slices.Contains(all, s.key) {
				all = append(all, s.key)
			}
		}
	}
	return all
}

// digests makes what one operation signs, by a hash. No two operations of a run sign the same.
func digests(h crypto.Hash, title string, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		w := h.New()
		fmt.Fprintf(w, "%s/%d", title, i)
		all[i] = w.Sum(nil)
	}
	return all
}

// Known lists what can be measured, for messages: keys, and schemes of RSA alone.
func Known() string {
	names := []string{ECDSAP256, ECDSAP384, RSA3072}
	for _, s := range every() {
		if s.key == RSA3072 {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ", ")
}
