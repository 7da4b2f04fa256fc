package raftcluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/tracking"
)

// swapOf returns a command; n tells it from others.
func swapOf(n uint64, key string, old uint64, value string) []byte {
	c := command{key: key, old: old, value: []byte(value)}
	binary.BigEndian.PutUint64(c.id[16:], n)
	return c.encode()
}

func mustSnapshot(t *testing.T, m *Machine) string {
	t.Helper()
	data, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCommand(t *testing.T) {
	for _, c := range []command{{}, {key: "run", old: 1 << 60, value: []byte("v")}, {id: commandID{1, 2, 23: 3}, key: strings.Repeat("k", 200), value: make([]byte, tracking.MaxValue)}} {
		got, err := decodeCommand(c.encode())
		if err != nil || got.id != c.id || got.old != c.old || got.key != c.key || !bytes.Equal(got.value, c.value) {
			t.Errorf("%+.80v: %+.80v, %v", c, got, err)
		}
		if n := len(c.encode()) - len(c.value) - len(c.key); n > 48 {
			t.Errorf("%d bytes beside key and value", n)
		}
	}
}

// What is no command, whole or in part, changes nothing and does not panic.
func TestMachineGarbage(t *testing.T) {
	var m Machine
	m.Apply(1, swapOf(1, "run", 0, "v"))
	before := mustSnapshot(t, &m)
	whole := swapOf(2, "run", 1, "w")
	garbage := [][]byte{nil, {}, {0}, []byte("LL"), []byte("LLr"), []byte("LLr\x01"), []byte("{}"), bytes.Repeat([]byte{0xff}, 100),
		append(bytes.Clone(whole[:29]), bytes.Repeat([]byte{0xff}, 20)...), append(bytes.Clone(whole[:30]), 200)}
	for n := range len(whole) - len("runw") {
		if n < 5 {
			continue
		}
		garbage = append(garbage, whole[:n])
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		b := bytes.Clone(whole[:r.IntN(len(whole))])
		for i := range b {
			if r.IntN(4) == 0 && i > 4 {
				b[i] = byte(r.Uint32())
			}
		}
		garbage = append(garbage, append([]byte("x"), b...))
	}
	for _, b := range garbage {
		if o := m.Apply(2, b).(outcome); !errors.Is(o.err, errNotOurs) {
			t.Errorf("%q: %v", b, o.err)
		}
	}
	if after := mustSnapshot(t, &m); after != before {
		t.Errorf("%s, before %s", after, before)
	}
}

// A command of a newer release has done something elsewhere. Nothing may go on
// from a record without it.
func TestMachineNewer(t *testing.T) {
	for _, newer := range []string{"LLr\x01\x02...", "LLr\x02\x01..."} {
		var m Machine
		m.Apply(1, swapOf(1, "run", 0, "v"))
		before := mustSnapshot(t, &m)
		_, _, changed, _ := m.look(1)
		if o := m.Apply(2, []byte(newer)).(outcome); !errors.Is(o.err, tracking.ErrFormat) || !strings.Contains(o.err.Error(), "entry 2") {
			t.Errorf("%q: %v", newer, o.err)
		}
		<-changed
		if o := m.Apply(3, swapOf(2, "run", 1, "w")).(outcome); !errors.Is(o.err, tracking.ErrFormat) {
			t.Errorf("a swap after it: %v, want tracking.ErrFormat", o.err)
		}
		if _, err := m.Snapshot(); !errors.Is(err, tracking.ErrFormat) {
			t.Errorf("Snapshot = %v, want tracking.ErrFormat", err)
		}
		if _, _, err := m.load("run"); !errors.Is(err, tracking.ErrFormat) {
			t.Errorf("load = %v, want tracking.ErrFormat", err)
		}
		// A snapshot of a member that knows the command makes it whole again.
		if err := m.Restore([]byte(before)); err != nil {
			t.Fatal(err)
		}
		if o := m.Apply(4, swapOf(3, "run", 1, "w")).(outcome); o.err != nil || o.rev != 2 {
			t.Errorf("after Restore: %+v", o)
		}
	}
}

// Two Machines that are given the same commands are the same, also if one of
// them has been snapshot and restored at any point; and a command given twice
// is done once.
func TestMachineDeterministic(t *testing.T) {
	var a Machine
	b := new(Machine)
	r := rand.New(rand.NewPCG(3, 4))
	revs := map[string]uint64{}
	var last []byte
	for i := range uint64(3 * maxRecent) {
		key := fmt.Sprint("k", r.IntN(5))
		command := swapOf(i, key, revs[key]-min(revs[key], uint64(r.IntN(2))), strings.Repeat("v", r.IntN(3)))
		if r.IntN(4) == 0 && last != nil {
			command = last
		}
		x, y := a.Apply(i, command).(outcome), b.Apply(i, command).(outcome)
		if x.rev != y.rev || fmt.Sprint(x.err) != fmt.Sprint(y.err) {
			t.Fatalf("command %d: %v and %v", i, x, y)
		}
		if x.err == nil && !bytes.Equal(command, last) {
			revs[key] = x.rev
		}
		if bytes.Equal(command, last) && x.err == nil && x.rev > a.counter {
			t.Fatalf("command %d was done twice", i)
		}
		last = command
		if r.IntN(10) == 0 {
			data := mustSnapshot(t, b)
			b = new(Machine)
			b.Apply(1, swapOf(99, "left over", 0, "v"))
			if err := b.Restore([]byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if mustSnapshot(t, &a) != mustSnapshot(t, b) {
		t.Error("they have come apart")
	}
	if len(a.recent) != maxRecent {
		t.Errorf("%d swaps are remembered, want %d", len(a.recent), maxRecent)
	}
}

// A repeated command is answered with what it did; one that is forgotten is
// still not done twice.
func TestMachineRepeated(t *testing.T) {
	var m Machine
	first := swapOf(1, "run", 0, "v")
	m.Apply(1, first)
	for i := range uint64(maxRecent - 1) {
		m.Apply(2+i, swapOf(2+i, "other", uint64(max(1, i+1))*min(1, i), "v"))
	}
	if o := m.Apply(1000, first).(outcome); o.rev != 1 || o.err != nil {
		t.Errorf("repeated: %+v, want revision 1", o)
	}
	m.Apply(1001, swapOf(1001, "third", 0, "v"))
	if o := m.Apply(1002, first).(outcome); !errors.Is(o.err, tracking.ErrConflict) {
		t.Errorf("forgotten: %+v, want tracking.ErrConflict", o)
	}
}

func TestRestoreRefuses(t *testing.T) {
	var m Machine
	m.Apply(1, swapOf(1, "run", 0, "v"))
	before := mustSnapshot(t, &m)
	for data, want := range map[string]error{
		`{"format":2}`: tracking.ErrFormat,
		`{"format":0}`: tracking.ErrDamaged,
		`{}`:           tracking.ErrDamaged,
		`null`:         tracking.ErrDamaged,
		`{"format":1`:  tracking.ErrDamaged,
		`{"format":1,"counter":1,"keys":{"run":{"rev":2}}}`: tracking.ErrDamaged,
		`{"format":1,"counter":1,"keys":{"run":{"rev":0}}}`: tracking.ErrDamaged,
		`{"format":1,"counter":1,"recent":[{"id":"zz"}]}`:   tracking.ErrDamaged,
		`{"format":1,"counter":1,"recent":[{"id":"0102"}]}`: tracking.ErrDamaged,
	} {
		if err := m.Restore([]byte(data)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", data, err, want)
		}
		if after := mustSnapshot(t, &m); after != before {
			t.Errorf("%s: left %s", data, after)
		}
	}
	if err := m.Restore(nil); err != nil || mustSnapshot(t, &m) != `{"format":1,"counter":0,"keys":{}}` {
		t.Errorf("nothing: %v, %s", err, mustSnapshot(t, &m))
	}
	// What a later release adds to this format is no reason to refuse.
	if err := m.Restore([]byte(`{"format":1,"counter":7,"keys":{"run":{"rev":7,"value":"dg==","more":1}},"more":{}}`)); err != nil {
		t.Error(err)
	}
}

// Answer takes anything.
func TestAnswerGarbage(t *testing.T) {
	_, trans := raft.NewInmemTransport("")
	logs := raft.NewInmemStore()
	conf := raft.DefaultConfig()
	conf.LocalID = "m1"
	conf.LogLevel = "OFF"
	r, err := raft.NewRaft(conf, nil, logs, logs, raft.NewInmemSnapshotStore(), trans)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.Shutdown().Error() }()
	m, err := New(Config{Raft: r, Local: "m1", Applied: func() uint64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for request, want := range map[string]error{
		"":             tracking.ErrFormat,
		"\x01":         tracking.ErrFormat,
		"\x02\x01":     tracking.ErrFormat,
		"\x01\x63":     tracking.ErrFormat,
		"\x01\x02":     errAgain,
		"\x01\x03run":  errNo, // no Store yet
		"\x01\x04junk": errNo,
	} {
		reply, err := m.Answer(ctx, []byte(request))
		if err != nil {
			t.Errorf("%q: %v", request, err)
		}
		if _, err := decodeReply(reply); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", request, err, want)
		}
	}
	if _, err := NewStore(StoreConfig{Member: m, Machine: new(Machine)}); err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]error{
		"\x01\x03a b":            errNo,
		"\x01\x03run":            errAgain,
		"\x01\x04junk":           errNo,
		"\x01\x04LLr\x01\x02...": tracking.ErrFormat,
		"\x01\x04" + string(swapOf(1, "a b", 0, "")):                                       errNo,
		"\x01\x04" + string(swapOf(1, "run", 0, strings.Repeat("v", tracking.MaxValue+1))): errNo,
		"\x01\x04" + string(swapOf(1, "run", 0, "v")):                                      errAgain,
	} {
		reply, err := m.Answer(ctx, []byte(request))
		if err != nil {
			t.Errorf("%q: %v", request, err)
		}
		if _, err := decodeReply(reply); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", request, err, want)
		}
	}
	for _, reply := range []string{"", "\x01", "\x02\x00"} {
		if _, err := decodeReply([]byte(reply)); err == nil {
			t.Errorf("reply %q is taken for one", reply)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Answer(gone, []byte("\x01\x01")); !errors.Is(err, context.Canceled) {
		t.Errorf("Answer with a context that is done = %v", err)
	}
}
