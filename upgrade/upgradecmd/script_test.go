package upgradecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A script is a recorded list of what a server said, and when: testdata/scripts.
// Each entry of a list changes the document before it. Strings that begin with
// "@" are times, counted from that moment.
type script struct {
	Check  *upgrade.CheckReport `json:"check"`
	Plan   *upgrade.PlanReport  `json:"plan"`
	Rate   int64                `json:"rate"`   // bytes a second that an upload goes
	Skew   string               `json:"skew"`   // how far the clock of the server is ahead
	Verify string               `json:"verify"` // how long the reply to an upload takes
	Slow   string               // how long a cancellation takes to be answered
	Refuse map[string]httpapi.Error

	LoseRun bool // the answer to run is lost, and for 20 seconds there is none
	Accept  bool // but the run begins
	Already bool // what is uploaded was staged before

	Begin  change   `json:"begin"`
	Stage  []change `json:"stage"` // once the upload is there
	Run    []change `json:"run"`
	Remove []change `json:"unstage"`
	Retry  []change `json:"retry"`    // entries without a time are made before the reply
	Back   []change `json:"rollback"` // likewise
	Commit []change `json:"commit"`
	Pause  []change `json:"pause"`
	Resume []change `json:"resume"`
	AtOnce []change `json:"at_once"` // unasked
}

type change struct {
	After   string                    `json:"after"` // the entry before
	Status  map[string]any            `json:"status"`
	Run     map[string]any            `json:"run"`
	Members map[string]map[string]any `json:"members"`
	Lines   []map[string]any          `json:"lines"`
	Down    []string                  `json:"down"` // members that refuse connections from now on
	Up      []string                  `json:"up"`
	Total   int                       `json:"total"` // lines ever written, if not those that are here
}

// A fakeServer plays a script to an httpapi.Client, in the place of the network.
type fakeServer struct {
	t      testing.TB
	script script

	mu      sync.Mutex
	doc     map[string]any
	rev     int
	down    map[string]bool
	changed chan struct{}
	asked   []string // requests, method and path
	tokens  []string
	got     int64    // bytes of uploads
	runs    int      // requests to start that were sent
	queries []string // of run, retry, rollback, commit, pause and resume
	stop    context.CancelFunc
	ctx     context.Context
}

func loadScript(t testing.TB, name string) script {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(here, "testdata", "scripts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var s script
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func newFakeServer(t testing.TB, s script) *fakeServer {
	f := &fakeServer{t: t, script: s, doc: map[string]any{}, down: map[string]bool{}, changed: make(chan struct{})}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.apply(s.Begin)
	f.play(s.AtOnce)
	return f
}

// apply makes a change to the document, and wakes who waits for it.
func (f *fakeServer) apply(c change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.rev++
	merge(f.doc, c.Status, now)
	if c.Run != nil {
		run, _ := f.doc["run"].(map[string]any)
		if run == nil {
			run = map[string]any{}
			f.doc["run"] = run
		}
		merge(run, c.Run, now)
	}
	members, _ := f.doc["members"].([]any)
	for _, id := range slices.Sorted(maps.Keys(c.Members)) {
		i := slices.IndexFunc(members, func(m any) bool { return m.(map[string]any)["id"] == id })
		if i < 0 {
			members = append(members, map[string]any{"id": id})
			i = len(members) - 1
		}
		merge(members[i].(map[string]any), c.Members[id], now)
	}
	f.doc["members"] = members
	log, _ := f.doc["transcript"].(map[string]any)
	if log == nil {
		log = map[string]any{"total": 0, "lines": []any{}}
		f.doc["transcript"] = log
	}
	for _, l := range c.Lines {
		total := whole(log["total"]) + 1
		log["total"] = total
		line := map[string]any{"seq": total, "at": now.UTC()}
		merge(line, l, now)
		log["lines"] = append(log["lines"].([]any), line)
	}
	if c.Total > 0 {
		log["total"] = c.Total
	}
	for _, id := range c.Down {
		f.down[id] = true
	}
	for _, id := range c.Up {
		delete(f.down, id)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func merge(into, from map[string]any, now time.Time) {
	for k, v := range from {
		if part, ok := v.(map[string]any); ok {
			deep := map[string]any{}
			merge(deep, part, now)
			v = deep
		}
		if s, ok := v.(string); ok && strings.HasPrefix(s, "@") {
			d, err := time.ParseDuration(s[1:])
			if err != nil {
				panic(err)
			}
			v = now.Add(d).UTC()
		}
		into[k] = v
	}
}

// whole is a number that a script or this program set.
func whole(v any) int {
	if n, ok := v.(float64); ok {
		return int(n)
	}
	return v.(int)
}

func (f *fakeServer) play(list []change) {
	go func() {
		for _, c := range list {
			if sleepFor(f.ctx, c.After) != nil {
				return
			}
			f.apply(c)
		}
	}()
}

func sleepFor(ctx context.Context, text string) error {
	d, _ := time.ParseDuration(text)
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// member is the one that an address belongs to: 10.0.0.12 is m2.
func member12(host string) string {
	i := strings.LastIndexByte(strings.Split(host, ":")[0], '.')
	return "m" + strings.TrimPrefix(strings.Split(host, ":")[0][i+1:], "1")
}

func (f *fakeServer) status(host string) (upgrade.Status, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ahead, _ := time.ParseDuration(f.script.Skew)
	f.doc["revision"], f.doc["observed_at"] = f.rev, time.Now().Add(ahead).UTC()
	f.doc["observed_by"], f.doc["schema"] = member12(host), upgrade.StatusSchema
	data, err := json.Marshal(f.doc)
	if err != nil {
		f.t.Error(err)
	}
	var s upgrade.Status
	if err := json.Unmarshal(data, &s); err != nil {
		f.t.Errorf("script: %v in %s", err, data)
	}
	return s, f.changed
}

func (f *fakeServer) unreachable(host string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[member12(host)] {
		return fmt.Errorf("dial tcp %s: %w", host, syscall.ECONNREFUSED)
	}
	return nil
}
