package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// poly is a Poly1305 in progress: h is the sum so far, of 130 bits and a little,
// r the multiplier. For each block m of 16 bytes, h becomes (h + m + 2^128) r
// modulo 2^130-5. RAX and RDX are scratch.
type poly struct {
	h   [3]reg.GPPhysical
	t   [4]reg.GPPhysical // the product, before it is reduced
	r   [2]operand.Op
	msg reg.GPPhysical
}

func newPoly(r0, r1 operand.Op) poly {
	return poly{
		h:   [3]reg.GPPhysical{reg.R8, reg.R9, reg.R10},
		t:   [4]reg.GPPhysical{reg.RBX, reg.RCX, reg.R13, reg.R14},
		r:   [2]operand.Op{r0, r1},
		msg: reg.R12,
	}
}

// load takes h and r from five words.
func (p *poly) load(from operand.Mem) {
	for i, h := range p.h {
		build.MOVQ(from.Offset(8*i), h)
	}
	for i, r := range p.r {
		build.MOVQ(from.Offset(24+8*i), p.t[0])
		build.MOVQ(p.t[0], r)
	}
}

// save puts h back.
func (p *poly) save(to operand.Mem) {
	for i, h := range p.h {
		build.MOVQ(h, to.Offset(8*i))
	}
}

// code is a sequence of instructions. What stands between them must leave the
// flags alone.
type code []func()

func (c *code) two(f func(a, b operand.Op), a, b operand.Op) { *c = append(*c, func() { f(a, b) }) }
func (c *code) any(f func(...operand.Op), ops ...operand.Op) { *c = append(*c, func() { f(ops...) }) }
func (c *code) mul(x operand.Op, y operand.Op) { // RDX:RAX = x y
	c.two(build.MOVQ, x, reg.RAX)
	*c = append(*c, func() { build.MULQ(y) })
}

func (c code) write() {
	for _, do := range c {
		do()
	}
}

// block takes the next 16 bytes of msg.
func (p *poly) block() code {
	var c code
	msg := operand.Mem{Base: p.msg}
	c.two(build.ADDQ, msg, p.h[0])
	c.two(build.ADCQ, msg.Offset(8), p.h[1])
	c.two(build.ADCQ, operand.U32(1), p.h[2])
	c.two(build.LEAQ, msg.Offset(16), p.msg)
	return append(c, p.times()...)
}

// times is h = h r.
func (p *poly) times() code {
	var c code
	h, t, r := p.h, p.t, p.r
	// h[2] and the upper bits of r are so small that h[2] r does not carry.
	c.mul(r[0], h[0])
	c.two(build.MOVQ, reg.RAX, t[0])
	c.two(build.MOVQ, reg.RDX, t[1])
	c.mul(r[0], h[1])
	c.two(build.ADDQ, reg.RAX, t[1])
	c.two(build.ADCQ, operand.U32(0), reg.RDX)
	c.two(build.MOVQ, r[0], t[2])
	c.any(build.IMULQ, h[2], t[2])
	c.two(build.ADDQ, reg.RDX, t[2])
	c.mul(r[1], h[0])
	c.two(build.ADDQ, reg.RAX, t[1])
	c.two(build.ADCQ, operand.U32(0), reg.RDX)
	c.two(build.MOVQ, reg.RDX, h[0])
	c.two(build.MOVQ, r[1], t[3])
	c.any(build.IMULQ, h[2], t[3])
	c.mul(r[1], h[1])
	c.two(build.ADDQ, reg.RAX, t[2])
	c.two(build.ADCQ, reg.RDX, t[3])
	c.two(build.ADDQ, h[0], t[2])
	c.two(build.ADCQ, operand.U32(0), t[3])

	// What is above 2^130 comes back as 5 times as much: 4 and 1.
	c.two(build.MOVQ, t[0], h[0])
	c.two(build.MOVQ, t[1], h[1])
	c.two(build.MOVQ, t[2], h[2])
	c.two(build.ANDQ, operand.U32(3), h[2])
	c.two(build.ANDQ, operand.I32(-4), t[2])
	c.two(build.ADDQ, t[2], h[0])
	c.two(build.ADCQ, t[3], h[1])
	c.two(build.ADCQ, operand.U32(0), h[2])
	c.any(build.SHRQ, operand.U8(2), t[3], t[2])
	c.any(build.SHRQ, operand.U8(2), t[3])
	c.two(build.ADDQ, t[2], h[0])
	c.two(build.ADCQ, t[3], h[1])
	c.two(build.ADCQ, operand.U32(0), h[2])
	return c
}

