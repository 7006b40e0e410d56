// Package interop has programs that we did not write judge what the formats make: every format at every level, with every
// algorithm, over every shape of input. It holds tests alone, built with the tag interop and run by make interop, which
// installs the judges. What each judge must say of what stands in verdicts.txt, literally; docs/interop.md is written from
// that and from what was judged.
package interop
