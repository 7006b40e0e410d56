package sms

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Sizes of one text in the phone network (3GPP TS 23.038, 23.040): alone, and as one of several parts, where a header
// takes room. Septets of the default alphabet, UTF-16 units of UCS-2.
const (
	septetsAlone, septetsPart = 160, 153
	unitsAlone, unitsPart     = 70, 67
)

// The GSM default alphabet and its extension table; a character of the latter takes two septets (TS 23.038, 6.2.1).
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿" +
		"abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

// septets is how many septets a character takes, 0 for one that the default alphabet lacks.
func septets(r rune) int {
	switch {
	case strings.ContainsRune(gsmBasic, r):
		return 1
	case strings.ContainsRune(gsmExtended, r):
		return 2
	}
	return 0
}

// Parts splits a text as the phone network does: in the GSM default alphabet where all characters are of it, else in
// UCS-2. No part ends inside a character: neither an escaped one nor one that UTF-16 writes as a pair of surrogates.
func Parts(text string) []string {
	size, alone, part := septets, septetsAlone, septetsPart
	if strings.ContainsFunc(text, func(r rune) bool { return septets(r) == 0 }) {
		size, alone, part = utf16.RuneLen, unitsAlone, unitsPart
	}
	total := 0
	for _, r := range text {
		total += max(1, size(r))
	}
	if total <= alone {
		return []string{text}
	}
	var parts []string
	begin, used := 0, 0
	for i, r := range text {
		n := max(1, size(r)) // of what is no character at all: as its replacement
		if used+n > part {
			parts = append(parts, text[begin:i])
			begin, used = i, 0
		}
		used += n
	}
	return append(parts, text[begin:])
}

// Shorten cuts s to n characters, the last of them "…" when something was cut. It never separates a letter from its
// marks, a sign from its modifier, nor the two halves of a flag.
func Shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	end := max(0, n-1)
	for end > 0 && joined(r, end) {
		end--
	}
	return strings.TrimRight(string(r[:end]), " ") + "…"
}

// joined tells whether the characters before and at i are seen as one.
func joined(r []rune, i int) bool {
	if attaches(r[i]) || r[i-1] == '\u200d' {
		return true
	}
	flags := 0
	for k := i - 1; k >= 0 && isFlag(r[k]); k-- {
		flags++
	}
	return isFlag(r[i]) && flags%2 == 1
}

func isFlag(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }
