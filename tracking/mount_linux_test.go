package tracking_test

import (
	"os"
	"syscall"
	"testing"
)

// mountSmall returns a directory with room for 64 KiB.
func mountSmall(t *testing.T) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("LEADERLAST_NOSKIP") != "" {
			t.Fatal("needs the right to mount a tmpfs: ", err)
		}
		t.Skip("needs the right to mount a tmpfs: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
