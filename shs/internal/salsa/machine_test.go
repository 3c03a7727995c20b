package salsa

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// machine runs the functions of salsa_amd64.s in plain Go, so that kernels are
// tested on processors that do not have their instructions. It knows those
// instructions that are in use, takes each for what its manual says, and stops at
// any other, and where memory is read or written that is not the function's.
type machine struct {
	t      *testing.T
	gp     map[string]uint64
	vec    [32]row
	carry  bool
	zero   bool
	mem    []byte
	frame  uint64            // of the running function: 0(SP)
	args   uint64            // and its arguments: 0(FP)
	data   map[string]uint64 // symbols
	ours   [][2]uint64       // what the function may touch
	labels map[string]int
}

// row is a vector register.
type row [8]uint32

// line is one instruction.
type line struct {
	op   string
	args []string
}

// function is one TEXT.
type function struct {
	lines  []line
	labels map[string]int
	frame  uint64
}

// assembly is salsa_amd64.s.
func assembly(t *testing.T) (all map[string]*function, data map[string][]byte) {
	text, err := os.ReadFile("salsa_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	all, data = make(map[string]*function), make(map[string][]byte)
	head := regexp.MustCompile(`^TEXT ·(\w+)\(SB\), \$(\d+)-\d+$`)
	word := regexp.MustCompile(`^DATA (\w+)<>\+(\d+)\(SB\)/4, \$(0x[0-9a-f]+)$`)
	var f *function
	for s := range strings.Lines(string(text)) {
		s = strings.TrimSpace(s)
		switch m := head.FindStringSubmatch(s); {
		case m != nil:
			size, _ := strconv.ParseUint(m[2], 10, 64)
			f = &function{labels: make(map[string]int), frame: size}
			all[m[1]] = f
		case word.MatchString(s):
			m := word.FindStringSubmatch(s)
			v, _ := strconv.ParseUint(m[3], 0, 32)
			data[m[1]] = binary.LittleEndian.AppendUint32(data[m[1]], uint32(v))
		case s == "", s[0] == '/', s[0] == '#', strings.HasPrefix(s, "GLOBL"):
		case strings.HasSuffix(s, ":"):
			f.labels[strings.TrimSuffix(s, ":")] = len(f.lines)
		default:
			op, rest, _ := strings.Cut(s, " ")
			var args []string
			for a := range strings.SplitSeq(rest, ",") {
				if a = strings.TrimSpace(a); a != "" {
					args = append(args, a)
				}
			}
			f.lines = append(f.lines, line{op, args})
		}
	}
	return all, data
}

// call runs a function. An argument is a number or a slice, which the function
// may read and write.
func call(t *testing.T, name string, args ...any) {
	t.Helper()
	all, data := assembly(t)
	f := all[name]
	if f == nil {
		t.Fatalf("there is no function %s", name)
	}
	m := &machine{t: t, gp: make(map[string]uint64), data: make(map[string]uint64), labels: f.labels}
	for i := range m.vec { // what is not set must not be used
		m.vec[i] = row{0xdead, 1, 2, 3, 4, 5, 6, uint32(i)}
	}
	for symbol, b := range data {
		m.data[symbol] = m.put(b)
	}
	m.frame = m.put(make([]byte, f.frame))
	var frame []byte
	at := make([]uint64, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case []byte:
			at[i] = m.put(a)
		case int:
			at[i] = uint64(a)
		case uint64:
			at[i] = a
		}
		frame = binary.LittleEndian.AppendUint64(frame, at[i])
	}
	m.args = m.put(frame)
	for pc := 0; f.lines[pc].op != "RET"; {
		l := f.lines[pc]
		if pc = m.step(l, pc); pc < 0 {
			t.Fatalf("%s: %v", name, l)
		}
	}
	for i, a := range args {
		if b, ok := a.([]byte); ok {
			copy(b, m.mem[at[i]:])
		}
	}
}

// put places b in memory, apart from all else, and returns its address.
func (m *machine) put(b []byte) uint64 {
	m.mem = append(m.mem, make([]byte, 1024)...)
	at := uint64(len(m.mem))
	m.mem = append(m.mem, b...)
	m.ours = append(m.ours, [2]uint64{at, at + uint64(len(b))})
	return at
}

var memory = regexp.MustCompile(`^([a-z]+(?:<>)?)?\+?(\d+)?\(([A-Z0-9]+)\)$`)

// at returns n bytes of memory that a names.
func (m *machine) at(a string, n uint64) []byte {
	p := memory.FindStringSubmatch(a)
	if p == nil {
		m.t.Fatalf("no memory: %s", a)
	}
	addr, _ := strconv.ParseUint(p[2], 10, 64)
	switch p[3] {
	case "SB":
		addr += m.data[strings.TrimSuffix(p[1], "<>")]
	case "FP":
		addr += m.args
	case "SP":
		addr += m.frame
	default:
		addr += m.gp[p[3]]
	}
	if !slices.ContainsFunc(m.ours, func(r [2]uint64) bool { return r[0] <= addr && addr+n <= r[1] }) {
		m.t.Fatalf("%d bytes at %s are not the function's", n, a)
	}
	return m.mem[addr : addr+n]
}

func (m *machine) get(a string) uint64 {
	if strings.HasPrefix(a, "$") {
		v, err := strconv.ParseUint(a[1:], 0, 64)
		if err != nil {
			n, _ := strconv.ParseInt(a[1:], 0, 64)
			return uint64(n)
		}
		return v
	}
	if strings.HasSuffix(a, ")") {
		return binary.LittleEndian.Uint64(m.at(a, 8))
	}
	return m.gp[a]
}

