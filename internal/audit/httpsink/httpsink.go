// Package httpsink is the sink of an audit log that posts its lines over HTTP. It is
// a package of its own so that programs without it do not carry an HTTP client.
package httpsink

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
)

// timeout is for one post, and so for how long Close of the log may wait.
const timeout = 2 * time.Second

// New makes a sink that posts JSON lines (application/x-ndjson), up to 256 at a time,
// to an http or https address, with header as it is. An answer that is not 2xx, a
// redirect among them, is an error. One post takes 2 seconds at most.
func New(address string, header http.Header) (audit.Sink, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("httpsink: %s is no http or https address", u.Redacted())
	}
	return &sink{u: u, header: header.Clone(), client: http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

type sink struct {
	u      *url.URL
	header http.Header
	client http.Client
	body   []byte
}

// Name shows no password.
func (s *sink) Name() string { return s.u.Redacted() }

func (s *sink) Write(records []audit.Record) error {
	s.body = s.body[:0]
	for _, r := range records {
		s.body = audit.AppendRecord(s.body, r)
	}
	req, err := http.NewRequest(http.MethodPost, s.u.String(), bytes.NewReader(s.body))
	if err != nil {
		return err
	}
	for k, v := range s.header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("httpsink: %s answers %s", s.u.Redacted(), resp.Status)
	}
	return nil
}

func (s *sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
