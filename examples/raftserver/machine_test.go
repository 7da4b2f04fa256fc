package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"github.com/hashicorp/raft"
)

func applied(m *machine, entries ...[]byte) (answers []any) {
	for i, e := range entries {
		answers = append(answers, m.Apply(&raft.Log{Index: uint64(i + 1), Data: e}))
	}
	return answers
}

func TestMachine(t *testing.T) {
	entries := [][]byte{
		change{op: opPut, key: "color", value: "blue"}.encode(),
		change{op: opPut, key: "empty"}.encode(),
		change{op: opPut, key: "color", value: "red"}.encode(),
		change{op: opPut, key: "gone", value: "soon"}.encode(),
		change{op: opDelete, key: "gone"}.encode(),
		change{op: opDelete, key: "never"}.encode(),
	}
	a, b := newMachine(func() {}), newMachine(func() {})
	for i, answer := range append(applied(a, entries...), applied(b, entries...)...) {
		if answer != nil {
			t.Errorf("entry %d: %v", i, answer)
		}
	}
	want := map[string]string{"color": "red", "empty": ""}
	if !maps.Equal(a.list(""), want) || !maps.Equal(b.list(""), want) {
		t.Errorf("%v and %v, want %v", a.list(""), b.list(""), want)
	}
	if !maps.Equal(a.list("co"), map[string]string{"color": "red"}) || a.len() != 2 {
		t.Errorf("%d keys, %v", a.len(), a.list("co"))
	}
}

// What is no change is an error on every member, and changes nothing.
func TestMachineStrangeEntries(t *testing.T) {
	m := newMachine(func() {})
	whole := change{op: opPut, key: "color", value: "blue"}.encode()
	for _, e := range [][]byte{nil, {}, []byte("x"), {'p'}, whole[:4], append([]byte{'p'}, 0xff, 0xff, 0xff, 0xff, 0xff, 1)} {
		if _, ok := applied(m, e)[0].(error); !ok {
			t.Errorf("%q is taken", e)
		}
	}
	if m.len() != 0 {
		t.Errorf("there is %v", m.list(""))
	}
}

type sink struct {
	bytes.Buffer
	limit     int
	closed    bool
	cancelled bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.limit > 0 && s.Len()+len(p) > s.limit {
		return 0, io.ErrShortWrite
	}
	return s.Buffer.Write(p)
}
func (s *sink) ID() string    { return "1" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }

func TestMachineSnapshot(t *testing.T) {
	m := newMachine(func() {})
	for i := range 1000 {
		applied(m, change{op: opPut, key: fmt.Sprint("key ", i), value: string(bytes.Repeat([]byte{0, '\n'}, i))}.encode())
	}
	want := m.list("")
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	applied(m, change{op: opPut, key: "later"}.encode()) // not part of it
	var out sink
	if err := s.Persist(&out); err != nil || !out.closed || out.cancelled {
		t.Fatalf("persist: %v, %+v", err, out)
	}
	var again sink
	s.Persist(&again)
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("the same state gives different snapshots")
	}

	n := newMachine(func() {})
	applied(n, change{op: opPut, key: "before"}.encode()) // goes
	if err := n.Restore(io.NopCloser(bytes.NewReader(out.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(n.list(""), want) {
		t.Errorf("%d keys came back, want %d", n.len(), len(want))
	}

	// A bad one changes nothing.
	for name, b := range map[string][]byte{"none": nil, "cut": out.Bytes()[:out.Len()-1], "newer": append([]byte{snapshotFormat + 1}, out.Bytes()[1:]...)} {
		if err := n.Restore(io.NopCloser(bytes.NewReader(b))); err == nil || !maps.Equal(n.list(""), want) {
			t.Errorf("%s: %v, %d keys", name, err, n.len())
		}
	}
	full := sink{limit: 100}
	if err := s.Persist(&full); !errors.Is(err, io.ErrShortWrite) || !full.cancelled || full.closed {
		t.Errorf("a full disk: %v, %+v", err, full)
	}
}
