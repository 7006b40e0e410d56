// Package call holds what the mutating calls of a use case share: the identity of a request, which fields of it are wrong,
// and that what was decided on a record is decided again when somebody else changed it.
package call
