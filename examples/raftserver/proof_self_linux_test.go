package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// The eye itself: it sees two members down at once, one that leaves too few
// others, and programs that are neither the old nor the new one.
func TestProofEye(t *testing.T) {
	f := &fleet{t: t, d: &demo{size: 3}, warden: &warden{}, record: &recorder{}, digests: map[int]string{}}
	var logs []*os.File
	for _, id := range []string{"m1", "m2", "m3"} {
		b := &box{node: &node{member: member{id: id}, dir: filepath.Join(t.TempDir(), id)}, f: f, allowed: map[string]bool{}}
		f.must(os.MkdirAll(filepath.Join(b.dir, "data", "raft"), 0o700))
		log, err := os.Create(filepath.Join(b.dir, "data", "raft", "raft.db"))
		f.must(err)
		defer log.Close()
		logs, f.boxes = append(logs, log), append(f.boxes, b)
		b.program = filepath.Join(b.dir, product)
		f.must(os.WriteFile(b.program, []byte("old"), 0o755))
	}
	e := &eye{f: f, seen: map[string]*seen{}, known: map[string]string{}}
	f.eye = e
	lock := func(how int, members ...int) {
		for _, i := range members {
			f.must(syscall.Flock(int(logs[i].Fd()), how))
		}
		e.look()
		e.look()
	}
	expect := func(want string) {
		t.Helper()
		if got := strings.Join(f.problems, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("problems %q, want %q", got, want)
		}
		f.problems = nil
	}

	lock(syscall.LOCK_EX, 0, 1, 2)
	lock(syscall.LOCK_UN, 0)
	lock(syscall.LOCK_EX, 0)
	f.judgeExits()
	expect("m1 left at")
	permit := func(member string) {
		f.record.lines = map[string]map[int]tracking.Line{"run": {1: {Type: "member.restarting", Member: member, At: time.Now()}}}
	}
	e.exits = nil
	permit("m1")
	lock(syscall.LOCK_UN, 0)
	lock(syscall.LOCK_EX, 0)
	f.judgeExits()
	expect("")
	lock(syscall.LOCK_UN, 1, 2)
	expect("[m2 m3] are down at the same time")
	lock(syscall.LOCK_EX, 1, 2)

	e.exits, f.problems = nil, nil
	f.boxes[2].fault = time.Now().Add(-time.Hour)
	f.must(syscall.Flock(int(logs[2].Fd()), syscall.LOCK_UN))
	permit("m2")
	lock(syscall.LOCK_UN, 1)
	f.judgeExits()
	expect("m2 left when only 1 others were up")

	look := e.lookAtPrograms()
	look()
	expect("neither of the two programs lies at the path")
	f.must(os.Remove(f.boxes[0].program))
	look()
	expect("m1: no program at its path")
}

// Who led last, and who next, tells whether a member led when it left.
func TestProofLedUntil(t *testing.T) {
	at := time.Now()
	say := func(member, role string, term uint64, sent, got int) sighting {
		return sighting{member, at.Add(time.Duration(sent) * time.Millisecond), at.Add(time.Duration(got) * time.Millisecond), nodeInfo{Role: role, Term: term}}
	}
	for name, c := range map[string]struct {
		led  bool
		said []sighting
	}{
		"never led":             {false, []sighting{say("m1", "Follower", 2, -9, -8), say("m2", "Leader", 3, 9, 10)}},
		"another one before":    {false, []sighting{say("m1", "Leader", 2, -90, -80), say("m2", "Leader", 3, -9, 10)}},
		"another one, who says": {false, []sighting{say("m1", "Leader", 2, -90, -80), say("m2", "Leader", 3, 9, 10)}},
		"nobody":                {true, []sighting{say("m1", "Leader", 2, -90, -80), say("m2", "Follower", 2, 5, 6), say("m2", "Leader", 3, 9, 10)}},
		"let go, said so":       {false, []sighting{say("m1", "Leader", 2, -90, -80), say("m1", "Follower", 3, -70, -60), say("m2", "Follower", 2, 5, 6), say("m2", "Leader", 3, 9, 10)}},
	} {
		e := &eye{sightings: c.said}
		if got := e.ledUntil(exit{member: "m1", last: at.Add(-time.Millisecond), at: at}); (got != "") != c.led {
			t.Errorf("%s: %q, want %v", name, got, c.led)
		}
	}
}