func (m *machine) set(a string, v uint64) {
	if strings.HasSuffix(a, ")") {
		binary.LittleEndian.PutUint64(m.at(a, 8), v)
	} else {
		m.gp[a] = v
	}
}

func (m *machine) result(a string, v uint64) {
	m.zero = v == 0
	m.set(a, v)
}

func (m *machine) getRow(a string) (r row) {
	if a[0] == 'Y' && !strings.HasSuffix(a, ")") {
		n, _ := strconv.Atoi(a[1:])
		return m.vec[n]
	}
	b := m.at(a, 32)
	for i := range r {
		r[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return r
}

func (m *machine) setRow(a string, r row) {
	if a[0] == 'Y' {
		n, _ := strconv.Atoi(a[1:])
		m.vec[n] = r
		return
	}
	b := m.at(a, 32)
	for i, v := range r {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
}

// step runs one instruction and returns where the next is, or -1.
func (m *machine) step(l line, pc int) int {
	if l.op[0] == 'V' {
		if !m.vector(l) {
			return -1
		}
		return pc + 1
	}
	one := func(yes bool) (n uint64) {
		if yes {
			n = 1
		}
		return n
	}
	a := l.args
	last := a[len(a)-1]
	switch l.op {
	case "MOVQ":
		m.set(last, m.get(a[0]))
	case "LEAQ":
		p := memory.FindStringSubmatch(a[0])
		n, _ := strconv.ParseUint(p[2], 10, 64)
		m.set(last, m.gp[p[3]]+n)
	case "ADDQ", "ADCQ":
		sum, carry := bits.Add64(m.get(last), m.get(a[0]), one(m.carry && l.op == "ADCQ"))
		m.carry = carry != 0
		m.result(last, sum)
	case "ANDQ":
		m.carry = false
		m.result(last, m.get(last)&m.get(a[0]))
	case "ORQ":
		m.carry = false
		m.result(last, m.get(last)|m.get(a[0]))
	case "XORL":
		m.carry = false
		m.result(last, uint64(uint32(m.get(last)^m.get(a[0]))))
	case "TESTQ":
		m.carry, m.zero = false, m.get(a[0])&m.get(last) == 0
	case "CMPQ":
		m.carry, m.zero = m.get(a[0]) < m.get(a[1]), m.get(a[0]) == m.get(a[1])
	case "CMOVQCC":
		if !m.carry {
			m.set(last, m.get(a[0]))
		}
	case "DECQ":
		m.result(last, m.get(last)-1)
	case "MULQ":
		m.gp["DX"], m.gp["AX"] = bits.Mul64(m.gp["AX"], m.get(a[0]))
	case "IMULQ":
		m.set(last, m.get(last)*m.get(a[0]))
	case "SHRQ":
		n := m.get(a[0])
		v := m.get(last) >> n
		if len(a) == 3 {
			v |= m.get(a[1]) << (64 - n)
		}
		m.result(last, v)
	case "JNZ", "JZ":
		to, ok := m.labels[a[0]]
		if !ok {
			return -1
		}
		if m.zero == (l.op == "JZ") {
			return to
		}
	default:
		return -1
	}
	return pc + 1
}

// vector runs an instruction on vectors: its last operand is the target.
func (m *machine) vector(l line) bool {
	if l.op == "VZEROUPPER" {
		return true
	}
	a := l.args
	last := a[len(a)-1]
	if strings.HasPrefix(l.op, "VPBROADCASTD") {
		v := binary.LittleEndian.Uint32(m.at(a[0], 4))
		m.setRow(last, row{v, v, v, v, v, v, v, v})
		return true
	}
	if l.op == "VMOVDQU" || l.op == "VMOVDQU32" {
		m.setRow(last, m.getRow(a[0]))
		return true
	}
	var n uint64
	if a[0][0] == '$' {
		n = m.get(a[0])
		a = a[1:]
	}
	// Intel writes the operands in the other order: x is its first source.
	y, x := m.getRow(a[0]), m.getRow(a[len(a)-2])
	var r row
	for i := range r {
		half, in := i&4, i&3 // 128 bits, and the word in them
		switch l.op {
		case "VPADDD":
			r[i] = x[i] + y[i]
		case "VPXOR", "VPXORD":
			r[i] = x[i] ^ y[i]
		case "VPSLLD":
			r[i] = x[i] << n
		case "VPSRLD":
			r[i] = x[i] >> n
		case "VPROLD":
			r[i] = bits.RotateLeft32(x[i], int(n))
		case "VPUNPCKLDQ", "VPUNPCKHDQ":
			from := half + in/2 + 2*strings.Count(l.op, "H")
			r[i] = [2]uint32{x[from], y[from]}[in%2]
		case "VPUNPCKLQDQ", "VPUNPCKHQDQ":
			from := half + in%2 + 2*strings.Count(l.op, "H")
			r[i] = [2]uint32{x[from], y[from]}[in/2]
		case "VPERM2I128":
			pick := n >> half & 3 // the control of a half is 4 bits
			r[i] = [2]row{x, y}[pick/2][int(pick%2)*4+in]
		default:
			return false
		}
	}
	m.setRow(last, r)
	return true
}

func (l line) String() string { return fmt.Sprintf("%s %s", l.op, strings.Join(l.args, ", ")) }
