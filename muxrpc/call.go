package muxrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

// Call is a call or stream that the peer has started. An async call is answered exactly once, by Reply or Fail; a stream
// by what its Stream does, or by Fail. All methods are safe for concurrent use.
type Call struct {
	// set at construction
	s       *Session
	id      int32 // the peer's request number
	req     Request
	stream  *Stream // nil for async
	charged bool    // counts in the Limit

	// guarded by s.mu
	ctx      context.Context // made when it is asked for
	stop     context.CancelCauseFunc
	cause    error // why the context ended, or ends as soon as it is made
	answered bool  // an answer has been decided on
	over     bool  // out of the session's books
	released bool  // out of the Limit
	running  int   // functions of Go
}

// Name is the method.
func (c *Call) Name() string { return c.req.Name }

// Type is async, source, sink or duplex.
func (c *Call) Type() string { return c.req.Type }

// Args are the arguments; do not change them.
func (c *Call) Args() []json.RawMessage { return c.req.Args }

// Context ends when the peer aborts the stream, when the session ends, and when the call is over and no function of Go runs.
func (c *Call) Context() context.Context {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.stop = context.WithCancelCause(c.s.ctx)
		if c.cause != nil {
			c.stop(c.cause)
		}
	}
	return c.ctx
}

// cancel ends the context, if nothing has before.
func (c *Call) cancel(cause error) {
	c.s.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	stop := c.stop
	c.s.mu.Unlock()
	if stop != nil {
		stop(cause)
	}
}

// Stream is the stream of a source, sink or duplex, and nil for async.
func (c *Call) Stream() *Stream { return c.stream }

// Reply answers an async call: []byte goes as bytes, everything else as JSON. It waits for room to send, except when the session
// ends. If v cannot be encoded the peer gets an internal error, and Reply returns the reason.
func (c *Call) Reply(v any) error {
	if c.stream != nil {
		return errKind
	}
	flags, body, err := encodeItem(v)
	if err != nil {
		if failed := c.Fail(err); failed != nil {
			return failed
		}
		return err
	}
	return c.answer(Packet{Flags: flags, Req: -c.id, Body: body})
}

// ReplyJSON is Reply with one JSON text made of parts, which is neither checked nor copied: nobody may change the parts any more.
// It is for what was written once and is sent to many.
func (c *Call) ReplyJSON(parts ...[]byte) error {
	if c.stream != nil {
		return errKind
	}
	return c.answer(Packet{Flags: FlagJSON, Req: -c.id}, parts...)
}

// Fail answers with an error: a *[RemoteError] in err's chain as it is, any other as {"name":"internal","message":"internal
// error"}. On a stream it is Stream().Abort(err).
func (c *Call) Fail(err error) error {
	if c.stream != nil {
		c.stream.Abort(orInternal(err))
		return nil
	}
	return c.answer(Packet{Flags: FlagJSON | FlagEnd, Req: -c.id, Body: encodeError(err)})
}

// answer sends the one answer of an async call; more is the rest of p's body.
func (c *Call) answer(p Packet, more ...[]byte) error {
	c.s.mu.Lock()
	again := c.answered
	c.answered = true
	c.s.mu.Unlock()
	if again {
		return errAnswered
	}
	_, err := c.s.send(p, nil, more...)
	c.s.queued()
	c.forget()
	return err
}

// Go runs f in a goroutine that belongs to the session: Close waits for it. f must return soon after Context has ended. Go may be
// called from ServeCall and from a function that Go runs, not from elsewhere.
func (c *Call) Go(f func()) {
	c.s.mu.Lock()
	c.running++
	c.s.mu.Unlock()
	c.s.goGuarded(func() {
		defer c.ran()
		f()
	})
}

func (c *Call) ran() {
	c.s.mu.Lock()
	c.running--
	c.s.mu.Unlock()
	c.settle()
}

// forget takes the call out of the session's books. Its number may be used again.
func (c *Call) forget() {
	c.s.mu.Lock()
	if c.s.served[c.id] == c {
		delete(c.s.served, c.id)
	}
	c.over = true
	c.s.mu.Unlock()
	c.settle()
}

// settle gives back what the call holds, as far as it is due. The charge outlasts the session if a function of Go
// does, or a peer could have ever more of them by one session after the other.
func (c *Call) settle() {
	c.s.mu.Lock()
	idle := c.running == 0
	release := c.over && c.charged && !c.released && (idle || c.s.err == nil)
	c.released = c.released || release
	cancel := c.over && idle
	c.s.mu.Unlock()
	if release {
		c.s.cfg.Limit.release()
	}
	if cancel {
		c.cancel(context.Canceled)
	}
}

