package muxrpc

import (
	"errors"
	"net"
	"testing"
)

// stub is a conn on which nothing comes and everything goes.
type stub struct{ net.Conn }

func (s stub) CloseWrite() error           { return nil }
func (s stub) Abort() error                { return s.Close() }
func (s stub) Write(b []byte) (int, error) { return len(b), nil }

// A request number is never used twice: the session ends first.
func TestRequestNumbersUsedUp(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	s := NewSession(stub{a}, Config{})
	defer s.Close()
	s.mu.Lock()
	s.last = maxRequests - 1
	s.mu.Unlock()
	st, err := s.Open(t.Context(), typeSource, "a", nil)
	if err != nil || st.id != maxRequests {
		t.Fatalf("got %v, %v, want the last number", st, err)
	}
	if err := s.Call(t.Context(), "a", nil, nil); !errors.Is(err, ErrExhausted) {
		t.Errorf("got %v, want ErrExhausted", err)
	}
	if <-s.Done(); !errors.Is(s.Err(), ErrExhausted) {
		t.Errorf("ended with %v, want ErrExhausted", s.Err())
	}
}
