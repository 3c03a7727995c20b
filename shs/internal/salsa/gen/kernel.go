package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	words = 16 // of a block
	lanes = 8  // blocks at a time
	row   = 4 * lanes
	block = 4 * words
)

// kernel is one function: lanes blocks of key stream at a time, word w of all of
// them in one register. With mac, it also takes as many bytes into a Poly1305 as
// it makes: vectors and integers have units of their own, and what the one leaves
// idle while it waits the other uses.
type kernel struct {
	name string
	wide bool // AVX-512VL: 32 registers and a rotation
	mac  bool

	sigma, eight operand.Mem
	key          operand.Mem // argument
	work         operand.Mem // one row a word
	lanes        operand.Mem // three rows: two of the nonce, the numbers of the blocks
	poly         poly
	queue        code // instructions of poly to come

	// With 16 registers two words are in work: 3 and 11 in the column rounds, 13
	// and 14 in the row rounds. Of each pair a round touches one word only, in its
	// last quarter.
	spilled []int
	regs    map[int]reg.VecPhysical // by word
	t, u    reg.VecPhysical         // scratch
}

func newKernel(name string, sigma, eight operand.Mem, wide, mac bool) *kernel {
	k := &kernel{name: name, wide: wide, mac: mac, sigma: sigma, eight: eight, regs: make(map[int]reg.VecPhysical)}
	if wide {
		k.t, k.u = y(30), y(31)
	} else {
		k.spilled = []int{3, 11}
		k.t, k.u = y(14), y(15)
	}
	return k
}

const (
	perStep     = 4  // instructions of the MAC at each step of a round
	perWord     = 6  // and at each word of the end
	rounds      = 10 // double rounds
	roundBlocks = 3  // of the MAC in each
	endBlocks   = lanes*block/16 - rounds*roundBlocks
)

func (k *kernel) write() {
	if k.mac {
		build.TEXT(k.name, 0, "func(dst, src, msg *byte, chunks int, key *[32]byte, lanes *[3][8]uint32, mac *[7]uint64)")
		build.Doc(k.name + " XORs chunks of eight blocks of key stream each into dst from src, and takes as many bytes of msg into mac.")
	} else {
		build.TEXT(k.name, 0, "func(dst, src *byte, chunks int, key *[32]byte, lanes *[3][8]uint32)")
		build.Doc(k.name + " XORs chunks of eight blocks of key stream each into dst from src.")
	}
	k.load()
	dst, src := operand.Mem{Base: reg.RDI}, operand.Mem{Base: reg.RSI}
	left := build.AllocLocal(8)  // chunks
	round := build.AllocLocal(8) // double rounds
	build.MOVQ(build.Load(build.Param("chunks"), reg.RAX), left)

	build.Label(k.name + "_chunk")
	k.begin()
	build.MOVQ(operand.U32(rounds), round)
	build.Label(k.name + "_rounds")
	k.plan(roundBlocks)
	k.doubleRound()
	k.drain()
	build.DECQ(round)
	build.JNZ(operand.LabelRef(k.name + "_rounds"))
	k.plan(endBlocks)
	k.end()
	k.drain()
	for half := range 2 {
		k.transpose(half, dst, src)
	}
	build.VPBROADCASTD(k.eight, y(0))
	build.VPADDD(k.lanes.Offset(2*row), y(0), y(0))
	k.move(y(0), k.lanes.Offset(2*row))
	build.ADDQ(operand.U32(lanes*block), reg.RDI)
	build.ADDQ(operand.U32(lanes*block), reg.RSI)
	build.DECQ(left)
	build.JNZ(operand.LabelRef(k.name + "_chunk"))
	if k.mac {
		k.poly.save(operand.Mem{Base: build.Load(build.Param("mac"), reg.RAX)})
	}
	build.VZEROUPPER()
	build.RET()
}

// load takes the arguments into registers and memory of our own.
func (k *kernel) load() {
	build.Load(build.Param("dst"), reg.RDI)
	build.Load(build.Param("src"), reg.RSI)
	k.key = operand.Mem{Base: build.Load(build.Param("key"), reg.R11)}
	given := operand.Mem{Base: build.Load(build.Param("lanes"), reg.RAX)}
	k.work = build.AllocLocal(words * row)
	k.lanes = build.AllocLocal(3 * row)
	for i := range 3 {
		k.move(given.Offset(i*row), k.t)
		k.move(k.t, k.lanes.Offset(i*row))
	}
	if k.mac {
		r := build.AllocLocal(16)
		k.poly = newPoly(r, r.Offset(8))
		build.Load(build.Param("msg"), k.poly.msg)
		k.poly.load(operand.Mem{Base: build.Load(build.Param("mac"), reg.RAX)})
	}
}

// plan queues blocks of the MAC, to be put between the vector instructions.
func (k *kernel) plan(blocks int) {
	if !k.mac {
		return
	}
	for range blocks {
		k.queue = append(k.queue, k.poly.block()...)
	}
}

