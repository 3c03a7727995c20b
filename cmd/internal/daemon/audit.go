package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/audit/httpsink"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// AuditSettings is [audit]: where records of who did what are kept.
type AuditSettings struct {
	Dir     *string // path; nil: "audit" beside the server's key; "": in memory alone
	MaxFile int64   // bytes; 0: the library's default
	Files   int     // 0: the library's default; likewise
	Ring    int
	Rate    int // negative: none
	Flush   time.Duration
	Sinks   []string
}

// The sinks that can be set, beside an http or https address.
const (
	sinkLog  = "log"
	sinkFile = "file:"
)

func (s *AuditSettings) table(dir string) table {
	return settings(map[string]any{
		"dir": reader(func(value any) error {
			v, ok := value.(string)
			if !ok {
				return errors.New(`want a path in quotes, or "" for none`)
			}
			if v != "" {
				v = from(dir, v)
			}
			s.Dir = &v
			return nil
		}),
		"max_file": reader(func(value any) error {
			n, ok := value.(int64)
			if !ok || n < 64<<10 || n > math.MaxInt32 {
				return fmt.Errorf("want a number of bytes from %d to %d", 64<<10, math.MaxInt32)
			}
			s.MaxFile = n
			return nil
		}),
		"files": readNumber(&s.Files, false, math.MaxInt32),
		"ring":  readNumber(&s.Ring, false, math.MaxInt32),
		"rate":  readNumber(&s.Rate, true, math.MaxInt32),
		"flush": readTime(&s.Flush, false),
		"sinks": reader(func(value any) error {
			list, err := readTexts(value, `a list of sinks, such as ["log", "file:/var/log/switchboard.jsonl", "https://example.org/in"]`)
			if err != nil {
				return err
			}
			for _, text := range list {
				if path, isFile := strings.CutPrefix(text, sinkFile); isFile && path != "" {
					text = sinkFile + from(dir, path)
				}
				if _, err := openSink(text, nil); err != nil {
					return err
				}
				s.Sinks = append(s.Sinks, text)
			}
			return nil
		}),
	})
}

// openSink makes a sink. None of them opens anything before there is a record.
func openSink(text string, log *slog.Logger) (switchboard.AuditSink, error) {
	path, isFile := strings.CutPrefix(text, sinkFile)
	switch {
	case text == sinkLog:
		return audit.SlogSink(log), nil
	case isFile && path != "":
		return audit.FileSink(path), nil
	case strings.HasPrefix(text, "http:"), strings.HasPrefix(text, "https:"):
		return httpsink.New(text, nil)
	}
	return nil, fmt.Errorf("sink %.64q: want log, file:PATH, or an http or https address", text)
}

// openAudit opens the audit log. A directory that was asked for must be usable. The
// default one may not be: then the records are in memory alone, and the log says so.
func (p *plan) openAudit(key shs.PrivateKey, log *slog.Logger) (*switchboard.Audit, error) {
	cfg := switchboard.AuditConfig{Key: key, MaxFile: p.audit.MaxFile, Files: p.audit.Files,
		Ring: p.audit.Ring, Rate: p.audit.Rate, Flush: p.audit.Flush, Log: log}
	for _, text := range p.audit.Sinks {
		sink, err := openSink(text, log)
		if err != nil {
			return nil, usageError{err}
		}
		cfg.Sinks = append(cfg.Sinks, sink)
	}
	if p.audit.Dir != nil {
		cfg.Dir = *p.audit.Dir
		a, err := switchboard.OpenAudit(cfg)
		if err != nil {
			return nil, fmt.Errorf("audit log in %s: %w", cfg.Dir, err)
		}
		return a, nil
	}
	cfg.Dir = filepath.Join(filepath.Dir(p.key), "audit")
	a, err := switchboard.OpenAudit(cfg)
	if err != nil {
		log.Warn("the audit log is in memory alone", "dir", cfg.Dir, "err", err)
		cfg.Dir = ""
		a, err = switchboard.OpenAudit(cfg)
	}
	return a, err
}
