package raftnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A tally notes the commands it is given.
type tally struct{ commands []string }

func (s *tally) Apply(l *raft.Log) any {
	s.commands = append(s.commands, string(l.Data))
	return []byte(fmt.Sprint(len(s.commands)))
}
func (s *tally) Snapshot() (raft.FSMSnapshot, error) {
	return text(strings.Join(s.commands, "\n")), nil
}
func (s *tally) Restore(r io.ReadCloser) error {
	data, err := io.ReadAll(r)
	s.commands = strings.Split(string(data), "\n")
	return errors.Join(err, r.Close())
}

type text string

func (t text) Persist(sink raft.SnapshotSink) error {
	_, err := io.WriteString(sink, string(t))
	return errors.Join(err, sink.Close())
}
func (text) Release() {}

type sink struct {
	bytes.Buffer
	closed, cancelled bool
}

func (s *sink) ID() string    { return "x" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }

func command(index, id, born uint64, text string) *raft.Log {
	var c commandID
	binary.BigEndian.PutUint64(c[:], id)
	return &raft.Log{Index: index, Data: wrapHost(c, born, []byte(text))}
}

func applied(t *testing.T, f *fsm, l *raft.Log) outcome {
	t.Helper()
	o, ok := f.Apply(l).(outcome)
	if !ok || f.applied.Load() != l.Index {
		t.Fatalf("entry %d: no outcome, or not published: %d", l.Index, f.applied.Load())
	}
	return o
}

// A command that comes again is answered as the first time, also after a
// snapshot was restored.
func TestAgain(t *testing.T) {
	host := &tally{}
	f := newFSM(host, hclog.NewNullLogger())
	if o := applied(t, f, command(1, 7, 0, "x")); o.status != outcomeReply || string(o.reply) != "1" {
		t.Errorf("first: %v %q", o.status, o.reply)
	}
	for round := range 2 {
		if o := applied(t, f, command(uint64(2+round), 7, 0, "x")); o.status != outcomeReply || string(o.reply) != "1" {
			t.Errorf("again: %v %q", o.status, o.reply)
		}
		s, err := f.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var to sink
		if err := s.Persist(&to); err != nil || !to.closed || to.cancelled {
			t.Fatalf("persist: %v, %v, %v", err, to.closed, to.cancelled)
		}
		before := f.applied.Load()
		host = &tally{}
		f = newFSM(host, hclog.NewNullLogger())
		if err := f.Restore(io.NopCloser(&to)); err != nil {
			t.Fatal(err)
		}
		if f.applied.Load() != before || len(host.commands) != 1 {
			t.Errorf("restored: applied %d, want %d; %q", f.applied.Load(), before, host.commands)
		}
	}
}

// What is remembered is bounded, and what may have been forgotten is not applied
// but refused.
func TestForgotten(t *testing.T) {
	host := &tally{}
	f := newFSM(host, hclog.NewNullLogger())
	for i := uint64(1); i <= rememberCommands+10; i++ {
		applied(t, f, command(i, i, i-1, "x"))
	}
	if len(f.seen.by) != rememberCommands || len(f.seen.order) != rememberCommands {
		t.Errorf("%d and %d are remembered", len(f.seen.by), len(f.seen.order))
	}
	n := len(host.commands)
	next := uint64(rememberCommands + 11)
	if o := applied(t, f, command(next, 1, 0, "x")); o.status != outcomeStale || binary.BigEndian.Uint64(o.reply) != next {
		t.Errorf("the first one again: %v %v, want it refused", o.status, o.reply)
	}
	if o := applied(t, f, command(next+1, 11, 10, "x")); o.status != outcomeReply {
		t.Errorf("the oldest that is remembered again: %v", o.status)
	}
	if len(host.commands) != n {
		t.Errorf("the host saw %d commands more", len(host.commands)-n)
	}
	if o := applied(t, f, command(next+2, 1, next, "x")); o.status != outcomeReply || len(host.commands) != n+1 {
		t.Errorf("sent again with a later index: %v", o.status)
	}
}

func TestRememberedBytes(t *testing.T) {
	m := &memory{}
	for i := range byte(5) {
		m.put(commandID{i}, uint64(i), outcome{outcomeReply, make([]byte, rememberBytes*2/3)})
	}
	if len(m.by) != 1 || m.floor != 3 || m.bytes != rememberBytes*2/3 {
		t.Errorf("%d, up to %d, %d bytes", len(m.by), m.floor, m.bytes)
	}
}

// Entries of a program yet to come, or of somebody else, change nothing and do
// not panic.
func TestForeign(t *testing.T) {
	host := &tally{}
	f := newFSM(host, hclog.NewNullLogger())
	for i, data := range []string{"", "\x00", "\xff whatever", string([]byte{tagHost}), string(make([]byte, 100)), string([]byte{tagHost, 1, 2})} {
		if err, _ := f.Apply(&raft.Log{Index: uint64(i + 1), Data: []byte(data)}).(error); !errors.Is(err, errForeign) {
			t.Errorf("%q: %v", data, err)
		}
	}
	f.Apply(&raft.Log{Index: 10, Data: []byte{tagRecord, 200}})
	if f.applied.Load() != 10 || len(host.commands) != 0 {
		t.Errorf("applied %d, the host saw %q", f.applied.Load(), host.commands)
	}
}

// No state machine of the host: the record is all there is.
func TestNoHost(t *testing.T) {
	f := newFSM(nil, hclog.NewNullLogger())
	if o := applied(t, f, command(1, 1, 0, "x")); o.status != outcomeError {
		t.Errorf("%v", o.status)
	}
	s, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var to sink
	if err := s.Persist(&to); err != nil || !to.closed {
		t.Fatalf("persist: %v, %v", err, to.closed)
	}
	s.Release()
	if err := newFSM(nil, hclog.NewNullLogger()).Restore(io.NopCloser(&to)); err != nil {
		t.Error(err)
	}
}

// A snapshot that is cut off anywhere is refused, and never half taken for whole.
func TestDamagedSnapshot(t *testing.T) {
	f := newFSM(nil, hclog.NewNullLogger())
	applied(t, f, command(1, 1, 0, "x"))
	s, _ := f.Snapshot()
	var to sink
	s.Persist(&to)
	whole := to.Bytes()
	for n := range whole {
		if err := newFSM(nil, hclog.NewNullLogger()).Restore(io.NopCloser(bytes.NewReader(whole[:n]))); err == nil {
			t.Errorf("%d of %d bytes were restored", n, len(whole))
		}
	}
	if err := newFSM(nil, hclog.NewNullLogger()).Restore(io.NopCloser(strings.NewReader(strings.Repeat("x", 100)))); err == nil || !strings.Contains(err.Error(), "not a snapshot") {
		t.Errorf("%v", err)
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	if err := writeFrame(&b, 3, []byte("body")); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if kind, body, err := readFrame(bytes.NewReader(whole)); kind != 3 || string(body) != "body" || err != nil {
		t.Errorf("%d %q %v", kind, body, err)
	}
	for n := range whole {
		if _, _, err := readFrame(bytes.NewReader(whole[:n])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := writeFrame(&b, 1, make([]byte, maxFrame+1)); !errors.Is(err, errFrame) {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := readFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 1})); !errors.Is(err, errFrame) {
		t.Errorf("too large: %v", err)
	}
}
