package capabilities

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/syndtr/gocapability/capability"
	"golang.org/x/sys/unix"
)

const attribute = "security.capability"

// Layout of the attribute, from linux/capability.h (struct vfs_ns_cap_data):
// little-endian words, the first one revision and flags, then permitted and
// inheritable once or twice, then in revision 3 the user id that is root in the
// namespace for which the set holds.
const (
	revisionMask = 0xff000000
	revision1    = 0x01000000
	revision2    = 0x02000000
	revision3    = 0x03000000
	effectiveBit = 0x00000001
)

// A set is the content of the attribute.
type set struct {
	raw         []byte // as read; nil if the file has none
	permitted   uint64
	inheritable uint64
	effective   bool // one flag for all
	root        uint32
}

// same compares what two sets mean; the layout of one may be older.
func (s set) same(o set) bool {
	return (s.raw == nil) == (o.raw == nil) && s.permitted == o.permitted &&
		s.inheritable == o.inheritable && s.effective == o.effective && s.root == o.root
}

// read returns the set of path. A file without any, and a file system that
// cannot hold any, yield the zero set. gocapability would tell neither apart
// from a failure, so the attribute is asked for here.
func read(path string) (set, error) {
	var p [64]byte
	n, err := retry(func() (int, error) { return unix.Getxattr(path, attribute, p[:]) })
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return set{}, nil
	case errors.Is(err, unix.EOVERFLOW): // the kernel cannot express it in our namespace
		return set{}, fmt.Errorf("read %s: %w", path, ErrNamespaced)
	case err != nil:
		return set{}, &fs.PathError{Op: "read capabilities", Path: path, Err: err}
	}
	s, err := decode(p[:n])
	if err != nil {
		return set{}, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

func decode(p []byte) (set, error) {
	if len(p) < 4 {
		return set{}, fmt.Errorf("attribute of %d bytes", len(p))
	}
	word := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(p[4*i:])) }
	s := set{raw: append([]byte{}, p...), effective: word(0)&effectiveBit != 0}
	revision := word(0) & revisionMask
	want := map[uint64]int{revision1: 12, revision2: 20, revision3: 24}[revision]
	if want == 0 || len(p) != want {
		return set{}, fmt.Errorf("attribute of revision %d and %d bytes is unknown", revision>>24, len(p))
	}
	s.permitted, s.inheritable = word(1), word(2)
	if revision != revision1 {
		s.permitted |= word(3) << 32
		s.inheritable |= word(4) << 32
	}
	if revision == revision3 {
		s.root = uint32(word(5))
	}
	return s, nil
}

// text returns the set of path in the form that setcap reads.
func text(path string, s set) (string, error) {
	if s.raw == nil {
		return "", nil
	}
	if s.root != 0 {
		return "", fmt.Errorf("%s, of root id %d: %w", path, s.root, ErrNamespaced)
	}
	c, err := capability.NewFile2(path)
	if err == nil {
		err = c.Load()
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	var clauses []string
	names := make(map[string][]string) // by flags
	for i := capability.Cap(0); i < 64; i++ {
		flags := ""
		for _, k := range []struct {
			kind capability.CapType
			flag string
		}{{capability.EFFECTIVE, "e"}, {capability.INHERITABLE, "i"}, {capability.PERMITTED, "p"}} {
			if c.Get(k.kind, i) {
				flags += k.flag
			}
		}
		if flags == "" {
			continue
		}
		if names[flags] == nil {
			clauses = append(clauses, flags)
		}
		names[flags] = append(names[flags], nameOf(i))
	}
	if len(clauses) == 0 {
		return "=", nil
	}
	for i, flags := range clauses {
		clauses[i] = strings.Join(names[flags], ",") + "=" + flags
	}
	return strings.Join(clauses, " "), nil
}

// nameOf gives a capability that is newer than our list its number, which
// setcap takes as well.
func nameOf(c capability.Cap) string {
	if name := c.String(); name != "unknown" {
		return "cap_" + name
	}
	return strconv.Itoa(int(c))
}

func retry(call func() (int, error)) (n int, err error) {
	for n, err = call(); err == unix.EINTR; n, err = call() {
	}
	return n, err
}
