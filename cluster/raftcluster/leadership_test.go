package raftcluster

import "testing"

// The first look may be overtaken by an observation, and must not undo it: the
// next change would be taken for none, and wake nobody.
func TestLeadershipOvertaken(t *testing.T) {
	l := leadership{local: "m1", changed: make(chan struct{})}
	l.named("m2") // after raft was asked, and before its answer was noted
	l.found("m1")
	before, _ := l.watch()
	l.named("m1")
	if after, _ := l.watch(); after == before {
		t.Error("m1 leads, and nobody is woken")
	}
}