// queued notes that one of the answers the session waits for is on its way.
func (s *Session) queued() {
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
	s.advance()
}

// Call makes an async call and stores its answer in result (nil: ignored) as json.Unmarshal does. A []byte answer needs a *[]byte,
// and a *json.RawMessage takes any JSON as it came; a result with a method ReadJSON(text []byte) bool is asked first; all other JSON answers are checked as strictly as requests.
// arg nil is no argument, [Args] is all of them, anything else is the only one. The error is a *[RemoteError] if the peer answered
// with one, ctx's when it ended first (a late answer is dropped), else it says how the session ended.
func (s *Session) Call(ctx context.Context, method string, arg, result any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("calling %s: %w", method, context.Cause(ctx))
	}
	body, err := encodeRequest(method, typeAsync, arg)
	if err != nil {
		return err
	}
	answer := make(chan Packet, 1)
	id, err := s.begin(func(id int32) { put(&s.calls, id, answer) })
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	defer s.forgetCall(id)
	sent, err := s.send(Packet{Flags: FlagJSON, Req: id, Body: body}, ctx.Done())
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, s.goneErr())
	}
	if !sent {
		return fmt.Errorf("calling %s: %w", method, context.Cause(ctx))
	}
	select {
	case p, ok := <-answer:
		if !ok {
			return fmt.Errorf("calling %s: %w", method, s.goneErr())
		}
		return decodeAnswer(p, result)
	case <-ctx.Done():
		return fmt.Errorf("calling %s: %w", method, context.Cause(ctx))
	}
}

// begin draws the next request number and enters it in a table by put, which runs under s.mu.
func (s *Session) begin(put func(id int32)) (int32, error) {
	s.mu.Lock()
	if s.err != nil || s.peerGone || s.leaving {
		s.mu.Unlock()
		return 0, s.goneErr()
	}
	if s.last < maxRequests {
		defer s.mu.Unlock()
		s.last++
		put(s.last)
		return s.last, nil
	}
	s.mu.Unlock()
	s.finish(ErrExhausted, s.conn.Abort) // rather than use a number twice
	return 0, ErrExhausted
}

func (s *Session) forgetCall(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
}

// quickReader is a result that reads itself if the answer has its usual form, else says false and is as it was.
type quickReader interface {
	ReadJSON(text []byte) bool
}

// validJSON is json.Valid, in a third of the time for what has the usual form.
func validJSON(text []byte) bool {
	r := quickjson.NewReader(text)
	r.Skip()
	return r.OK() || json.Valid(text)
}

func decodeAnswer(p Packet, result any) error {
	if p.isEnd() {
		return decodeError(p)
	}
	if result == nil {
		return nil
	}
	switch p.bodyType() {
	case FlagJSON:
		if quick, ok := result.(quickReader); ok && quick.ReadJSON(p.Body) {
			return nil
		}
		if raw, ok := result.(*json.RawMessage); ok && validJSON(p.Body) {
			*raw = p.Body
			return nil
		}
		if err := checkJSON(p.Body, nil); err != nil {
			return fmt.Errorf("muxrpc: decoding answer: %w", err)
		}
		if err := json.Unmarshal(p.Body, result); err != nil {
			return fmt.Errorf("muxrpc: decoding answer: %w", err)
		}
		return nil
	case FlagText:
		text, err := json.Marshal(string(p.Body))
		if err == nil {
			err = json.Unmarshal(text, result)
		}
		if err != nil {
			return fmt.Errorf("muxrpc: decoding answer: %w", err)
		}
		return nil
	case FlagBytes:
		if raw, ok := result.(*[]byte); ok {
			*raw = p.Body
			return nil
		}
	}
	return fmt.Errorf("muxrpc: decoding answer: body type %d into %T", p.bodyType(), result)
}

// encodeItem is the body and the type of a value. The caller may go on using v.
func encodeItem(v any) (flags byte, body []byte, err error) {
	switch v := v.(type) {
	case []byte:
		if len(v) == 0 {
			return 0, nil, errEmptyBody
		}
		return FlagBytes, bytes.Clone(v), nil
	case json.RawMessage:
		if !json.Valid(v) {
			return 0, nil, errJSONSyntax
		}
		return FlagJSON, bytes.Clone(v), nil
	}
	body, err = json.Marshal(v)
	return FlagJSON, body, err
}
