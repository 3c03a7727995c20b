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
// the peer's FIN and all data before it. ErrReset comes after the peer's RST;
// what arrived before it and was not read is discarded, as with TCP, unless
// FIN had come first: then all of it can be read, and only writes fail. Any
// other error is the death of the session, which is never io.EOF, even where
// the connection below ended in good order; what arrived before it can be
// read first. Own use after Close or Abort is net.ErrClosed.
//
// # Goroutines
//
// A session has two, a reader and a writer, which Close waits for. The reader
// never waits for the consumer of a stream. The writer gathers the frames of
// all streams into writes of at most 64 KiB, at most 16 KiB of a stream at
// its turn; streams with something to send take turns.
//
// # Memory
//
// Data of a stream is held in the receiver until it is read, at most
// Config.Window bytes, in chunks that grow as bytes arrive; in the sender at
// most 64 KiB (16 KiB when the session has 256 KiB waiting) until it is
// written. Nothing is allocated by a length that a peer claims. Answers that
// wait for the peer to read are bounded: 32 pongs, and resets of 1,024 rows of
// ids; beyond that the session ends. Buffers are kept for the next use until
// the next keepalive tick: 384 KiB at most. An idle session with a stream
// measures 6 KiB of heap and 11 KiB of stacks (TestIdleMemory, amd64).
//
// # Locks
//
// One mutex guards a session and its streams. It is held to move bytes and
// never over I/O or a wait: whoever waits does so on a sync.Cond or a channel,
// so that sessions work in a testing/synctest bubble.
package mux
