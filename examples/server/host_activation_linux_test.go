package main

import (
	"net"
	"os"
	"strconv"
	"testing"
)

// TestActivatedSocket starts the server as a service manager does that listens
// in its place. The server takes that socket, and so does the next version: it
// is the same one all along, and nobody who calls is refused.
func TestActivatedSocket(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	h := install(t, t.TempDir(), 0, 0)
	h.args = []string{"--listen", l.Addr().String()} // in use: only the socket passed can serve it
	h.with = []string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kvd exec "$@"`, "-"}
	h.files = []*os.File{socket}
	h.serve()
	before := descriptor(t, h.pid, 3)
	if want := descriptor(t, os.Getpid(), int(socket.Fd())); before != want {
		t.Errorf("the server has %s as its descriptor 3, was passed %s", before, want)
	}
	h.stage()
	calls := h.call()
	h.run()
	h.finished()
	if n := calls(); n == 0 {
		t.Error("nobody called meanwhile")
	}
	if after := descriptor(t, h.pid, 3); after != before {
		t.Errorf("descriptor 3 was %s, is %s", before, after)
	}
	if got := h.info(); got.PID != h.pid {
		t.Errorf("pid %d, was %d", got.PID, h.pid)
	}
	if got, want := h.url, "http://"+l.Addr().String(); got != want {
		t.Errorf("it serves %s, want %s", got, want)
	}
	h.tidy()
}

// descriptor is what a process has open under a number.
func descriptor(t testing.TB, pid, fd int) string {
	t.Helper()
	what, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	return what
}
