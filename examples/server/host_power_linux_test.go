package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/capabilities"
)

// A powered is a server on a disk of its own, whose power can be cut.
type powered struct {
	*hosted
	image string
}

// powerUp installs a server on a fresh ext4 file system.
func powerUp(t testing.TB) *powered {
	t.Helper()
	dir := t.TempDir()
	p := &powered{image: filepath.Join(dir, "disk")}
	if err := os.WriteFile(p.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p.image, 160<<20); err != nil {
		t.Fatal(err)
	}
	sh(t, "mkfs.ext4", "-q", p.image)
	disk := filepath.Join(dir, "mounted")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", p.image, disk).CombinedOutput(); err != nil {
		skip(t, "needs loop mounts of ext4: "+string(out))
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	p.hosted = install(t, disk, 0, 0)
	sh(t, "setcap", "cap_net_bind_service+ep", p.program)
	sh(t, "sync", "-f", disk)
	return p
}

// cut switches the power off: what the disk does not have by now is lost. Then
// the machine starts again.
func (p *powered) cut() {
	p.t.Helper()
	disk, err := os.Open(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	const shutdown, noLogFlush = 0x8004587d, 2 // of fs/ext4/ioctl.c: EXT4_IOC_SHUTDOWN
	err = unix.IoctlSetPointerInt(int(disk.Fd()), shutdown, noLogFlush)
	disk.Close()
	if err != nil {
		skip(p.t, "ext4 cannot be shut down here: "+err.Error())
	}
	p.kill()
	if err := unix.Unmount(p.dir, unix.MNT_DETACH); err != nil {
		p.t.Fatal(err)
	}
	// A copy, since somebody's mount namespace may keep the dead one mounted.
	image := p.image + "-after"
	sh(p.t, "cp", "--sparse=always", p.image, image)
	p.remove()
	p.image = image
	sh(p.t, "mount", "-o", "loop", p.image, p.dir)
	if got, err := capabilities.Text(p.program); err != nil || got != "cap_net_bind_service=ep" {
		p.t.Errorf("capabilities of the program after the cut: %q, %v", got, err)
	}
	if got := stateOf(p.t, p.program).Mode; got != 0o755 {
		p.t.Errorf("mode of the program after the cut: %v", got)
	}
}

// remove gives the room of the disk back.
func (p *powered) remove() {
	p.t.Helper()
	if err := os.Remove(p.image); err != nil {
		p.t.Fatal(err)
	}
}

// TestPowerCutAfterTheEnd: what was reported as finished is so for good.
func TestPowerCutAfterTheEnd(t *testing.T) {
	t.Parallel()
	needsRoot(t, "mkfs.ext4", "mount", "setcap", "sync")
	p := powerUp(t)
	p.serve()
	p.stage()
	p.run()
	p.await(0, "run.finished: ")
	p.cut()
	if got := p.installedVersion(); got != "1.1.0" {
		t.Errorf("%s lies at the path, though 1.1.0 was reported", got)
	}
	p.holds("1.1.0")
	p.serve()
	p.finished()
	p.tidy()
}

// TestPowerCuts cuts the power at random moments of upgrades. The path always
// has a complete program with its capabilities, and the upgrade goes on.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	needsRoot(t, "mkfs.ext4", "mount", "setcap", "sync")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	key := newKey(t)
	release := packed(t, "1.1.0", 2, key, nil)
	moments := []string{"run.staged: ", "run.started: ", "member.claimed: ", "member.prepared: ", "member.restarting: ",
		"member.rejoining: ", "member.done: ", "run.finished: "}
	ends := map[string]int{}
	for range 10 {
		p := powerUp(t)
		p.trust(key)
		sh(t, "sync", "-f", p.dir)
		p.serve()
		p.upload("system/upgrade/stage", release).ok(t, http.StatusCreated)
		run, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/v3/system/upgrade/run", nil)
		if err != nil {
			t.Fatal(err)
		}
		run.SetBasicAuth(p.login())
		line := moments[random.IntN(len(moments))]
		go p.http.Do(run) // the cut may come first
		p.await(0, line)
		// Not to synchronise with anything: the moment is the test.
		time.Sleep(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
		p.cut()
		version := p.installedVersion()
		ends[version]++
		p.serve()
		if got := p.info().Version; got != version {
			t.Errorf("%s serves, %s lay at the path", got, version)
		}
		if s := p.status(); s.Status == "staged" {
			p.run()
		}
		p.finished()
		p.tidy()
		p.end(p.ended)
		if err := unix.Unmount(p.dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		p.remove()
	}
	t.Logf("after the cuts: %v", ends)
}
