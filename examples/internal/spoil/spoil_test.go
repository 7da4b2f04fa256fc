package spoil

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaderlast/leaderlast/upgrade"
)

// start goes through all that a server asks, and returns what went wrong, in
// order.
func start(t *testing.T, way Way) (wrong []string) {
	t.Helper()
	p, err := New(string(way), func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	p.exit = func(code int) { ended = code == status }
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing hangs
	data := filepath.Join(t.TempDir(), "data")
	good := bytes.Repeat([]byte("good data\n"), 5000)
	if err := os.WriteFile(data, good, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(place string, err error) {
		if err != nil {
			wrong = append(wrong, place+" fails")
		}
		if ended {
			wrong = append(wrong, place+" ends")
		}
		ended = false
	}
	at("begin", p.Begin())
	if p.Identity(upgrade.Identity{Version: "1"}).Version != "1" {
		wrong = append(wrong, "other version")
	}
	at("booted", p.Booted(ctx))
	at("opened", p.Opened(ctx, data))
	switch b, _ := os.ReadFile(data); {
	case bytes.Equal(b, good):
	case bytes.Contains(b, []byte("good")):
		wrong = append(wrong, "part of the data spoilt")
	default:
		wrong = append(wrong, "data spoilt")
	}
	at("serving", p.Serving())
	at("ready", p.Ready())
	at("ready again", p.Ready())
	return wrong
}

// Every way goes wrong where it is said to, and nowhere else.
func TestWays(t *testing.T) {
	want := map[Way][]string{
		Good:           nil,
		EndsBeforeBoot: {"begin ends"},
		EndsAtOnce:     {"booted ends"},
		Hangs:          {"booted fails"},
		OtherVersion:   {"other version"},
		Corrupts:       {"opened ends", "data spoilt"},
		CorruptsHangs:  {"opened fails", "data spoilt"},
		Start:          {"serving fails"},
		EndsLate:       nil, // it is late
		NeverReady:     {"ready fails", "ready again fails"},
		Flaps:          {"ready again fails"},
		NoCatchUp:      nil, // Apply does not return
	}
	for way := range ways {
		if way == NoCapabilities {
			continue // in processes of their own only
		}
		if got := start(t, way); !slices.Equal(got, want[way]) {
			t.Errorf("%q: %q, want %q", way, got, want[way])
		}
	}
	if _, err := New("no-such-way", nil); err == nil {
		t.Error("a way that there is not is taken")
	}
}
