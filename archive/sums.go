package archive

import (
	"bytes"
	"fmt"
	"strings"
)

// A sum is one line of sha256sums.
type sum struct {
	name   string
	digest Digest
}

// parseSums reads sha256sums: lines of 64 lower-case hexadecimal digits, two
// spaces or a space and an asterisk, and a name, each ended by a line feed. A
// leading "./" of a name, as `find . -type f` gives, is taken off once. Comments,
// empty lines, carriage returns and the escaped names of GNU sha256sum are not
// accepted.
func parseSums(b []byte) ([]sum, error) {
	bad := func(line int, what string) error {
		return refuse(BadSums, SumsName, fmt.Sprintf("line %d %s", line, what))
	}
	switch {
	case len(b) > maxSums:
		return nil, refuse(TooLarge, SumsName, fmt.Sprintf("has more than %d bytes", maxSums))
	case len(b) == 0:
		return nil, refuse(BadSums, SumsName, "is empty")
	case b[len(b)-1] != '\n':
		return nil, refuse(BadSums, SumsName, "does not end with a line feed: it was cut off")
	}
	var sums []sum
	var names nameSet
	for i, text := range bytes.Split(b[:len(b)-1], []byte{'\n'}) {
		line := string(text)
		if len(line) < 67 || line[64] != ' ' || line[65] != ' ' && line[65] != '*' {
			return nil, bad(i+1, "is not a digest, two spaces and a name")
		}
		if !isHex64(line[:64]) {
			return nil, bad(i+1, "has a digest that is not 64 lower-case hexadecimal digits")
		}
		name := strings.TrimPrefix(line[66:], "./")
		if err := checkName(name); err != nil {
			return nil, bad(i+1, "has an unacceptable name: "+err.Detail)
		}
		if name == SumsName || isSignatureName(name) {
			return nil, bad(i+1, "lists "+name+", which cannot be listed")
		}
		if err := names.add(name, false); err != nil {
			return nil, bad(i+1, "repeats a name: "+quoteName(name)+": "+err.Detail)
		}
		if len(sums) == MaxEntries {
			return nil, refuse(TooManyFiles, SumsName, fmt.Sprintf("lists more than %d files", MaxEntries))
		}
		sums = append(sums, sum{name, Digest(digestPrefix + line[:64])})
	}
	return sums, nil
}

// formatSums writes what parseSums reads and `sha256sum -c` checks.
func formatSums(sums []sum) []byte {
	var b bytes.Buffer
	for _, s := range sums {
		fmt.Fprintf(&b, "%s  %s\n", s.digest.Hex(), s.name)
	}
	return b.Bytes()
}
