package capabilities

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a process has is what the kernel says by another way.
func TestOfProcess(t *testing.T) {
	p, err := OfProcess()
	if err != nil {
		t.Fatal(err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	if want := Set(data[0].Permitted) | Set(data[1].Permitted)<<32; p.Permitted != want {
		t.Errorf("permitted %x, want %x", p.Permitted, want)
	}
	var bounding Set
	for i := range uintptr(64) {
		if in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, i, 0, 0, 0); err == nil && in == 1 {
			bounding |= 1 << i
		}
	}
	if p.Bounding != bounding {
		t.Errorf("bounding %x, want %x", p.Bounding, bounding)
	}
}

func TestParseStatus(t *testing.T) {
	const text = "Name:\tcapPrm: 1\nTracerPid:\t0\nCapPrm:\t0000000000002400\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\n"
	plain := Process{Permitted: 0x2400, Bounding: 0x1ffffffffff}
	held := plain
	held.NoGain = true
	for name, c := range map[string]struct {
		old, new string
		want     Process
	}{
		"as it is":             {"", "", plain},
		"no new privileges":    {"NoNewPrivs:\t0", "NoNewPrivs:\t1", held},
		"traced":               {"TracerPid:\t0", "TracerPid:\t812", held},
		"of an older kernel":   {"NoNewPrivs:\t0\n", "", plain},
		"without capabilities": {"CapPrm:", "CapXyz:", Process{}},
		"no number":            {"0000000000002400", "all", Process{}},
	} {
		got, err := parseStatus(strings.Replace(text, c.old, c.new, 1))
		if got != c.want || (err == nil) != (c.want != Process{}) {
			t.Errorf("%s: %+v, want %+v: %v", name, got, c.want, err)
		}
	}
}

func TestOfFile(t *testing.T) {
	needsRoot(t)
	path := file(t, t.TempDir(), "f", raw(revision2, 1<<10|1<<13|1<<40, 1<<21, true, 0))
	got, err := OfFile(path)
	if want := Set(1<<10 | 1<<13 | 1<<40); err != nil || got != want {
		t.Errorf("%x, want %x: %v", got, want, err)
	}
	if text := got.String(); text != "cap_net_bind_service,cap_net_raw,cap_checkpoint_restore" && text != "cap_net_bind_service,cap_net_raw,40" {
		t.Errorf("they are called %q", text)
	}
	if got, err := OfFile(os.DevNull); err != nil || got != 0 || got.String() != "" {
		t.Errorf("none are %q: %v", got, err)
	}
	if _, err := OfFile(path + "-not"); !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

// NoGain is what the kernel makes of it: under it a file gives nothing.
func TestNoGain(t *testing.T) {
	needsRoot(t)
	tool, err := exec.LookPath("setpriv")
	needs(t, err == nil, "setpriv")
	out, err := exec.Command(tool, "--no-new-privs", "cat", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := parseStatus(string(out)); err != nil || !p.NoGain {
		t.Errorf("%+v, %v", p, err)
	}
}
