package restart

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Variable is the environment variable by which a program tells the next one
// what it passes on. It holds for one process only, the same one after an exec or
// the child of a hand-over, and is removed by New.
const Variable = "LEADERLAST_SOCKETS"

// Variables of the service manager's protocol, sd_listen_fds(3).
const (
	listenPID     = "LISTEN_PID"
	listenPIDFDID = "LISTEN_PIDFDID"
	listenFDs     = "LISTEN_FDS"
	listenNames   = "LISTEN_FDNAMES"

	firstFD = 3
)

// A legacy is the value of Variable.
type legacy struct {
	Format  int       `json:"format"`
	PID     int       `json:"pid"`
	Started string    `json:"started"`           // of the process, as the kernel counts: exec keeps it, no other process has it
	Link    *link     `json:"link,omitempty"`    // to a parent, which PID and Started name then
	Manager []string  `json:"manager,omitempty"` // names of its sockets, from firstFD on, where the next PID is not known yet
	Sockets []bequest `json:"sockets,omitempty"`
	predecessor
}

// A link is the end of a socket pair by which a child tells its parent, the
// program before, how far it is. The nonce waits in it to be read: whoever has
// read it is the child that is meant.
type link struct {
	FD    int    `json:"fd"`
	Nonce string `json:"nonce"`
}

const legacyFormat = 1

// A bequest is one descriptor that is passed on.
type bequest struct {
	FD int `json:"fd"`
	key
}

// A predecessor is the word of the program that ran before in this process.
type predecessor struct {
	Ignored []int  `json:"ignored,omitempty"` // signals that are ignored for the restart's sake
	Counts  Report `json:"report"`
	Paused  mark   `json:"paused,omitzero"`

	known bool
}

// end stops the clock of the pause.
func (p *predecessor) end() {
	p.Counts = p.report()
	p.Paused = mark{}
}

func (p *predecessor) report() Report {
	r := p.Counts
	if p.known && p.Paused != (mark{}) {
		r.Paused = p.Paused.since()
	}
	return r
}

// A heirloom is an inherited descriptor. It is not an *os.File, which would be
// closed as garbage, and its number matters to the service manager's protocol.
type heirloom struct {
	key
	fd int

	// of the service manager's only
	manager       bool
	taken         bool
	name          string
	network, addr string
}

// start is what the first program of this process was called with.
type start struct {
	args []string
	dir  string
	err  error // why dir is not known
}

func captureStart() start {
	dir, err := os.Getwd()
	return start{args: append([]string(nil), os.Args...), dir: dir, err: err}
}

// inherit reads and removes the variables. What holds for another process, or is
// not as it is said to be, is not touched.
func (s *Sockets) inherit() {
	value := os.Getenv(Variable)
	os.Unsetenv(Variable)
	var l legacy
	if value != "" && json.Unmarshal([]byte(value), &l) == nil && l.Format == legacyFormat && s.isHeir(&l) {
		s.last = l.predecessor
		s.last.known = true
		for _, b := range l.Sockets {
			if h := adopt(b.FD); h != nil {
				h.key = b.key
				s.heirlooms = append(s.heirlooms, h)
			}
		}
		s.activate(len(l.Manager), l.Manager)
	}

	pid, fds, names := os.Getenv(listenPID), os.Getenv(listenFDs), os.Getenv(listenNames)
	for _, v := range []string{listenPID, listenPIDFDID, listenFDs, listenNames} {
		os.Unsetenv(v)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return
	}
	n, err := strconv.Atoi(fds)
	if err != nil {
		return
	}
	s.activate(n, strings.Split(names, ":"))
}

// isHeir reports whether this process is the one that is meant.
func (s *Sockets) isHeir(l *legacy) bool {
	if l.Link == nil {
		return l.PID == os.Getpid() && l.Started == processStart()
	}
	s.elder = claimLink(l.Link, l.PID)
	return s.elder != nil
}

