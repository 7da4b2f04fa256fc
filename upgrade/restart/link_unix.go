//go:build unix

package restart

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// claimLink returns the link to the program before if this process is the child
// that it started: nil, and nothing is touched, otherwise. A child of that child
// may have inherited all of it; its parent is another, and lives.
func claimLink(l *link, parent int) *elder {
	b := make([]byte, len(l.Nonce))
	if l.FD < firstFD || len(b) == 0 {
		return nil
	}
	if n, _, err := unix.Recvfrom(l.FD, b, unix.MSG_PEEK|unix.MSG_DONTWAIT); err != nil || string(b[:n]) != l.Nonce {
		return nil
	}
	if os.Getppid() != parent && !hungUp(l.FD) {
		return nil
	}
	if _, _, err := unix.Recvfrom(l.FD, b, unix.MSG_DONTWAIT); err != nil {
		return nil
	}
	if setCloseOnExec(l.FD, true) != nil || unix.SetNonblock(l.FD, true) != nil {
		return nil
	}
	return &elder{pid: parent, link: os.NewFile(uintptr(l.FD), "link to the program before")}
}

// hungUp reports whether the other end of a socket pair is closed.
func hungUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLHUP != 0
}

// openLink returns both ends of a link in which the nonce waits for the child. Only
// ours has deadlines.
func openLink(nonce string) (ours *os.File, theirs int, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	if _, err = unix.Write(fds[0], []byte(nonce)); err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, -1, os.NewSyscallError("link", err)
	}
	return os.NewFile(uintptr(fds[0]), "link to the successor"), fds[1], nil
}

// duplicate returns another descriptor of what c has open, -1 if it is closed.
func duplicate(c syscall.Conn) (fd int, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return -1, nil // closed
	}
	var dup error
	if err := rc.Control(func(n uintptr) { fd, dup = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, firstFD) }); err != nil {
		return -1, nil
	}
	return fd, os.NewSyscallError("dup", dup)
}
