// Package client is how a Go program takes part in a switchboard: it logs in
// with its own key, claims names, sees names come and go, and talks over
// channels (PROTOCOL.md §3 to §6, §10 and §11).
//
// Dial logs in and returns a Client. Listen claims a name and returns a
// net.Listener whose connections are channels; DialContext opens a channel to
// a name and returns a net.Conn. Both fit wherever Go expects these types:
// net/http, net/rpc and gRPC run over them as they are. Both ends know each
// other's proven public key, by (*channel.Conn).RemoteKey. Names, Lookup and
// Watch tell who is there. A program needs no name to do any of this.
//
// # Connection
//
// By default one connection carries everything, as a yamux session. With
// Config.SingleLane each channel and each Watch has a connection of its own.
//
// A Client outlives its connection: it reconnects with a growing, jittered
// pause of 50 ms to 5 s, or, if the server is gone that many clients had, within
// the time that it had given them, claims its names again and goes on watching, and tells
// Config.OnState and Config.Log. Calls made in a gap wait for the next
// connection until their context ends. A channel that the server relays ends
// with the session that carries it: its Read and Write return ErrNotConnected
// then, or why the server ended it, never io.EOF. One that has moved to a direct
// link (Config.Direct) lives on, for a minute without a connection.
// The first login is tried once: Dial returns its error.
//
// # Goroutines
//
// A Client has one goroutine that watches over its connection, one that asks the
// server now and then how many others there are, those of the
// connection's multiplexer and control session, one for what the server opens,
// and one for each listener with a name. Close ends and awaits all of them.
//
// # Errors
//
// An error answer of the server is an *Error with a Code; errors.Is(err,
// client.NotFound) asks for one.
package client