// activate takes over n sockets of the service manager.
func (s *Sockets) activate(n int, names []string) {
	for i := range n {
		h := adopt(firstFD + i)
		if h == nil {
			break // the numbers have no gaps
		}
		h.manager, h.name = true, "unknown" // as sd_listen_fds_with_names has it
		if i < len(names) && names[i] != "" {
			h.name = names[i]
		}
		h.describe()
		s.activated = append(s.activated, h)
	}
}

// passOn returns the environment of the next program and the descriptors that it
// inherits. Keys are replaced: a program that restarts a hundred times has each
// once.
func (s *Sockets) passOn(p predecessor) (env []string, fds []int, err error) {
	l := legacy{Format: legacyFormat, PID: os.Getpid(), Started: processStart(), predecessor: p}
	s.mu.Lock()
	for _, h := range s.held {
		if fd := descriptor(h.conn); fd >= 0 && !h.manager {
			l.Sockets = append(l.Sockets, bequest{fd, h.key})
			fds = append(fds, fd)
		}
	}
	for _, h := range s.heirlooms { // Ready was not called yet
		l.Sockets = append(l.Sockets, bequest{h.fd, h.key})
		fds = append(fds, h.fd)
	}
	var names []string
	for _, h := range s.activated {
		names = append(names, h.name)
		fds = append(fds, h.fd)
	}
	s.mu.Unlock()

	l.Counts.Passed = len(fds)
	value, err := json.Marshal(l)
	if err != nil {
		return nil, nil, err
	}
	env = append(environ(), Variable+"="+string(value))
	if n := len(names); n > 0 {
		env = append(env, listenPID+"="+strconv.Itoa(os.Getpid()), listenFDs+"="+strconv.Itoa(n),
			listenNames+"="+strings.Join(names, ":"))
	}
	return env, fds, nil
}

// environ is the environment without what is said to one process only.
func environ() (env []string) {
	ours := map[string]bool{Variable: true, listenPID: true, listenPIDFDID: true, listenFDs: true, listenNames: true}
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); !ours[k] {
			env = append(env, kv)
		}
	}
	return env
}

// answers reports whether a socket of the service manager is what k asks for.
func (h *heirloom) answers(ctx context.Context, k key) bool {
	if k.Kind == kindFile || k.Network == FromManager {
		return h.name == k.Addr && (k.Kind == kindFile || h.Kind == k.Kind)
	}
	if h.Kind != k.Kind || strings.TrimRight(k.Network, "46") != h.network {
		return false
	}
	if !strings.HasPrefix(h.network, "tcp") && !strings.HasPrefix(h.network, "udp") {
		return k.Addr == h.addr
	}
	have, err := net.ResolveTCPAddr("tcp", h.addr)
	if err != nil {
		return false
	}
	host, service, err := net.SplitHostPort(k.Addr)
	if err != nil {
		return false
	}
	port, err := net.DefaultResolver.LookupPort(ctx, h.network, service)
	if err != nil || port != have.Port || port == 0 {
		return false
	}
	v4 := have.IP.To4() != nil
	if strings.HasSuffix(k.Network, "4") && !v4 || strings.HasSuffix(k.Network, "6") && v4 {
		return false
	}
	if host == "" {
		return have.IP.IsUnspecified()
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return false
	}
	for _, ip := range ips {
		if ip.Equal(have.IP) {
			return true
		}
	}
	return false
}

// mark is an instant that another program of the same machine can measure from.
type mark struct {
	Mono int64 `json:"mono,omitempty"` // monotonic, 0 if the system has no such clock
	Wall int64 `json:"wall,omitempty"` // Unix nanoseconds
}

func markNow() mark { return mark{Mono: monotonic(), Wall: time.Now().UnixNano()} }

func (m mark) since() time.Duration {
	now := markNow()
	if m.Mono > 0 && now.Mono > 0 {
		return time.Duration(now.Mono - m.Mono)
	}
	return time.Duration(now.Wall - m.Wall)
}
