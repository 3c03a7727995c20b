// Package muxrpc speaks the muxrpc wire protocol over any ordered duplex byte path: async calls, sources, sinks and
// duplex streams, in both directions at once.
//
// # Packets
//
// A [Packet] is a header of nine bytes and a body (PROTOCOL.md §4):
//
//	flags u8 ‖ body length u32be ‖ request i32be ‖ body
//
//	flags  bits 0-1  type of the body: 0 bytes, 1 text, 2 JSON
//	       bit  2    END, or an error where no stream is
//	       bit  3    STREAM
//	       bits 4-7  ignored when read, 0 when written
//
// Each side counts the calls and streams it starts 1, 2, 3…; an answer carries the negated number. Nine zero bytes are
// the goodbye. [ReadPacket], [WritePacket] and [ParseRequest] are pure: no goroutine, no clock, no state.
//
// # Sessions
//
// A [Session] runs one such path. It has a goroutine that reads (with Config.Manual the caller's, in [Session.Serve]), one that
// writes while the conn cannot take what there is without waiting, and those that handlers start with [Call.Go]; [Session.Close]
// waits for all of them. Calls from the peer go to Config.Handler on the reading goroutine, in
// the order in which they came. What waits to be written is bounded by Config.MaxPending: whoever sends waits for
// room, a handler on the reading goroutine too, so the calls of a peer that does not read its answers are not read either.
//
//	session: open ──── peer half-closes or says goodbye, or Goodbye is called ───▶ draining
//	draining: new calls are refused, open calls get their answers, sources are ended;
//	          then goodbye (if either side said one), CloseWrite, Close, Err() = io.EOF
//	any state ──── broken packet, transport error, stalled write, Close ───▶ dead: conn.Abort, Err() says why
//
// # Streams
//
// Each direction of a [Stream] ends by exactly one END of its own; the stream is forgotten when both have, a source that we
// serve after ours. muxrpc has no flow control: what a stream received and nobody took is bounded by Config.MaxReceive, and a stream that
// gets more ends with the code "quota" (or the reading goroutine waits, with Config.BlockReceive).
//
// # Three classes of failure
//
// Ends the session: a body longer than Config.MaxBody, a cut inside a packet, an error of the transport, a peer that takes
// nothing for Config.WriteTimeout, our own request numbers used up. Answered with an error: whatever is a request by
// its number, but no request by its content ("bad_request"), one over the [Limit] ("busy"), one while the session drains
// ("shutting_down"), an unknown method ("Error"). Dropped and counted in [Stats]: answers and ENDs that nobody waits for,
// request number 0, a request whose number is in use, all after the peer's goodbye.
package muxrpc
