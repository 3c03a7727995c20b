package httpsink_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/audit/httpsink"
)

func TestPosts(t *testing.T) {
	var mu sync.Mutex
	var got strings.Builder
	var header http.Header
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(&got, r.Body)
		header = r.Header
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	sink, err := httpsink.New(strings.Replace(server.URL, "://", "://user:secret@", 1)+"/audit", http.Header{"Authorization": {"Splunk token"}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sink.Name(), "secret") || !strings.Contains(sink.Name(), "/audit") {
		t.Errorf("its name is %s", sink.Name())
	}
	records := []audit.Record{{Seq: 1, Event: audit.Event{Event: "x", Reason: "a\nb"}}, {Seq: 2, Event: audit.Event{Event: "y"}}}
	if err := sink.Write(records); err != nil {
		t.Fatal(err)
	}
	want := string(audit.AppendRecord(audit.AppendRecord(nil, records[0]), records[1]))
	mu.Lock()
	if got.String() != want || header.Get("Authorization") != "Splunk token" || header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("posted %q with %v, want %q", got.String(), header, want)
	}
	mu.Unlock()
	for _, bad := range []int{http.StatusFound, http.StatusForbidden, http.StatusServiceUnavailable} {
		mu.Lock()
		status = bad
		mu.Unlock()
		if err := sink.Write(records); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d gives %v", bad, err)
		}
	}
	server.Close()
	if err := sink.Write(records); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a server that is gone gives %v", err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "ftp://x", "http://", "file:///x", "x", "http://a b", ":"} {
		if _, err := httpsink.New(bad, nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