// writeBlocks writes the function that goes on.
func writeBlocks() {
	build.TEXT("macBlocks", 0, "func(mac *[7]uint64, msg *byte, blocks int)")
	build.Doc("macBlocks takes blocks of msg into mac, at least one.")
	state := operand.Mem{Base: build.Load(build.Param("mac"), reg.RSI)}
	blocks := build.Load(build.Param("blocks"), reg.RAX)
	left := build.AllocLocal(8)
	build.MOVQ(blocks, left)
	p := newPoly(reg.R11, reg.RDI)
	build.Load(build.Param("msg"), p.msg)
	p.load(state)
	build.Label("macBlocks_next")
	p.block().write()
	build.DECQ(left)
	build.JNZ(operand.LabelRef("macBlocks_next"))
	p.save(state)
	build.RET()
}

// writeSum writes the function that comes to the end.
func writeSum() {
	build.TEXT("macSum", 0, "func(tag *[16]byte, mac *[7]uint64, msg *byte, blocks int, lo, hi uint64)")
	build.Doc("macSum takes blocks of msg into mac, and lo and hi if they are not zero, and puts the MAC into tag.")
	p := newPoly(reg.R11, reg.RDI)
	p.load(operand.Mem{Base: build.Load(build.Param("mac"), reg.RAX)})
	p.sum("macSum", "mac", 5*8)
}

// writeAll writes the function that begins and comes to the end.
func writeAll() {
	build.TEXT("macAll", 0, "func(tag *[16]byte, key *[32]byte, msg *byte, blocks int, lo, hi uint64)")
	build.Doc("macAll puts the MAC of blocks of msg, and of lo and hi if they are not zero, into tag.")
	p := newPoly(reg.R11, reg.RDI)
	for _, h := range p.h {
		build.XORL(h.As32(), h.As32())
	}
	key := operand.Mem{Base: build.Load(build.Param("key"), reg.RAX)}
	for i, mask := range []uint64{0x0ffffffc0fffffff, 0x0ffffffc0ffffffc} {
		build.MOVQ(operand.U64(mask), p.r[i])
		build.ANDQ(key.Offset(8*i), p.r[i])
	}
	p.sum("macAll", "key", 2*8)
}

// sum is the end of a function: the rest of the message, and the MAC.
func (p *poly) sum(name, from string, add int) {
	h, t := p.h, p.t
	build.Load(build.Param("msg"), p.msg)
	blocks := build.Load(build.Param("blocks"), reg.RSI)
	build.TESTQ(blocks, blocks)
	build.JZ(operand.LabelRef(name + "_last"))
	build.Label(name + "_next")
	p.block().write()
	build.DECQ(blocks)
	build.JNZ(operand.LabelRef(name + "_next"))

	build.Label(name + "_last")
	build.Load(build.Param("lo"), t[0])
	build.Load(build.Param("hi"), t[1])
	build.MOVQ(t[0], t[2])
	build.ORQ(t[1], t[2])
	build.JZ(operand.LabelRef(name + "_end"))
	build.ADDQ(t[0], h[0])
	build.ADCQ(t[1], h[1])
	build.ADCQ(operand.U32(0), h[2])
	p.times().write()

	// h is below twice 2^130-5. It is not below once if 5 more carry into 2^130.
	build.Label(name + "_end")
	build.MOVQ(h[0], t[0])
	build.MOVQ(h[1], t[1])
	build.ADDQ(operand.U32(5), t[0])
	build.ADCQ(operand.U32(0), t[1])
	build.ADCQ(operand.U32(0), h[2])
	build.CMPQ(h[2], operand.U32(4))
	build.CMOVQCC(t[0], h[0])
	build.CMOVQCC(t[1], h[1])
	last := operand.Mem{Base: build.Load(build.Param(from), reg.RAX)}.Offset(add)
	build.ADDQ(last, h[0])
	build.ADCQ(last.Offset(8), h[1])
	tag := operand.Mem{Base: build.Load(build.Param("tag"), reg.RAX)}
	build.MOVQ(h[0], tag)
	build.MOVQ(h[1], tag.Offset(8))
	build.RET()
}
