//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// As much of D-Bus as the scenes need: little-endian messages over a Unix socket.

// encoder writes values, each on its boundary. Offsets count from the beginning of
// the body, which itself begins on a boundary of 8.
type encoder []byte

func (e *encoder) align(n int) {
	for len(*e)%n != 0 {
		*e = append(*e, 0)
	}
}

func (e *encoder) u32(v uint32) {
	e.align(4)
	*e = binary.LittleEndian.AppendUint32(*e, v)
}

func (e *encoder) u64(v uint64) {
	e.align(8)
	*e = binary.LittleEndian.AppendUint64(*e, v)
}

func (e *encoder) bool(v bool) {
	if v {
		e.u32(1)
		return
	}
	e.u32(0)
}

func (e *encoder) text(s string) {
	e.u32(uint32(len(s)))
	*e = append(append(*e, s...), 0)
}

func (e *encoder) signature(s string) {
	*e = append(append(append(*e, byte(len(s))), s...), 0)
}

// array writes an array of what begins on a boundary of n.
func (e *encoder) array(n int, f func()) {
	e.u32(0)
	at := len(*e)
	e.align(n)
	begin := len(*e)
	f()
	binary.LittleEndian.PutUint32((*e)[at-4:], uint32(len(*e)-begin))
}

// Kinds of messages, and a flag.
const (
	isCall, isReturn, isError = 1, 2, 3
	noReply                   = 1
)

// message is one of D-Bus.
type message struct {
	kind, flags               byte
	serial, reply             uint32
	path, iface, member, dest string
	sender, fault             string
	sig                       string
	fds                       uint32
	body                      []byte
}

// wire is the message as it is sent.
func (m *message) wire() []byte {
	e := encoder{'l', m.kind, m.flags, 1}
	e.u32(uint32(len(m.body)))
	e.u32(m.serial)
	e.array(8, func() {
		field := func(code byte, sig string, put func()) {
			e.align(8)
			e = append(e, code)
			e.signature(sig)
			put()
		}
		for _, f := range []struct {
			code byte
			sig  string
			s    string
		}{{1, "o", m.path}, {2, "s", m.iface}, {3, "s", m.member}, {6, "s", m.dest}} {
			if f.s != "" {
				field(f.code, f.sig, func() { e.text(f.s) })
			}
		}
		if m.reply > 0 {
			field(5, "u", func() { e.u32(m.reply) })
		}
		if m.sig != "" {
			field(8, "g", func() { e.signature(m.sig) })
		}
		if m.fds > 0 {
			field(9, "u", func() { e.u32(m.fds) })
		}
	})
	e.align(8)
	return append(e, m.body...)
}

var errMessage = errors.New("not a D-Bus message")

// readMessage reads a message.
func readMessage(r *bufio.Reader) (*message, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	m := &message{kind: head[1], flags: head[2], serial: binary.LittleEndian.Uint32(head[8:])}
	fields := make([]byte, (binary.LittleEndian.Uint32(head[12:])+7)/8*8)
	m.body = make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if head[0] != 'l' || len(fields) > 1<<20 || len(m.body) > 1<<27 {
		return nil, errMessage
	}
	if _, err := io.ReadFull(r, fields); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, m.body); err != nil {
		return nil, err
	}
	return m, m.parse(fields[:binary.LittleEndian.Uint32(head[12:])])
}

// parse reads the fields of a header: texts, numbers and signatures.
func (m *message) parse(b []byte) error {
	for at := 0; at+8 <= len(b); at = (at + 7) / 8 * 8 {
		code, sig := b[at], b[at+2]
		at += 4
		switch sig {
		case 'g':
			at += int(b[at]) + 2
		case 'u':
			if code == 5 {
				m.reply = binary.LittleEndian.Uint32(b[at:])
			}
			at += 4
		case 's', 'o':
			n := int(binary.LittleEndian.Uint32(b[at:]))
			if at+4+n > len(b) {
				return errMessage
			}
			s := string(b[at+4 : at+4+n])
			switch code {
			case 3:
				m.member = s
			case 4:
				m.fault = s
			case 7:
				m.sender = s
			}
			at += 4 + n + 1
		default:
			return errMessage
		}
	}
	return nil
}

// dbusConn is a connection of a peer.
type dbusConn struct {
	*net.UnixConn
	in     *bufio.Reader
	serial uint32
	name   string
}

// authenticate does what comes before messages.
func authenticate(conn *net.UnixConn) (*dbusConn, error) {
	c := &dbusConn{UnixConn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(c, "\x00AUTH EXTERNAL "+uid+"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"); err != nil {
		return nil, err
	}
	for _, want := range []string{"OK ", "AGREE_UNIX_FD"} {
		if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			return nil, fmt.Errorf("authentication: %q: %w", line, errors.Join(err, errMessage))
		}
	}
	return c, nil
}

// dialDBus logs in, within d.
func dialDBus(path string, d time.Duration) (*dbusConn, error) {
	conn, err := net.DialTimeout("unix", path, d)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(d)) // it is open
	c, err := authenticate(conn.(*net.UnixConn))
	if err == nil {
		err = c.send(&message{kind: isCall, path: "/org/freedesktop/DBus", iface: "org.freedesktop.DBus", member: "Hello", dest: "org.freedesktop.DBus"})
	}
	for err == nil && c.name == "" {
		var m *message
		if m, err = readMessage(c.in); err == nil && m.kind == isReturn && len(m.body) > 5 {
			c.name = string(m.body[4 : len(m.body)-1])
		} else if err == nil && m.kind == isError {
			err = errors.New(m.fault)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, conn.SetDeadline(time.Time{})
}

// send sends a message with the next serial number.
func (c *dbusConn) send(m *message) error {
	c.serial++
	m.serial = c.serial
	_, err := c.Write(m.wire())
	return err
}

// sendFile sends a message with a descriptor.
func (c *dbusConn) sendFile(m *message, fd int) error {
	c.serial++
	m.serial, m.fds = c.serial, 1
	_, _, err := c.WriteMsgUnix(m.wire(), syscall.UnixRights(fd), nil)
	return err
}

// to is a call of another peer that wants no answer.
func (c *dbusConn) to(peer string, body []byte) *message {
	e := encoder{}
	e.array(1, func() { e = append(e, body...) })
	return &message{kind: isCall, flags: noReply, path: "/", iface: "org.example.Side", member: "Take", dest: peer, sig: "ay", body: e}
}
