// Package testnet is an in-memory network for tests: a Listener, a buffered
// duplex Conn with deadlines and half-close, and wrappers that make a
// connection misbehave (Stall, Trickle, Cut).
//
// Everything in it may run inside a testing/synctest bubble: time is only read
// through package time, whoever waits does so on a channel and holds no mutex,
// and no goroutine is started. net.Pipe is not enough for such tests: it has
// no buffer and no half-close, and a second writer waits for a mutex, which
// stops a bubble's clock.
//
// Only tests import it.
package testnet
