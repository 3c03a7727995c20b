package alarm

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerFD is a waker.
type timerFD struct {
	file *os.File
	buf  [8]byte
}

func newWaker() (waker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &timerFD{file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (t *timerFD) arm(d time.Duration) error {
	rc, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = rc.Control(func(fd uintptr) {
		set = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	})
	if err != nil {
		return err
	}
	return set
}

func (t *timerFD) wait() error {
	_, err := t.file.Read(t.buf[:])
	return err
}

func (t *timerFD) close() error { return t.file.Close() }
