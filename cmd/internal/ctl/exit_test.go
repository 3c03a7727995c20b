package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/client"
)

func TestExitCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("disk full"), exitOther},
		{client.Internal.With(""), exitOther},
		{client.Code("a_code_of_tomorrow").With(""), exitOther},
		{usagef("no such flag"), exitUsage},
		{client.BadRequest.With(""), exitUsage},
		{client.NameInvalid.With(""), exitUsage},
		{failure{exitNoServer, io.EOF}, exitNoServer},
		{client.NotFound.With(""), exitNotFound},
		{client.NotFound, exitNotFound},
		{client.NotAllowed.With(""), exitNotAllowed},
		{client.NameTaken.With(""), exitNotOwner},
		{client.NotOwner.With(""), exitNotOwner},
		{client.ErrNameLost, exitNotOwner},
		{client.Timeout.With(""), exitTimeout},
		{context.DeadlineExceeded, exitTimeout},
		{client.Unavailable.With(""), exitGone},
		{client.PeerGone.With(""), exitGone},
		{client.PeerMismatch.With(""), exitGone},
		{client.Stale.With(""), exitGone},
		{client.ShuttingDown.With(""), exitGone},
		{client.ErrNotConnected, exitGone},
		{io.ErrUnexpectedEOF, exitGone},
		{client.Refused.With(""), exitRefused},
		{client.Busy.With(""), exitRefused},
		{client.RateLimited.With(""), exitRefused},
		{client.Quota.With(""), exitRefused},
		{failure{exitAnswer, io.EOF}, exitAnswer},
		{context.Canceled, exitInterrupted},
	}
	seen := make(map[int]bool)
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if got := exitCode(errors.Join(about{"name", fmt.Errorf("step: %w", tt.err)}, nil)); got != tt.want {
			t.Errorf("%v, wrapped: got %d, want %d", tt.err, got, tt.want)
		}
		seen[tt.want] = true
	}
	for _, line := range regexp.MustCompile(`(?m)^ +(\d+)  `).FindAllStringSubmatch(exitHelp, -1) {
		var code int
		if _, err := fmt.Sscan(line[1], &code); err != nil {
			t.Fatal(err)
		}
		if code != exitOK && !seen[code] {
			t.Errorf("the help tells of exit code %d, which nothing has", code)
		}
		delete(seen, code)
	}
	if len(seen) > 0 {
		t.Errorf("exit codes %v are not in the help", seen)
	}
}

// An error is one line without control characters, whoever wrote it.
func TestMessage(t *testing.T) {
	nasty := "evil\x1b[2J\nsecond\rline\u202e"
	for _, err := range []error{
		errors.New(nasty), usagef("%s", nasty), failure{exitGone, errors.New(nasty)},
		about{"a", client.Refused.With(nasty)}, about{nasty, client.NotFound.With(nasty)},
		client.Code(nasty).With(nasty), errors.Join(errors.New(nasty), client.Busy.With(nasty)),
		about{nasty, client.ErrNotConnected}, about{nasty, context.DeadlineExceeded}, about{nasty, client.ErrNameLost},
		ended{errors.New(nasty)}, about{nasty, ended{client.PeerGone.With(nasty)}},
	} {
		got := message(err)
		if got == "" || strings.ContainsAny(got, "\x1b\n\r\u202e") {
			t.Errorf("%#v: got %q", err, got)
		}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{about{"org.example.echo", client.Refused.With("not today")}, "org.example.echo: its owner refused: not today"},
		// Whoever exposes the name is its owner: no word of that one.
		{about{"org.example.echo", ended{client.PeerGone}}, "org.example.echo: channel ended: the other end is gone"},
	} {
		if got := message(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
