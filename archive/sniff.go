package archive

import (
	"bytes"
	"strings"
)

// sniffBytes is how much of the start sniff wants to see: a tar says what it is
// at byte 257.
const sniffBytes = 512

// sniff names what b is the start of, for an operator who sent the wrong file.
func sniff(b []byte) string {
	if len(b) == 0 {
		return "an empty file"
	}
	for _, m := range []struct{ magic, what string }{
		{"\x7fELF", "an ELF executable"},
		{"MZ", "a Windows executable"},
		{"\xcf\xfa\xed\xfe", "a Mach-O executable"},
		{"\xce\xfa\xed\xfe", "a Mach-O executable"},
		{"\xca\xfe\xba\xbe", "a universal Mach-O executable"},
		{"#!", "a script"},
		{"BZh", "a bzip2 file"},
		{"\xfd7zXZ\x00", "an xz file"},
		{"\x28\xb5\x2f\xfd", "a zstandard file"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{"Rar!", "a rar archive"},
		{"!<arch>", "an ar or deb archive"},
		{"\xed\xab\xee\xdb", "an rpm package"},
		{"%PDF", "a PDF document"},
		{"PK", "a damaged or split zip archive"},
		{"untrusted comment:", "a minisign key or signature"},
	} {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.what
		}
	}
	if len(b) >= 262 && string(b[257:262]) == "ustar" {
		return "a tar archive that is not compressed"
	}
	text := strings.ToLower(strings.TrimSpace(string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"), strings.HasPrefix(text, "<head"):
		return "an HTML page, perhaps the error page of a proxy or a login form"
	case strings.HasPrefix(text, "<?xml"):
		return "an XML document"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "a JSON document"
	case strings.HasPrefix(text, "--") && strings.Contains(text, "content-disposition:"):
		return "a multipart form (send the archive as the body itself)"
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return "a run of zero bytes"
	}
	for _, c := range b {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return "a file of unknown kind"
		}
	}
	return "a text"
}
