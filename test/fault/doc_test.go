//go:build fault

// Package fault_test makes things go wrong, and checks what is left. Each test
// is named after its row of the fault catalogue, TestFnn…; it checks bytes,
// bounds and states, and times only where the row is about a time.
//
//	go test -tags fault ./test/fault               the short form
//	FAULT=full go test -tags fault ./test/fault    the catalogue's figures
//
// FAULT_RESULTS names a file to which each test appends what it measured.
// Tests that choose at random say their seed when they fail; FAULT_SEED takes it
// back.
// Tests that have to be another user, and only these, are skipped when not run
// by root.
package fault_test
