package spoil

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropCapabilities gives up all of them, in every thread. It works in programs
// that were built without cgo.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	switch {
	case errno == syscall.ENOTSUP:
		return fmt.Errorf("give capabilities up: build with CGO_ENABLED=0: %w", errors.ErrUnsupported)
	case errno != 0:
		return fmt.Errorf("give capabilities up: %w", errno)
	}
	return nil
}
