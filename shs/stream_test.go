package shs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// testHalf is a direction of the stream tests.
var testHalf = shs1.Half{Key: sum("stream"), Nonce: [24]byte{23: 0xfd}} // the nonce carries soon

// frames are the frames of a stream and what is in each; the last is the goodbye.
func frames(mode Mode, half shs1.Half, bodies ...string) (wire [][]byte, n int) {
	var enc encoder = newBoxWriter(half, salsa.Best())
	if mode == Plain {
		enc = plainWriter{}
	}
	for _, b := range bodies {
		f, _ := enc.appendFrame(nil, []byte(b))
		wire = append(wire, f)
		n += len(b)
	}
	return append(wire, enc.appendGoodbye(nil)), n
}

func decoderFor(mode Mode) decoder {
	if mode == Plain {
		return new(plainReader)
	}
	return newBoxReader(testHalf, salsa.Best())
}

// TestTruncation cuts a stream at every byte (F16).
func TestTruncation(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		bodies := []string{"a", "two words", string(bytes.Repeat([]byte("long "), 100)), "z"}
		wire, total := frames(mode, testHalf, bodies...)
		all := join(wire...)
		for cut := range len(all) + 1 {
			got, err := readAll(decoderFor(mode), all[:cut])
			want := io.ErrUnexpectedEOF
			if cut == len(all) {
				want = io.EOF
			}
			if err != want {
				t.Errorf("%v cut at %d of %d: got %v, want %v", mode, cut, len(all), err, want)
			}
			if full := join([]byte(bodies[0]), []byte(bodies[1]), []byte(bodies[2]), []byte(bodies[3])); !bytes.HasPrefix(full, got) {
				t.Errorf("%v cut at %d: %d bytes that are not those sent", mode, cut, len(got))
			}
			if cut == len(all) && len(got) != total {
				t.Errorf("%v: got %d bytes, want %d", mode, len(got), total)
			}
		}
	}
}

// TestBitFlips inverts every bit of a box stream (F17).
func TestBitFlips(t *testing.T) {
	wire, _ := frames(Box, testHalf, "first", "second", "third")
	all := join(wire...)
	ends := []int{0, 5, 11, 16} // of the text after each box
	for bit := range 8 * len(all) {
		bad := bytes.Clone(all)
		bad[bit/8] ^= 1 << (bit % 8)
		got, err := readAll(decoderFor(Box), bad)
		frame, at := 0, bit/8
		for at >= len(wire[frame]) {
			at -= len(wire[frame])
			frame++
		}
		if !errors.Is(err, ErrProtocol) || string(got) != "firstsecondthird"[:ends[frame]] {
			t.Errorf("bit %d, in frame %d: got %q, %v", bit, frame, got, err)
		}
	}
}

// TestFrameOrder drops, repeats, swaps and replaces the frames of a box stream
// (F17). The error comes at the first frame that is not in its place.
func TestFrameOrder(t *testing.T) {
	wire, _ := frames(Box, testHalf, "0", "1", "2", "3")
	foreign, _ := frames(Box, shs1.Half{Key: sum("another session"), Nonce: testHalf.Nonce}, "0", "1", "2", "3")
	sameKey, _ := frames(Box, shs1.Half{Key: testHalf.Key}, "0", "1", "2", "3")
	check := func(what string, stream [][]byte, good int) {
		t.Helper()
		got, err := readAll(decoderFor(Box), join(stream...))
		if !errors.Is(err, ErrProtocol) || string(got) != "0123"[:good] {
			t.Errorf("%s: got %q, %v, want %q and %v", what, got, err, "0123"[:good], ErrProtocol)
		}
	}
	for i := range wire {
		if i < len(wire)-1 { // dropping the goodbye is a cut
			check("drop", slices.Delete(slices.Clone(wire), i, i+1), i)
			check("repeat", slices.Insert(slices.Clone(wire), i, wire[i]), i+1)
		}
		for _, other := range [][][]byte{foreign, sameKey} {
			spliced := slices.Clone(wire)
			spliced[i] = other[i]
			check("splice", spliced, i)
		}
		for j := range i {
			swapped := slices.Clone(wire)
			swapped[i], swapped[j] = wire[j], wire[i]
			check("swap", swapped, j)
		}
	}
}

