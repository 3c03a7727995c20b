// Package mux carries many streams over one connection, on the wire of yamux
// (version 0 of hashicorp/yamux's spec.md; PROTOCOL.md §3).
//
// Client and Server wrap a net.Conn in a Session. Either side Opens streams
// and Accepts the other's; a Stream is a net.Conn with a half-close
// (CloseWrite: FIN) and an abort (Abort: RST).
//
// # Ends
//
// The reader of a stream can tell three things apart. io.EOF comes only after
// the peer's FIN and all data before it. ErrReset, with the peer's reason, comes
// after the peer's RST; what arrived before it and was not read is discarded,
// as with TCP, unless FIN had come first: then all of it can be read, and only
// writes fail. Any other error is the death of the session, which is never
// io.EOF, even where the connection below ended in good order; what arrived
// before it can be read first. Own use after Close or Abort is net.ErrClosed.
//
// # Goroutines
//
// A session has one: its reader, which with Config.Handle is whoever calls Run.
// It never waits for the consumer of a stream. With Config.Lead a Read that
// waits, of a stream that is asked and answered in turn, reads the connection
// in its place: the answer then needs no hand-over to another goroutine.
// Between two such Reads nobody reads, for 1 ms at most, or 8 ms after a long
// streak of them; then, or when another stream is used, the reader goes on.
// Streams whose Reads come back late, or of which several are busy, are left to
// the reader. Who makes something due writes it in passing, for all streams, as
// far as the connection takes it without a wait; a goroutine that waits for the
// connection lives only while there is need. Streams with more to send than
// goes at once take turns of 16 KiB. Close and Abort wait for the goroutines.
//
// # Relay
//
// Splice joins two streams for good: the readers of their sessions pass on what
// arrives, and nothing is copied into a stream but what the other connection
// does not take at once.
//
// # Memory
//
// Data of a stream is held in the receiver until it is read, at most its
// window, in chunks that grow as bytes arrive; a Read that waits is filled
// without them. The sender holds at most 64 KiB of a stream (16 KiB when the
// session has 256 KiB waiting) beside the write of at most 129 KiB that is
// under way. Nothing is allocated by a length that a peer claims. What
// received data holds is charged to a Budget, which sessions may share, and to
// those that this is a part of.
// Answers that wait for the peer to read are bounded: 32 pongs, and resets of
// 1,024 rows of ids; over these, and over the Rates, the session ends. An idle
// session has no buffer (TestIdleMemory).
//
// # Locks
//
// One mutex guards a session and its streams. It is held to move bytes and
// never over I/O or a wait, and never together with another session's. Whoever
// waits does so on a sync.Cond or a channel, so that sessions work in a
// testing/synctest bubble. A critical section in which something may have
// become due ends with unlock, which does it.
package mux
