package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode/democerts"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// waitLimit is how long anything may take before a test gives up.
const waitLimit = 90 * time.Second

// firstVersion is what the program is built with. The versions that follow are
// the same program with other digits there: as good as any other, and made at
// once.
const firstVersion = "7.0.000"

func versionName(n int) string { return fmt.Sprintf("7.0.%03d", n) }

// A fleet is a cluster of real processes that is upgraded again and again. The
// test acts on it from outside, and an observer looks on.
type fleet struct {
	t       *testing.T // of the scenario
	began   time.Time  // likewise
	d       *demo
	boxes   []*box // in their order; all that belong to the cluster
	warden  *warden
	record  *recorder
	key     archive.PrivateKey
	program []byte
	env     []string
	next    int    // version that is staged, or was last
	later   []*box // known, and not started

	supervised bool      // who ends by itself is started again
	watched    bool      // but not by the test: members have watchers
	spoilt     []byte    // the program, to be spoilt in the place of spoilPlace
	way        spoil.Way // in which the next version is

	mu       sync.Mutex
	digests  map[int]string // of programs, by version
	problems []string
	notes    []string
	eye      *eye
}

// newFleet starts size members of the first version; later ones are known, and
// not started. Everything ends with t.
func newFleet(t *testing.T, program []byte, size, later int, args ...string) *fleet {
	t.Helper()
	return startFleet(t, &fleet{program: program}, size, later, args...)
}

func startFleet(t *testing.T, f *fleet, size, later int, args ...string) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "proof-") // short: the path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f.t, f.digests = t, map[int]string{}
	f.d = &demo{size: size, minHealthy: 300 * time.Millisecond, memberTimeout: time.Minute}
	f.d.Dir, f.d.Program = dir, filepath.Join(dir, product)
	f.warden = newWarden(t, dir, size)
	f.env = []string{holdVariable + "=" + f.warden.socket}
	if f.key, err = archive.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	f.must(os.WriteFile(filepath.Join(dir, "release.pub"), []byte(f.key.Public().Text()), 0o600))
	f.must(os.WriteFile(f.d.Program, f.program, 0o755))
	f.must(os.Chmod(f.d.Program, 0o755))
	f.digests[0] = string(archive.DigestOf(f.program))
	f.install(size, later, args)
	f.boxes, f.later = f.boxes[:size:size], f.boxes[size:]
	for _, b := range f.boxes {
		b.start()
	}
	f.eye = newEye(f)
	f.record = newRecorder(f)
	t.Cleanup(f.end)
	for _, b := range f.boxes {
		b.back()
	}
	return f
}

func (f *fleet) install(size, later int, args []string) {
	f.t.Helper()
	authority, err := democerts.New()
	f.must(err)
	addrs, err := freePorts(2 * (size + later))
	f.must(err)
	accounts := filepath.Join(f.d.Dir, "accounts")
	f.must(os.Mkdir(accounts, 0o700))
	_, err = web.Open(accounts)
	f.must(err)
	var all []string
	for i := range size + later {
		m := member{id: fmt.Sprintf("m%d", i+1), peer: addrs[2*i], url: "https://" + addrs[2*i+1]}
		text := fmt.Sprintf("%s=%s,%s", m.id, m.peer, m.url)
		if i >= size {
			text += ",later"
		}
		all = append(all, "--member", text)
		n, err := f.d.install(m, addrs[2*i+1], accounts, authority)
		f.must(err)
		f.boxes = append(f.boxes, &box{node: n, f: f, allowed: map[string]bool{f.digests[0]: true}})
	}
	for _, b := range f.boxes {
		b.args = append(append(b.args, all...), args...)
	}
}

func (f *fleet) end() {
	f.eye.end()
	f.record.end()
	for _, b := range f.boxes {
		f.mu.Lock()
		p, frozen := b.process, b.frozen
		b.pid = 0
		f.mu.Unlock()
		if p != nil && frozen {
			b.thaw()
		}
		if p != nil {
			p.Kill()
		}
		if f.watched {
			b.endKin()
		}
	}
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) problem(format string, args ...any) {
	f.mu.Lock()
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	f.logf("PROBLEM "+format, args...)
}

// logf notes what happens, for the story of a scenario that went wrong.
func (f *fleet) logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// story is everything that is known of the scenario.
func (f *fleet) story() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.warden.mu.Lock()
	defer f.warden.mu.Unlock()
	var b strings.Builder
	for _, text := range [][]string{f.notes, f.warden.log} {
		fmt.Fprintf(&b, "%s\n\n", strings.Join(text, "\n"))
	}
	for _, box := range f.boxes {
		log, _ := os.ReadFile(filepath.Join(box.dir, product+".log"))
		lines := strings.Split(string(log), "\n")
		fmt.Fprintf(&b, "log of %s:\n%s\n", box.id, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
	return b.String()
}

// client asks all members but those that may have drained: they do not answer
// before they are back.
func (f *fleet) client(not ...string) *httpapi.Client {
	f.t.Helper()
	c := httpapi.ClientConfig{Auth: f.boxes[0].caller.Authorize, HTTP: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: web.Trust(filepath.Join(f.boxes[0].dir, "data")), ExpectContinueTimeout: 10 * time.Second,
	}}}
	for _, b := range f.boxes {
		if !slices.Contains(not, b.id) {
			c.Servers = append(c.Servers, b.url)
		}
	}
	client, err := httpapi.NewClient(c)
	f.must(err)
	return client
}

func (f *fleet) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(f.t.Context(), waitLimit)
}

func (f *fleet) box(id string) *box {
	f.t.Helper()
	for _, b := range f.boxes {
		if b.id == id {
			return b
		}
	}
	f.t.Fatalf("there is no member %q\n%s", id, f.story())
	return nil
}

// allow lets members have their present program at its path, and the next one.
func (f *fleet) allow(next bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.boxes {
		b.allowed = map[string]bool{f.digests[b.version]: true}
		if next {
			b.allowed[f.digests[f.next]] = true
		}
	}
}

// leader is who leads, by the word of one that leads and is no longer deposed.
func (f *fleet) leader(not ...string) *box {
	f.t.Helper()
	for limit := time.Now().Add(waitLimit); time.Now().Before(limit); {
		var who *box
		var term uint64
		for _, b := range f.boxes {
			f.mu.Lock()
			absent := b.pid == 0 || b.frozen
			f.mu.Unlock()
			if absent {
				continue
			}
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			i, err := b.info(ctx, b.fresh)
			cancel()
			if err == nil && i.Role == "Leader" && i.Term > term {
				who, term = b, i.Term
			}
		}
		if who != nil && (len(not) == 0 || who.id != not[0]) {
			return who
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Fatalf("nobody leads\n%s", f.story())
	return nil
}

// over waits until the run has ended, or was removed.
func (f *fleet) over() upgrade.Status {
	f.t.Helper()
	return f.record.await(f.t, "the run is over", func(s upgrade.Status) bool {
		return s.Status == string(tracking.Finished) || s.Status == string(tracking.Failed) || s.Status == "none"
	})
}
