package mux

import (
	"errors"
	"os"
	"time"
)

// maxFiles is how many files may wait for the writer.
const maxFiles = 8

// ErrNoFiles is returned by SendFile where the connection passes no files, or
// too many wait.
var ErrNoFiles = errors.New("mux: no file can be passed")

// filer is a connection that passes an open file with the first byte of p.
type filer interface {
	PassesFiles() bool
	WriteFile(f *os.File, p []byte) error
}

// outFile is a file under way to the peer.
type outFile struct {
	f     *os.File
	frame []byte // it goes with: one that says nothing
}

// SendFile passes a file to the peer, in front of whatever is written from now
// on in any stream. It goes with a window update of 0 bytes for a stream that the
// peer has opened, and which may have ended. n is how many were passed before. It
// does not wait, and owns f in any case. Errors: ErrNoFiles, also to a peer that
// has opened nothing, and that of the ended session.
func (s *Session) SendFile(f *os.File) (n int, err error) {
	s.mu.Lock()
	defer s.unlock()
	err = s.err
	if s.state == live && (s.wire.file == nil || !s.wire.file.PassesFiles() || s.theirs == 0 || len(s.files) == maxFiles) {
		err = ErrNoFiles
	}
	if err != nil {
		f.Close()
		return 0, err
	}
	s.files = append(s.files, outFile{f, header{typ: typeWindow, id: s.theirs}.appendTo(nil)})
	s.due = true
	s.passed++
	return s.passed - 1, nil
}

// takeFilesLocked returns the files that go in front of the next write.
func (s *Session) takeFilesLocked() []outFile {
	files := s.files
	s.files = nil
	return files
}

// writeFiles passes them: whoever calls is the writer, so no frame is cut in two.
func (s *Session) writeFiles(files []outFile) (err error) {
	for _, o := range files {
		if err == nil {
			err = s.wire.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
		}
		if err == nil {
			err = s.wire.file.WriteFile(o.f, o.frame)
		}
		o.f.Close()
	}
	return err
}

// dropFilesLocked closes what will not be passed.
func (s *Session) dropFilesLocked() {
	for _, o := range s.takeFilesLocked() {
		o.f.Close()
	}
}
