package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// pins says whom a sealed channel expects to find behind a name: whom
// OpenOptions.Key says, else whom the pins file says, else whom the server says.
// What the server said goes into the file once the other end has proven it, and
// is never changed there but by hand. The file is read at each use. Safe for
// concurrent use, by several processes, too.
type pins struct {
	path string // "": there is no file
	log  *slog.Logger
	turn chan struct{} // 1 slot: of those who add a line, one of each process waits for the lock
}

func newPins(path string, log *slog.Logger) *pins {
	return &pins{path: path, log: log, turn: make(chan struct{}, 1)}
}

// expected is what a sealed channel expects of the other end. Its use has steps:
//
//  1. key, unless it is zero, goes along with connect;
//  2. mismatch explains what came of that;
//  3. check looks at whom the server connected us with, who is then the one to
//     prove its key;
//  4. proven, when it has.
type expected struct {
	name string
	key  shs.PublicKey // zero: whom the server says
	line int           // of the pins file that says so; 0: no line does
	pins *pins
}

// expect says whom a sealed channel to name, a name or a session, is to reach.
// configured is OpenOptions.Key. An error is one of the file, which is not used
// then. Sessions are not in it: their ids come again.
func (p *pins) expect(ctx context.Context, name string, configured shs.PublicKey) (expected, error) {
	x := expected{name: name, key: configured, pins: p}
	if !configured.IsZero() || !p.has(name) {
		return x, nil
	}
	all, err := p.read(ctx)
	if err != nil {
		return expected{}, fmt.Errorf("%w %s: %w", ErrPins, p.path, err)
	}
	pin := all[name]
	x.key, x.line = pin.key, pin.line
	return x, nil
}

// read reads the file. What does not parse may be a line that is being added: so
// it is read again, under the lock.
func (p *pins) read(ctx context.Context) (all map[string]pin, err error) {
	for _, wait := range []bool{false, true} {
		text, rerr := readPins(ctx, p.path, wait)
		if rerr != nil {
			return nil, rerr
		}
		if all, err = parsePins(text); err == nil {
			return all, nil
		}
	}
	return nil, err
}

// has says whether there is a file that may name name.
func (p *pins) has(name string) bool { return p.path != "" && !strings.HasPrefix(name, ":") }

// check is PeerMismatch if key is not the one expected.
func (x expected) check(key shs.PublicKey) error {
	switch {
	case x.key.IsZero() || x.key == key:
		return nil
	case x.line == 0:
		return control.PeerMismatch.With(fmt.Sprintf("%s has key %v, not %v as OpenOptions.Key says", x.name, key, x.key))
	}
	return control.PeerMismatch.With(fmt.Sprintf(
		"%s has key %v, not %v as %s says: if the change is meant, correct that line", x.name, key, x.key, x.where()))
}

// mismatch adds to a PeerMismatch which line of the pins file it is about, if
// one is. Other errors stay as they are.
func (x expected) mismatch(err error) error {
	if x.line == 0 || !errors.Is(err, control.PeerMismatch) {
		return err
	}
	return fmt.Errorf("%w: %s has not the key %v that %s says", err, x.name, x.key, x.where())
}

func (x expected) where() string { return fmt.Sprintf("line %d of %s", x.line, x.pins.path) }

// proven records that the owner of a name has proven to hold key, if nobody had
// said so before, and logs it. It is PeerMismatch if key is not the expected one,
// or if the file has got a line with another key meanwhile. If the file cannot be
// written, the error says what to add to it.
func (x expected) proven(ctx context.Context, key shs.PublicKey) error {
	if err := x.check(key); err != nil || !x.key.IsZero() {
		return err
	}
	p := x.pins
	if !p.has(x.name) {
		p.log.Warn("key taken on the server's word", "name", x.name, "peer", key.String())
		return nil
	}
	added, err := x.add(ctx, key)
	switch {
	case errors.Is(err, control.PeerMismatch):
		return err
	case err != nil:
		return fmt.Errorf("%w %s: %w: to go on without it, add the line %q by hand", ErrPins, p.path, err, pinLine(x.name, key))
	case added:
		p.log.Warn("key taken on first use", "name", x.name, "peer", key.String())
	}
	return nil
}

// add adds the line, unless the file has got one meanwhile.
func (x expected) add(ctx context.Context, key shs.PublicKey) (added bool, err error) {
	select {
	case x.pins.turn <- struct{}{}:
		defer func() { <-x.pins.turn }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	return addPin(ctx, x.pins.path, x.name, key, func(text []byte) (bool, error) {
		all, err := parsePins(text)
		if err != nil {
			return false, err
		}
		pin, ok := all[x.name]
		if !ok {
			return true, nil
		}
		x.key, x.line = pin.key, pin.line // x is a copy
		return false, x.check(key)
	})
}
