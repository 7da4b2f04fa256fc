package archive

import (
	"fmt"
	"strings"
)

// Limits of names and counts. They are far above what a release needs, and
// bound what a hostile archive can make its reader do.
const (
	MaxEntries   = 256 // files and directories in an archive
	MaxNameBytes = 240
	MaxNameDepth = 8
)

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '+' || c == '-' || c == '/'
}

// checkName refuses a slash-separated name, without trailing slash, that is not
// harmless on every system that may read the archive.
func checkName(name string) *Error {
	bad := func(format string, args ...any) *Error {
		return refuse(BadName, name, "the name "+fmt.Sprintf(format, args...))
	}
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > MaxNameBytes:
		return bad("has %d bytes, more than %d", len(name), MaxNameBytes)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return bad("has the byte %#02x; letters, digits and . _ + - / are allowed", name[i])
		}
	}
	if name[0] == '/' {
		return bad("is absolute")
	}
	parts := strings.Split(name, "/")
	if len(parts) > MaxNameDepth {
		return bad("has %d levels, more than %d", len(parts), MaxNameDepth)
	}
	for _, part := range parts {
		switch {
		case part == "":
			return bad("has an empty component")
		case part == "." || part == "..":
			return bad("has the component %q", part)
		case strings.HasSuffix(part, "."):
			return bad("has a component that ends in a dot")
		case reservedOnWindows(part):
			return bad("has the component %q, a device on Windows", part)
		}
	}
	return nil
}

func reservedOnWindows(part string) bool {
	stem, _, _ := strings.Cut(strings.ToLower(part), ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && '0' <= stem[3] && stem[3] <= '9'
}

// A nameSet refuses names that some file system would take for one another.
type nameSet struct {
	kind map[string]byte // by lower-case name: 'f' file, 'd' directory entry, 'p' implied by a longer name
}

// add takes a name that checkName accepted.
func (s *nameSet) add(name string, dir bool) *Error {
	if s.kind == nil {
		s.kind = make(map[string]byte)
	}
	key := strings.ToLower(name)
	switch was := s.kind[key]; {
	case was == 'f' || was == 'd':
		return refuse(DuplicateName, name, "another entry has this name, upper and lower case aside")
	case was == 'p' && !dir:
		return refuse(DuplicateName, name, "another entry has this name as its directory")
	}
	for i := range len(key) {
		if key[i] != '/' {
			continue
		}
		if s.kind[key[:i]] == 'f' {
			return refuse(DuplicateName, name, "its directory is a file elsewhere in the archive")
		}
		if s.kind[key[:i]] == 0 {
			s.kind[key[:i]] = 'p'
		}
	}
	s.kind[key] = 'f'
	if dir {
		s.kind[key] = 'd'
	}
	return nil
}