// weave puts the next n instructions of the MAC here.
func (k *kernel) weave(n int) {
	for range min(n, len(k.queue)) {
		k.queue[0]()
		k.queue = k.queue[1:]
	}
}

func (k *kernel) drain() { k.weave(len(k.queue)) }

// move is a move that knows the registers above 15.
func (k *kernel) move(from, to operand.Op) {
	if k.wide {
		build.VMOVDQU32(from, to)
	} else {
		build.VMOVDQU(from, to)
	}
}

// input puts word w of the first state into r. Word 9, the upper half of the
// counter, is zero.
func (k *kernel) input(w int, r reg.VecPhysical) {
	switch {
	case w%5 == 0:
		build.VPBROADCASTD(k.sigma.Offset(4*(w/5)), r)
	case w < 5:
		build.VPBROADCASTD(k.key.Offset(4*(w-1)), r)
	case w >= 11:
		build.VPBROADCASTD(k.key.Offset(4*(w-11)+16), r)
	case w == 6, w == 7, w == 8:
		k.move(k.lanes.Offset((w-6)*row), r)
	case k.wide:
		build.VPXORD(r, r, r)
	default:
		build.VPXOR(r, r, r)
	}
}

// begin puts the first state into registers.
func (k *kernel) begin() {
	clear(k.regs)
	for _, w := range k.spilled {
		k.input(w, k.t)
		k.move(k.t, k.work.Offset(w*row))
	}
	next := 0
	for w := range words {
		if k.wide || w != k.spilled[0] && w != k.spilled[1] {
			k.regs[w] = y(next)
			k.input(w, y(next))
			next++
		}
	}
}

// end adds the first state to the last and leaves the sum in work.
func (k *kernel) end() {
	for w := range words {
		r, ok := k.regs[w]
		if !ok {
			r = k.u
			k.move(k.work.Offset(w*row), r)
		}
		if w != 9 {
			k.input(w, k.t)
			build.VPADDD(k.t, r, r)
		}
		k.move(r, k.work.Offset(w*row))
		k.weave(perWord)
	}
}

func (k *kernel) doubleRound() {
	k.quarter(0, 4, 8, 12)
	k.quarter(5, 9, 13, 1)
	k.quarter(10, 14, 2, 6)
	k.swap(13, 3)
	k.swap(14, 11)
	k.quarter(15, 3, 7, 11)
	k.quarter(0, 1, 2, 3)
	k.quarter(5, 6, 7, 4)
	k.quarter(10, 11, 8, 9)
	k.swap(3, 13)
	k.swap(11, 14)
	k.quarter(15, 12, 13, 14)
}

func (k *kernel) quarter(a, b, c, d int) {
	k.step(b, a, d, 7)
	k.step(c, b, a, 9)
	k.step(d, c, b, 13)
	k.step(a, d, c, 18)
}

// step is to ^= (x + z) <<< n.
func (k *kernel) step(to, x, z int, n uint8) {
	k.weave(perStep)
	r := k.regs[to]
	build.VPADDD(k.regs[x], k.regs[z], k.t)
	if k.wide {
		build.VPROLD(operand.U8(n), k.t, k.t)
		build.VPXORD(k.t, r, r)
		return
	}
	build.VPSLLD(operand.U8(n), k.t, k.u)
	build.VPSRLD(operand.U8(32-n), k.t, k.t)
	build.VPXOR(k.u, r, r)
	build.VPXOR(k.t, r, r)
}

// swap puts one word into work and another into its register.
func (k *kernel) swap(out, in int) {
	if k.wide {
		return
	}
	r := k.regs[out]
	delete(k.regs, out)
	k.regs[in] = r
	k.move(r, k.work.Offset(out*row))
	k.move(k.work.Offset(in*row), r)
}

// transpose turns eight words of all blocks into half of each block and XORs
// them from src into dst.
func (k *kernel) transpose(half int, dst, src operand.Mem) {
	for i := range 8 {
		k.move(k.work.Offset((8*half+i)*row), y(i))
	}
	for i := 0; i < 8; i += 2 {
		build.VPUNPCKLDQ(y(i+1), y(i), y(8+i))
		build.VPUNPCKHDQ(y(i+1), y(i), y(8+i+1))
	}
	for q := range 2 {
		b := 8 + 4*q
		build.VPUNPCKLQDQ(y(b+2), y(b), y(4*q))
		build.VPUNPCKHQDQ(y(b+2), y(b), y(4*q+1))
		build.VPUNPCKLQDQ(y(b+3), y(b+1), y(4*q+2))
		build.VPUNPCKHQDQ(y(b+3), y(b+1), y(4*q+3))
	}
	for i := range 4 {
		build.VPERM2I128(operand.U8(0x20), y(4+i), y(i), y(8+i))
		build.VPERM2I128(operand.U8(0x31), y(4+i), y(i), y(12+i))
	}
	for b := range lanes {
		at := b*block + half*row
		build.VPXOR(src.Offset(at), y(8+b), y(8+b))
		k.move(y(8+b), dst.Offset(at))
	}
}