// TestReflection is both ends with one identity: both directions have one key,
// and nonces alone keep them apart.
func TestReflection(t *testing.T) {
	for _, reflect := range []bool{false, true} {
		a, b := net.Pipe()
		rec := &recording{Conn: a}
		client := Client(rec, &Config{Key: bob, ServerKey: bob.Public()})
		server := Server(b, &Config{Key: bob})
		if err1, err2 := shakeBoth(t.Context(), client, server); err1 != nil || err2 != nil {
			t.Fatalf("client %v, server %v", err1, err2)
		}
		go drain(server)
		rec.Buffer.Reset()
		if _, err := client.Write([]byte("mirror")); err != nil {
			t.Fatal(err)
		}
		if reflect {
			go b.Write(rec.Bytes())
		} else {
			go server.Write([]byte("mirror"))
		}
		buf := make([]byte, 10)
		n, err := client.Read(buf)
		if reflect && !errors.Is(err, ErrProtocol) {
			t.Errorf("our own box: got %q, %v", buf[:n], err)
		}
		if !reflect && string(buf[:n]) != "mirror" {
			t.Errorf("the server's box: got %q, %v", buf[:n], err)
		}
		client.Abort()
		server.Abort()
	}
}

// TestOddBoxes are boxes that no stock writer makes (F18).
func TestOddBoxes(t *testing.T) {
	box := func(sizes ...int) []byte {
		ref := refHalf{key: testHalf.Key, nonce: testHalf.Nonce}
		var b []byte
		for _, size := range sizes {
			b = append(b, ref.seal(make([]byte, size))...)
		}
		return append(b, ref.goodbye()...)
	}
	for _, tt := range []struct {
		name  string
		wire  []byte
		bytes int
		err   error
	}{
		{"largest", box(maxBody), maxBody, io.EOF},
		{"too large", box(1, maxBody+1), 1, ErrProtocol},
		{"far too large", box(1, 65535), 1, ErrProtocol},
		{"empty ones", box(append(make([]int, maxEmpty), 1)...), 1, io.EOF},
		{"empty ones between others", box(append(append(make([]int, maxEmpty), 1), make([]int, maxEmpty)...)...), 1, io.EOF},
		{"too many empty ones", box(append(make([]int, maxEmpty+1), 1)...), 0, ErrProtocol},
		{"bytes after the goodbye", append(box(1), 0), 1, ErrProtocol},
		{"nothing but a goodbye", box(), 0, io.EOF},
	} {
		got, err := readAll(decoderFor(Box), tt.wire)
		if len(got) != tt.bytes || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %d bytes, %v, want %d, %v", tt.name, len(got), err, tt.bytes, tt.err)
		}
	}
}

func TestPlainChunks(t *testing.T) {
	chunk := func(size uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, size), body...)
	}
	for _, tt := range []struct {
		name string
		wire []byte
		want string
		err  error
	}{
		{"the example", join(chunk(5, "hello"), chunk(0, "")), "hello", io.EOF},
		{"two", join(chunk(2, "he"), chunk(3, "llo"), chunk(0, "")), "hello", io.EOF},
		{"4 GiB that never come", chunk(1<<32-1, "hello"), "hello", io.ErrUnexpectedEOF},
		{"half a header", []byte{0, 0}, "", io.ErrUnexpectedEOF},
		{"bytes after the goodbye", join(chunk(5, "hello"), chunk(0, "x")), "hello", ErrProtocol},
	} {
		got, err := readAll(new(plainReader), tt.wire)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	got := plainWriter{}.appendGoodbye(nil)
	frame, _ := plainWriter{}.appendFrame(nil, []byte("hello"))
	if want := "\x00\x00\x00\x05hello\x00\x00\x00\x00"; string(frame)+string(got) != want {
		t.Errorf("written: got %q, want %q", string(frame)+string(got), want)
	}
}

// TestPlainLength announces 4 GiB and counts what that costs.
func TestPlainLength(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	readAll(new(plainReader), []byte("\xff\xff\xff\xffx"))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("a length of 4 GiB allocates %d bytes", n)
	}
}

// TestReadBuffer shows that the buffer grows with use, to its limit.
func TestReadBuffer(t *testing.T) {
	var wire []byte
	w := newBoxWriter(testHalf, salsa.Best())
	for range 100 {
		wire, _ = w.appendFrame(wire, make([]byte, maxBody))
	}
	r := newReader(stream{Reader: bytes.NewReader(wire)}, decoderFor(Box))
	if _, err := r.read(make([]byte, 1)); err != nil || len(r.buf) != smallSize {
		t.Errorf("at first: %d bytes, %v, want %d", len(r.buf), err, smallSize)
	}
	largest := 0
	for {
		if _, err := r.read(make([]byte, 3000)); err != nil {
			break
		}
		largest = max(largest, len(r.buf))
	}
	if largest != readSize {
		t.Errorf("at last: %d bytes, want %d", largest, readSize)
	}
}
