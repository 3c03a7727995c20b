// Package policy says who may do what: which keys are admitted, and which names a
// peer may see, talk to and own (PROTOCOL.md, "Rights").
//
// The main type is Policy, an immutable snapshot that New compiles from a Config.
// There are two ways in. Authenticate turns a proven key into a Grant or refuses
// it; Authorize decides about a Grant, a Verb and an Object, and says which Rule
// decided. Everything is denied that no rule allows, and no rule denies what
// another allows.
//
// ParsePeers reads the text of an authorized_peers file, and Edit changes it
// without touching other lines. Bucket and Window limit and count how often
// something is done.
//
// The package is pure: no I/O but the reader that is given, no clock, no goroutine,
// no lock. A Policy and a Grant are safe for concurrent use; a Bucket, a Window and
// an Alarm are not.
//
// Everything is bounded: a line of the file to 4 KiB, a tenant's name to 32 bytes, a
// Window to 256 entries.
package policy
