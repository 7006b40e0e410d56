// Package model tests enrolment and signing as state machines: thousands of random histories of calls by several
// clients, with crashes, lost answers, failing devices and a clock that moves, each held step by step against a model
// of what may happen, and in the end against what must stay true.
//
// Everything is real (use cases, trust core, codes, CA, log, SQLite) but the device, which is in memory and accuses, and
// the scheduler: a call stops at each view, unit of work and device call until the history lets it go on, so that every
// interleaving and every crash between two steps can be reached, and reached again.
package model
