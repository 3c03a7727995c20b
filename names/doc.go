// Package names is the registry of well-known names: who owns which name, who
// waits for it, and what changed when. Ownership follows D-Bus as PROTOCOL.md §5
// states it.
//
// The main type is Registry. Its methods Claim, Release, Update and Drop change it
// and return the Changes, in order; they send nothing. The caller hands the
// Changes to whoever watches. Every Change carries a rev, drawn from one counter
// that grows over restarts: max(last+1, microseconds since the Unix epoch).
// Snapshot draws a rev of its own, so that a snapshot holds every change below its
// rev and none above. Applying Changes in order to a snapshot gives the registry
// as it was at each rev; only Entry.Waiters moves without a Change.
//
// The package is pure: no I/O, no clock, no goroutine, no lock. The argument now
// is the only clock; a Registry is not safe for concurrent use. What it returns is
// never changed afterwards and may be read by anybody at any time.
//
// Everything is bounded: 16 names per key, 64 waiters per name, 4,096 changes in
// the log (Limits), and 3 replaces of one name by one key in 30 s. A name, key or
// session that holds nothing leaves no trace but its changes in the log.
package names
