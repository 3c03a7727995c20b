package mux

import "net"

// wire is the connection below a session.
type wire struct {
	net.Conn
	in   viewer  // nil: reads go through buf
	try  trier   // nil: a write may wait
	end  aborter // nil: an abort is a close
	file filer   // nil: no files
	buf  []byte
}

// viewer lends what it has read, until the next call. more says that there is
// more at hand without a read.
type viewer interface {
	Next() (p []byte, more bool, err error)
}

// trier writes what it can without waiting, and keeps what is left for Flush,
// or for the next Write.
type trier interface {
	TryWrite(p []byte) (left bool, err error)
	Flush() error
}

// aborter ends a connection so that the other side reads an error.
type aborter interface {
	Abort() error
}

// plainRead is the size of reads where the connection has no views.
const plainRead = 4 << 10

func newWire(conn net.Conn) wire {
	w := wire{Conn: conn}
	w.in, _ = conn.(viewer)
	w.try, _ = conn.(trier)
	w.end, _ = conn.(aborter)
	w.file, _ = conn.(filer)
	return w
}

func (w *wire) next() ([]byte, bool, error) {
	if w.in != nil {
		return w.in.Next()
	}
	if w.buf == nil {
		w.buf = make([]byte, plainRead)
	}
	n, err := w.Read(w.buf)
	return w.buf[:n], false, err
}

// hangUp closes the connection without an orderly end, if it has a way to.
func (w *wire) hangUp() {
	if w.end != nil {
		w.end.Abort()
		return
	}
	w.Close()
}
