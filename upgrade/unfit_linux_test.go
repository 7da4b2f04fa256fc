package upgrade

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/capabilities"
)

// What the next program has to have is what its file will give, as far as the
// process of this one had it at Boot: not what it was raised to have, nor what it
// has given up since.
func TestGuardCapabilities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvd")
	p := Program{Path: path}
	for name, caps := range map[string]string{path: "cap_net_bind_service,cap_net_raw=ep", p.PreviousPath(): "cap_net_raw=ep", p.NextPath(): ""} {
		if err := os.WriteFile(name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if caps != "" {
			setcap(t, caps, name)
		}
	}
	for name, c := range map[string]struct {
		rights *rights
		back   bool
		want   capabilities.Set
	}{
		"of root":                  {&rights{permitted: every}, false, lowPorts | rawSockets},
		"of root, back":            {&rights{permitted: every}, true, rawSockets},
		"of a user":                {&rights{permitted: lowPorts | rawSockets}, false, lowPorts | rawSockets},
		"not all took effect here": {&rights{permitted: lowPorts}, false, lowPorts},
		"not those, back":          {&rights{permitted: lowPorts}, true, 0},
		"not known":                {nil, false, 0},
	} {
		o := &Orchestrator{c: Config{Started: &Started{Program: p, rights: c.rights}}}
		if g := o.guard(c.back); g.Capabilities != c.want {
			t.Errorf("%s: it has to have %q, want %q", name, g.Capabilities, c.want)
		}
	}
	p.Path = p.NextPath() // without any
	if g := (&Orchestrator{c: Config{Started: &Started{Program: p, rights: &rights{permitted: every}}}}).guard(false); g.Capabilities != 0 {
		t.Errorf("of a file without any: %q", g.Capabilities)
	}
	if g := (&Orchestrator{c: Config{StartLimit: -1, Started: &Started{Program: p}}}).guard(false); g != nil {
		t.Errorf("nothing is to be guarded: %+v", g)
	}
}

// A process on a file system that gives no capabilities is not to blame.
func TestRightsOf(t *testing.T) {
	now, err := capabilities.OfProcess()
	if err != nil {
		t.Fatal(err)
	}
	dir, nosuid := t.TempDir(), prereqMount(t, "tmpfs", "tmpfs", unix.MS_NOSUID, "size=4k")
	for path, want := range map[string]capabilities.Set{dir: now.Bounding, nosuid: 0, filepath.Join(dir, "none"): 0} {
		if r := rightsOf(Program{Path: path}); r == nil || r.permitted != now.Permitted || r.attainable != want {
			t.Errorf("%s: %+v, want %q of %+v", path, r, want, now)
		}
	}
}
