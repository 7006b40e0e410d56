package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/ecsigner/ecsigner/hsm"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// Names of keys, as options and the report have them.
const (
	ECDSAP256 = "ecdsa-p256"
	RSA3072   = "rsa-3072"
)

// scheme is how a key signs, by the names of all who are asked to.
type scheme struct {
	name   string // in the report
	key    string // ECDSAP256 or RSA3072
	device string // name of the signature at the device
	wire   pb.SignatureAlgorithm
	valid  func(public crypto.PublicKey, digest, signature []byte) bool
}

// schemes returns those of a key; nil for an unknown name.
func schemes(key string) []scheme {
	byRSA := func(check func(*rsa.PublicKey, []byte, []byte) error) func(crypto.PublicKey, []byte, []byte) bool {
		return func(public crypto.PublicKey, digest, signature []byte) bool {
			k, ok := public.(*rsa.PublicKey)
			return ok && check(k, digest, signature) == nil
		}
	}
	switch key {
	case ECDSAP256:
		return []scheme{{"ecdsa-p256", key, hsm.ECDSAP256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256, func(public crypto.PublicKey, digest, signature []byte) bool {
			k, ok := public.(*ecdsa.PublicKey)
			return ok && ecdsa.VerifyASN1(k, digest, signature)
		}}}
	case RSA3072:
		return []scheme{
			{"rsa-3072-pss", key, hsm.PSSSHA256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256, byRSA(func(k *rsa.PublicKey, digest, signature []byte) error {
				return rsa.VerifyPSS(k, crypto.SHA256, digest, signature, &rsa.PSSOptions{SaltLength: sha256.Size})
			})},
			{"rsa-3072-pkcs1", key, hsm.PKCS1SHA256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256, byRSA(func(k *rsa.PublicKey, digest, signature []byte) error {
				return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature)
			})},
		}
	}
	return nil
}

// wireKey is the key as a person chooses it.
func wireKey(key string) pb.KeyAlgorithm {
	if key == RSA3072 {
		return pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256
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
	for _, key := range o.Algorithms {
		for _, s := range schemes(key) {
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

// digests makes what one operation signs. No two operations of a run sign the same.
func digests(title string, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", title, i))
		all[i] = sum[:]
	}
	return all
}

// known lists the names of keys for messages.
func known() string { return strings.Join([]string{ECDSAP256, RSA3072}, ", ") }
