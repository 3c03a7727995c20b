// Command gen writes salsa_amd64.s, the Salsa20 kernels of package salsa, to its
// standard output:
//
//	go run . > ../salsa_amd64.s
//
// It is a module of its own: avo is needed to change the kernels, and neither to
// build nor to use them.
package main

import (
	"encoding/binary"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	build.ConstraintExpr("!purego")
	sigma := build.GLOBL("sigma", attr.RODATA|attr.NOPTR)
	for i := 0; i < 16; i += 4 {
		build.DATA(i, operand.U32(binary.LittleEndian.Uint32([]byte("expand 32-byte k")[i:])))
	}
	eight := build.GLOBL("eight", attr.RODATA|attr.NOPTR)
	build.DATA(0, operand.U32(lanes))

	for _, mac := range []bool{false, true} {
		name := map[bool]string{false: "xor", true: "xorMac"}[mac]
		newKernel(name+"AVX2", sigma, eight, false, mac).write()
		newKernel(name+"AVX512", sigma, eight, true, mac).write()
	}
	writeBlocks()
	writeSum()
	writeAll()
	build.Generate()
}

// y is a vector register: one word of each lane.
func y(i int) reg.VecPhysical {
	return [...]reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
		reg.Y16, reg.Y17, reg.Y18, reg.Y19, reg.Y20, reg.Y21, reg.Y22, reg.Y23,
		reg.Y24, reg.Y25, reg.Y26, reg.Y27, reg.Y28, reg.Y29, reg.Y30, reg.Y31,
	}[i]
}
