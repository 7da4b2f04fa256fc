package restart

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckNoExecMount(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root: mounts a file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
		skip(t, "needs the right to mount: "+err.Error())
	}
	defer syscall.Unmount(dir, 0)
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkProgram(path); err == nil || !strings.Contains(err.Error(), "noexec") {
		t.Errorf("%v, want noexec named", err)
	}
}
