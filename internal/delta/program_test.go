package delta_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/delta"
)

// program links functions, which call each other and are listed in a table, behind one
// another. A function is told by its number, and its code is always the same.
func program(functions []int) []byte {
	place := map[int]int{}
	next := 4096
	for _, f := range functions {
		place[f] = next
		next += len(code(f, nil, 0))
	}
	b := append([]byte(elf), make([]byte, 4096-len(elf))...)
	for _, f := range functions {
		b = append(b, code(f, place, len(b))...)
	}
	for len(b)%8 != 0 {
		b = append(b, 0xcc)
	}
	for _, f := range functions {
		b = binary.LittleEndian.AppendUint64(b, uint64(place[f]))
	}
	frames := len(b)
	for _, f := range functions { // as compilers say how to unwind a function
		b = binary.LittleEndian.AppendUint32(b, 20)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(b)-frames+20))
		b = binary.LittleEndian.AppendUint32(b, uint32(place[f]-len(b)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(code(f, nil, 0))))
		b = append(b, "unwinds!"...)
	}
	return b
}

// code returns a function's code at a place.
func code(f int, place map[int]int, at int) []byte {
	r := rand.New(rand.NewPCG(uint64(f), 3))
	var b []byte
	for range 5 + r.IntN(30) {
		for range 5 + r.IntN(20) {
			b = append(b, 0x40+byte(r.IntN(64)))
		}
		b = append(b, 0xe8)
		b = binary.LittleEndian.AppendUint32(b, uint32(place[r.IntN(500)]-(at+len(b)+4)))
	}
	return b
}

// linked returns a program and the next version, which has lost two functions and won
// another, so that most have moved.
func linked() (old, want []byte) {
	var a, b []int
	for f := range 500 {
		a = append(a, f)
		if f == 100 {
			b = append(b, 1000)
		}
		if f != 7 && f != 300 {
			b = append(b, f)
		}
	}
	return program(a), program(b)
}

func TestProgram(t *testing.T) {
	t.Parallel()
	old, want := linked()
	p := mustMake(t, old, want, delta.Limits{})
	if n := compressed(t, p); n > 1900 {
		t.Errorf("the patch of a program of %d bytes takes %d", len(want), n)
	}
	checkConcatenates(t, []*delta.Patch{p}, old, want)
	parts := p.Split(500)
	if len(parts) < 2 {
		t.Error("the patch was not split")
	}
	checkConcatenates(t, parts, old, want)
	for _, offset := range []int{0, 1, 4099, 5000, 100_001, len(want) - 3, len(want)} {
		rest := p.From(int64(offset))
		checkConcatenates(t, append(rest.Split(500), p.From(int64(len(want)))), old, want[offset:])
		checkMakes(t, rest.From(2), old, want[min(offset+2, len(want)):])
	}
	if err := iotest.TestReader(p.Reader(bytes.NewReader(old)), want); err != nil {
		t.Error(err)
	}
}

// TestProgramOtherBase applies a patch to what it was not made for.
func TestProgramOtherBase(t *testing.T) {
	t.Parallel()
	old, want := linked()
	p := mustMake(t, old, want, delta.Limits{})
	for i := range old {
		old[i] += byte(i)
	}
	var out bytes.Buffer
	if n, err := out.ReadFrom(p.Reader(bytes.NewReader(old))); err != nil || n != p.Size() {
		t.Errorf("%d of %d bytes: %v", n, p.Size(), err)
	}
}
