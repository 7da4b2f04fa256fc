package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

func TestDiskFullHalfway(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root: it mounts a small file system")
	}
	mount, err := exec.LookPath("mount")
	if err != nil {
		skip(t, "needs mount")
	}
	t.Parallel()
	var where string
	k := startKVD(t, kvdConfig{prepare: func(k *kvd, _ *exec.Cmd) {
		where = filepath.Join(k.data, "archives")
		if err := os.MkdirAll(where, 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mount, "-t", "tmpfs", "-o", "size=1m,mode=0700", "kvd-test", where).CombinedOutput(); err != nil {
			skip(t, "needs to mount a tmpfs: "+string(out))
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", "-l", where).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
	}})
	was := k.fresh()
	free := func() uint64 {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(where, &fs); err != nil {
			t.Fatal(err)
		}
		return fs.Bfree
	}
	before := free()
	fill := func(n int) func(*archive.PackConfig) {
		return func(c *archive.PackConfig) {
			c.Files = append(c.Files, inMemory("assets/large", bytes.Repeat([]byte("x"), n)))
		}
	}
	for name, body := range map[string][]byte{
		"while it comes in": mock(t, "1.1.0", 2, k.key, fill(2<<20)),
		"while unpacked":    mock(t, "1.1.0", 2, k.key, fill(600<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"system/upgrade/stage", "system/upgrade"} {
				k.upload(path, body).refused(t, http.StatusInsufficientStorage, "StoreFull")
				k.unchanged(t, was)
			}
			if now := free(); now != before {
				t.Errorf("%d blocks are free, %d were", now, before)
			}
		})
	}
	k.upload("system/upgrade/stage", mock(t, "1.1.0", 2, k.key, nil)).ok(t, http.StatusCreated)
}
