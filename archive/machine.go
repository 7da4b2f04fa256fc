package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
)

// machineBytes is how much of a program is looked at: more than any linker puts
// before the headers that say what it runs on.
const machineBytes = 4 << 10

// checkProgram looks at the first bytes of a program, as the store has it, for
// whether it can run on p. It is a guard against a release packed wrongly, not
// against a hostile one: that is what signatures are for.
//
// On Unix a script is accepted, whatever its interpreter. What is asked of an
// operating system or architecture that is not listed here is only as much as
// is known.
func checkProgram(ctx context.Context, s Opener, p Platform, f File) error {
	r, _, err := s.Open(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	b := make([]byte, min(f.Size, machineBytes))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if what := runsOn(b, p); what != "" {
		return refuse(WrongMachine, f.Name, what+", which does not run on "+p.String())
	}
	return nil
}

// runsOn returns "" if b is the start of a program for p, and otherwise what it
// is instead.
func runsOn(b []byte, p Platform) string {
	if len(b) == 0 {
		return "is empty"
	}
	var is func(b []byte, arch string) (program, machine bool)
	switch p.OS {
	case "linux", "android", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos":
		is = elfProgram
	case "darwin", "ios":
		is = machoProgram
	case "windows":
		is = peProgram
	default:
		return ""
	}
	if p.OS != "windows" && bytes.HasPrefix(b, []byte("#!")) {
		return ""
	}
	program, machine := is(b, p.Arch)
	switch {
	case !program:
		return "is " + sniff(b)
	case !machine:
		return "is built for another machine"
	}
	return ""
}

// elfProgram reads the ELF header (System V ABI, chapter 4).
func elfProgram(b []byte, arch string) (program, machine bool) {
	const class32, class64, little, big = 1, 2, 1, 2
	if len(b) < 20 || string(b[:4]) != "\x7fELF" {
		return false, false
	}
	class, data := b[4], b[5]
	var order binary.ByteOrder = binary.LittleEndian
	if data == big {
		order = binary.BigEndian
	}
	if kind := order.Uint16(b[16:]); kind != 2 && kind != 3 { // executable, position independent
		return false, false
	}
	for _, m := range []struct {
		arch        string
		class, data byte
		machine     uint16
	}{
		{"386", class32, little, 3},
		{"amd64", class64, little, 62},
		{"arm", class32, little, 40},
		{"arm64", class64, little, 183},
		{"loong64", class64, little, 258},
		{"mips", class32, big, 8},
		{"mipsle", class32, little, 8},
		{"mips64", class64, big, 8},
		{"mips64le", class64, little, 8},
		{"ppc64", class64, big, 21},
		{"ppc64le", class64, little, 21},
		{"riscv64", class64, little, 243},
		{"s390x", class64, big, 22},
	} {
		if m.arch == arch {
			return true, class == m.class && data == m.data && order.Uint16(b[18:]) == m.machine
		}
	}
	return true, true
}

// machoProgram reads the Mach-O header, or the list of them in a universal file
// (mach-o/loader.h, mach-o/fat.h).
func machoProgram(b []byte, arch string) (program, machine bool) {
	const executable = 2
	want, known := uint32(0), true
	switch arch {
	case "amd64":
		want = 0x01000007
	case "arm64":
		want = 0x0100000c
	case "386":
		want = 7
	case "arm":
		want = 12
	default:
		known = false
	}
	le, be := binary.LittleEndian, binary.BigEndian
	switch {
	case len(b) < 16:
		return false, false
	case le.Uint32(b) == 0xfeedfacf || le.Uint32(b) == 0xfeedface:
		return le.Uint32(b[12:]) == executable, !known || le.Uint32(b[4:]) == want
	case be.Uint32(b) == 0xcafebabe: // also Java's; there the count is a version, and larger
		n := int(be.Uint32(b[4:]))
		if n == 0 || n > 30 || len(b) < 8+20*n {
			return false, false
		}
		var types []uint32
		for i := range n {
			types = append(types, be.Uint32(b[8+20*i:]))
		}
		return true, !known || slices.Contains(types, want)
	}
	return false, false
}

// peProgram reads the COFF header (Microsoft PE format).
func peProgram(b []byte, arch string) (program, machine bool) {
	const executable, library = 0x0002, 0x2000
	if len(b) < 0x40 || string(b[:2]) != "MZ" {
		return false, false
	}
	le := binary.LittleEndian
	at := int64(le.Uint32(b[0x3c:]))
	if at+24 > int64(len(b)) || string(b[at:at+4]) != "PE\x00\x00" {
		return false, false
	}
	flags := le.Uint16(b[at+22:])
	if flags&executable == 0 || flags&library != 0 {
		return false, false
	}
	have := le.Uint16(b[at+4:])
	switch arch {
	case "386":
		return true, have == 0x14c
	case "amd64":
		return true, have == 0x8664
	case "arm":
		return true, have == 0x1c4
	case "arm64":
		return true, have == 0xaa64
	}
	return true, true
}
