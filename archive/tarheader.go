package archive

import (
	"bytes"
	"strconv"
	"strings"
)

// A tarHeader is a header block in ustar form (POSIX.1-1988, and pax of 2001
// which builds on it) or in that of GNU tar, which differs in its magic and has
// no prefix.
type tarHeader struct {
	kind byte
	name string
	size int64
	mode uint32
	link bool // names a link target
}

// header reads a header block, and nil for the two zero blocks of the end.
func (s *tarStream) header() (*tarHeader, error) {
	b := make([]byte, tarBlock)
	if err := s.full(b); err != nil {
		return nil, err
	}
	if allZero(b) {
		if err := s.full(b); err != nil {
			return nil, err
		}
		if !allZero(b) {
			return nil, refuse(Malformed, "", "a single zero block stands inside the tar archive")
		}
		return nil, nil
	}
	return parseTarHeader(b)
}

func parseTarHeader(b []byte) (*tarHeader, error) {
	posix := string(b[257:265]) == "ustar\x0000"
	if !posix && string(b[257:265]) != "ustar  \x00" {
		return nil, refuse(NotAnArchive, "", "what the gzip data holds is "+sniff(b)+", not a tar archive")
	}
	sum, err := tarNumber(b[148:156])
	if err != nil || sum != tarChecksum(b) {
		return nil, refuse(Corrupt, "", "a tar header does not match its checksum")
	}
	h := &tarHeader{kind: b[156]}
	if h.name, err = tarString(b[0:100]); err != nil {
		return nil, err
	}
	if posix {
		prefix, err := tarString(b[345:500])
		if err != nil {
			return nil, err
		}
		if prefix != "" {
			h.name = prefix + "/" + h.name
		}
	}
	link, err := tarString(b[157:257])
	if err != nil {
		return nil, err
	}
	h.link = link != ""
	mode, err := tarNumber(b[100:108])
	if err != nil {
		return nil, err
	}
	h.mode = uint32(mode)
	h.size, err = tarNumber(b[124:136])
	return h, err
}

// tarChecksum adds up all bytes, those of the checksum itself taken as spaces.
func tarChecksum(b []byte) int64 {
	var sum int64
	for i, c := range b {
		if 148 <= i && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

// tarString reads a field that a zero byte ends unless it is full.
func tarString(b []byte) (string, error) {
	s, rest, _ := bytes.Cut(b, []byte{0})
	if !allZero(rest) {
		return "", refuse(HiddenData, "", "a tar header has data behind a name")
	}
	return string(s), nil
}

// tarNumber reads an octal field. The other form, of GNU tar, is for numbers
// that no release has.
func tarNumber(b []byte) (int64, error) {
	s := strings.Trim(string(b), " \x00")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, refuse(Malformed, "", "a tar header has a number that is not octal")
	}
	return int64(n), nil
}

// paxPath reads the records of a pax header and returns the path, if one is
// there. Of other records only those without influence on content are accepted.
func paxPath(b []byte) (path string, err error) {
	seen := make(map[string]bool)
	for len(b) > 0 {
		digits, _, ok := bytes.Cut(b, []byte{' '})
		n, err := strconv.ParseUint(string(digits), 10, 16)
		if !ok || err != nil || int(n) > len(b) || int(n) < len(digits)+2 || b[n-1] != '\n' {
			return "", refuse(Malformed, "", "a pax header is damaged")
		}
		key, value, ok := strings.Cut(string(b[len(digits)+1:n-1]), "=")
		if !ok || seen[key] {
			return "", refuse(Malformed, "", "a pax header is damaged")
		}
		seen[key] = true
		b = b[n:]
		switch key {
		case "mtime", "atime", "ctime", "uid", "gid", "uname", "gname":
		case "path":
			if value == "" {
				return "", refuse(Malformed, "", "a pax header has an empty path")
			}
			path = value
		default:
			return "", refuse(Unsupported, "", "a pax header has the key "+quoteName(key))
		}
	}
	return path, nil
}
