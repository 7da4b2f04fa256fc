package capabilities

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/syndtr/gocapability/capability"
)

// String returns the names in the form that setcap reads, such as
// cap_net_bind_service,cap_net_raw; "" if there are none.
func (s Set) String() string {
	var names []string
	for i := range capability.Cap(64) {
		if s&(1<<i) != 0 {
			names = append(names, nameOf(i))
		}
	}
	return strings.Join(names, ",")
}

// OfFile returns those that the file at path gives to the process that becomes
// its program, as far as that may get any.
func OfFile(path string) (Set, error) {
	s, err := read(path)
	if err != nil {
		return 0, fmt.Errorf("capabilities: %w", err)
	}
	return Set(s.permitted), nil
}

// OfProcess returns those of this process, of its first thread. Where there are
// none the error wraps errors.ErrUnsupported.
func OfProcess() (Process, error) {
	const path = "/proc/self/status"
	text, err := os.ReadFile(path)
	if err != nil {
		return Process{}, fmt.Errorf("capabilities: %w", err)
	}
	p, err := parseStatus(string(text))
	if err != nil {
		return Process{}, fmt.Errorf("capabilities: %s: %w", path, err)
	}
	return p, nil
}

// parseStatus reads the lines of proc(5) that matter here.
func parseStatus(text string) (Process, error) {
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		lines[name] = strings.TrimSpace(value)
	}
	var p Process
	for name, set := range map[string]*Set{"CapPrm": &p.Permitted, "CapBnd": &p.Bounding} {
		n, err := strconv.ParseUint(lines[name], 16, 64)
		if err != nil {
			return Process{}, fmt.Errorf("its %s is %q: %w", name, lines[name], fs.ErrInvalid)
		}
		*set = Set(n)
	}
	for _, name := range []string{"NoNewPrivs", "TracerPid"} {
		p.NoGain = p.NoGain || lines[name] != "0" && lines[name] != ""
	}
	return p, nil
}
