package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A file of an earlier version has neither products nor limits of voucher codes: it gets those of the template.
func TestFileWithoutProducts(t *testing.T) {
	text, err := Template(Values{Installation: "acme", Listen: "l", PKIListen: "p", Module: "m", Token: "t", Digits: 6, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	from, to := strings.Index(text, "# What vouchers are sold for"), strings.Index(text, "codes:\n")
	if from < 0 || to < from {
		t.Fatal("the template has no products before codes")
	}
	old, err := Parse([]byte(text[:from] + text[to:]))
	old.Vouchers.Clients = map[string]int{}
	if err != nil || !reflect.DeepEqual(old, whole) {
		t.Errorf("%v\n got %+v\nwant %+v", err, old.Products, whole.Products)
	}
	partly, err := Parse([]byte(text[:from] + "vouchers: {wrong_per_person: 3}\n" + text[to:]))
	if want := (Vouchers{WrongPerPerson: 3, WrongPerClient: 600, Window: 10 * time.Minute}); err != nil || !reflect.DeepEqual(partly.Vouchers, want) {
		t.Errorf("%+v, %v", partly.Vouchers, err)
	}
}

func TestWrongProducts(t *testing.T) {
	for change, says := range map[string]string{
		"name: qes-2y>name: qes-1y":                     `products[1] ("qes-1y"): name must be`,
		"name: qes-1y>name: ''":                         "name must be",
		"years: 3>years: 4":                             "years must be 1 to 3",
		"[ecdsa-p256, ecdsa-p384, rsa-3072]>[rsa-2048]": "algorithms must be",
		"[PNO, TIN, PAS, IDC]>[EID]":                    "identifiers must be",
		"[PNO, TIN, PAS, IDC]>[]":                       "identifiers must be",
		"organisation: required>organisation: yes":      "organisation must be",
		"wrong_per_person: 10>wrong_per_person: 0":      "vouchers.wrong_per_person",
		"window: 10m>window: 1s":                        "vouchers.window",
	} {
		text, err := Template(Values{Installation: "acme", Listen: "l", PKIListen: "p", Module: "m", Token: "t", Digits: 6, Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		old, new, _ := strings.Cut(change, ">")
		if !strings.Contains(text, old) {
			t.Fatalf("the template has no %q", old)
		}
		if _, err := Parse([]byte(strings.Replace(text, old, new, 1))); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", change, err, says)
		}
	}
}
