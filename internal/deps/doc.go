// Package deps holds no code. Its tests read the module's own source and assert
// what a compiler does not: who may import whom, with the reason beside each ban,
// and the bars of style that a program can check (sizes of files and functions, who
// may start a goroutine, sleeping tests, mutable globals, missing comments).
//
// Nested modules, testdata and generated files are left out. A file or function
// that is too long for a good reason says so on a line of its own that begins
// with "// long:".
package deps
