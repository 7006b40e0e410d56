package hsm

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// CK_ATTRIBUTE of PKCS #11 v2.40, section 3.2.4 (base specification).
typedef struct { unsigned long type; void *value; unsigned long len; } attribute;

typedef unsigned long (*sign_fn)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

// CK_FUNCTION_LIST of PKCS #11 v2.40: C_Sign is its 44th function.
typedef struct { unsigned char version[2]; void *before[43]; sign_fn sign; } function_list;

// find_sign returns C_Sign of a library that is already loaded.
static sign_fn find_sign(const char *path) {
	void *lib = dlopen(path, RTLD_LAZY);
	if (lib == NULL) return NULL;
	unsigned long (*get)(function_list **) = (unsigned long (*)(function_list **))dlsym(lib, "C_GetFunctionList");
	function_list *list = NULL;
	if (get == NULL || get(&list) != 0 || list == NULL) return NULL;
	return list->sign;
}

static unsigned long call_sign(sign_fn f, unsigned long session, unsigned char *data, unsigned long len,
		unsigned char *sig, unsigned long *siglen) {
	return f(session, data, len, sig, siglen);
}

static void put(attribute *a, unsigned long type, unsigned char *at, unsigned char value) {
	*at = value;
	a->type = type;
	a->value = at;
	a->len = 1;
}

// guard_template allocates {CKA_SENSITIVE true, CKA_EXTRACTABLE false}; the two values lie behind the array.
static attribute *guard_template(unsigned long sensitive, unsigned long extractable) {
	attribute *a = calloc(1, 2 * sizeof(attribute) + 2);
	if (a == NULL) return NULL;
	unsigned char *values = (unsigned char *)(a + 2);
	put(a, sensitive, values, 1);
	put(a + 1, extractable, values + 1, 0);
	return a;
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// cryptoki is the part of PKCS #11 that this package uses. The tests put a failing device behind it.
type cryptoki interface {
	Initialize(...pkcs11.InitializeOption) error
	Finalize() error
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetTokenInfo(slot uint) (pkcs11.TokenInfo, error)
	GetMechanismList(slot uint) ([]*pkcs11.Mechanism, error)
	InitToken(slot uint, pin, label string) error
	InitPIN(pkcs11.SessionHandle, string) error

	OpenSession(slot, flags uint) (pkcs11.SessionHandle, error)
	CloseSession(pkcs11.SessionHandle) error
	GetSessionInfo(pkcs11.SessionHandle) (pkcs11.SessionInfo, error)
	Login(s pkcs11.SessionHandle, userType uint, pin string) error

	FindObjectsInit(pkcs11.SessionHandle, []*pkcs11.Attribute) error
	FindObjects(s pkcs11.SessionHandle, max int) ([]pkcs11.ObjectHandle, bool, error)
	FindObjectsFinal(pkcs11.SessionHandle) error
	GetAttributeValue(pkcs11.SessionHandle, pkcs11.ObjectHandle, []*pkcs11.Attribute) ([]*pkcs11.Attribute, error)
	CreateObject(pkcs11.SessionHandle, []*pkcs11.Attribute) (pkcs11.ObjectHandle, error)
	DestroyObject(pkcs11.SessionHandle, pkcs11.ObjectHandle) error

	GenerateKey(pkcs11.SessionHandle, []*pkcs11.Mechanism, []*pkcs11.Attribute) (pkcs11.ObjectHandle, error)
	GenerateKeyPair(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, public, private []*pkcs11.Attribute) (pkcs11.ObjectHandle, pkcs11.ObjectHandle, error)
	WrapKey(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, wrapping, key pkcs11.ObjectHandle) ([]byte, error)
	UnwrapKey(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, unwrapping pkcs11.ObjectHandle, wrapped []byte, a []*pkcs11.Attribute) (pkcs11.ObjectHandle, error)
	SignInit(pkcs11.SessionHandle, []*pkcs11.Mechanism, pkcs11.ObjectHandle) error
	Sign(pkcs11.SessionHandle, []byte) ([]byte, error)
}

// library is a loaded PKCS #11 library.
type library struct {
	*pkcs11.Ctx
	sign C.sign_fn
}

// maxSignature is enough for every signature and MAC in use (RSA 4096: 512 bytes).
const maxSignature = 1024

func loadLibrary(path string) (*library, error) {
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("%w: %q cannot be loaded; install it, or correct the path in the configuration", ErrModule, path)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	sign := C.find_sign(name)
	if sign == nil {
		ctx.Destroy()
		return nil, fmt.Errorf("%w: %q is not a PKCS #11 library; correct the path in the configuration", ErrModule, path)
	}
	return &library{Ctx: ctx, sign: sign}, nil
}

// Sign calls C_Sign exactly once. The binding's own Sign calls it twice, first to learn the length: a
// second round trip to the device, and a count of C_Sign that is no longer the count of signatures.
func (l *library) Sign(s pkcs11.SessionHandle, data []byte) ([]byte, error) {
	sig := make([]byte, maxSignature)
	n := C.ulong(len(sig))
	var first *C.uchar
	if len(data) > 0 {
		first = (*C.uchar)(unsafe.Pointer(&data[0]))
	} else {
		first = (*C.uchar)(unsafe.Pointer(&sig[0])) // some modules refuse a null pointer even for no data
	}
	rv := C.call_sign(l.sign, C.ulong(s), first, C.ulong(len(data)), (*C.uchar)(unsafe.Pointer(&sig[0])), &n)
	if rv != C.ulong(pkcs11.CKR_OK) {
		return nil, pkcs11.Error(rv)
	}
	return sig[:n:n], nil
}

// guard returns CKA_UNWRAP_TEMPLATE {CKA_SENSITIVE true, CKA_EXTRACTABLE false} and its release. The
// value is an array of C structures with pointers, which the binding cannot pack: it is built in C
// memory and passed as its bytes.
func guard() (*pkcs11.Attribute, func()) {
	a := C.guard_template(C.ulong(pkcs11.CKA_SENSITIVE), C.ulong(pkcs11.CKA_EXTRACTABLE))
	if a == nil {
		panic("hsm: out of memory")
	}
	value := C.GoBytes(unsafe.Pointer(a), C.int(2*unsafe.Sizeof(*a)))
	return pkcs11.NewAttribute(pkcs11.CKA_UNWRAP_TEMPLATE, value), func() { C.free(unsafe.Pointer(a)) }
}

// attributes makes a template of pairs: attribute type, value.
func attributes(pairs ...any) []*pkcs11.Attribute {
	list := make([]*pkcs11.Attribute, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, pkcs11.NewAttribute(uint(pairs[i].(int)), pairs[i+1]))
	}
	return list
}

// mechanism makes a mechanism without a parameter.
func mechanism(m uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}
}
