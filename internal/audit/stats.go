package audit

// Stats are counters since Open, and states.
type Stats struct {
	Seq     uint64 // of the last record
	Notes   uint64 // calls of Note
	Dropped uint64 // notes that flood control and the queue's bound left out; each is counted in a suppressed record
	Waiting int    // notes and commits that are not written yet
	Bytes   uint64 // written
	Lost    uint64 // records that the file lacks because it could not be written; each is counted in a gap record
	Files   int
	Head    Head // the last one; its Seq is 0 if there is none
	Sinks   []SinkStats
}

// SinkStats are the counters of a sink. Every record is sent, dropped or waiting.
type SinkStats struct {
	Name          string
	Sent, Dropped uint64
	Waiting       int
	Err           error // of the last Write; nil if it was well
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	s := Stats{Seq: l.written.seq.Load(), Bytes: l.written.bytes.Load(), Lost: l.written.lost.Load(), Files: int(l.written.files.Load())}
	l.mu.Lock()
	s.Notes, s.Dropped, s.Waiting = l.notes, l.dropped, len(l.queue)
	l.mu.Unlock()
	if heads := l.Recent(Filter{Event: EventHead, Limit: 1}); len(heads) > 0 {
		s.Head, _ = HeadOf(heads[0])
	}
	for _, f := range l.feeds {
		f.mu.Lock()
		s.Sinks = append(s.Sinks, SinkStats{f.sink.Name(), f.sent, f.dropped, len(f.queue), f.err})
		f.mu.Unlock()
	}
	return s
}
