package upgrade

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// A world is everything that the model knows at one moment. What is shared with
// the shipped code (the run, the reports, the steps that were decided) is
// interned, so that a world is small and two equal ones are the same bytes.
type world struct {
	run    uint32 // in model.runs
	plan   uint8  // number of the run that the plan in the record is for, plus one
	frozen uint8  // the members in that plan
	out    uint8  // who does not belong to the cluster, not yet or no more
	leader int8   // of the consensus group; -1: nobody
	budget budgets
	ops    [2]operator
	orders uint8 // messages to members, in broken variants only
	m      [modelMax]peer
}

const modelMax = 5 // members

// budgets are how often the environment may still do something.
type budgets struct{ crash, move, cancel, retry, fail, pause, join, part, back uint8 }

// An operator is one Retry or Rollback: it looked at the run, and is about to begin another.
type operator struct {
	who int8  // member that serves it; -1: none
	id  uint8 // number of the run it begins
}

// A peer is one member: its process, its files, its memory, and what it is
// about to do.
type peer struct {
	at      uint8 // isUp...
	prog    uint8 // that runs, or ran last: oldProgram, newProgram
	file    uint8 // at the path; halfProgram in a broken variant only
	back    bool  // the journal is of a turn that goes back to the old one
	phase   uint8 // of the journal
	drained bool
	tidied  bool
	holds   bool // the release was verified by this process
	fixed   bool // leadership cannot be handed over
	trouble bool // the journal says why the restart was given up
	ill     bool // this process does not get ready
	late    bool // the lease of our question is over
	nonce   uint8
	checked uint8 // number of the run that this process looked at its machine for, plus one
	report  uint32
	read    uint32 // reports of others that this process has read, in model.reads; 0: none
	pend    uint32 // in model.pends: decided, not carried out
}

const (
	isUp      uint8 = iota
	isLeaving       // by our own hand: stopped, file not replaced yet
	isGone          // by our own hand: the old process has ended
	isDead          // by the environment
)

const (
	oldProgram uint8 = iota
	newProgram
	halfProgram
)

// Phases of the journal, as the shipped ones.
const (
	atNone uint8 = iota
	atClaimed
	atReplacing
	atRunning
)

// A pend is what one member is about to do: the step that decide gave for what
// the member had loaded.
type pend struct {
	do    action
	run   uint32 // actSwap: the next run. Others: the run that was loaded, if it matters
	fresh bool   // the run is still the one that was loaded: a swap would succeed
	own   bool   // layout variant: what is swapped is the key of the member in turn
	done  bool   // the local part of do is done; what is left is a swap of run
	nonce uint8  // done, actAsk: of the question

	members uint8 // actFreeze: of the plan

	to     string // actHandOver
	id     int    // actReport, actCheck: number of the run loaded
	last   int    // actReport: attempt of the last word, 0 for none
	rejoin int    // actReport: attempt that there is evidence of, 0 for none
	ill    bool   // actReport: that evidence is of trouble
}

// A table interns values.
type table[T any] struct {
	ids map[string]uint32
	all []T
}

func (t *table[T]) id(v T) uint32 {
	key := fmt.Sprintf("%+v", v)
	if r, ok := any(v).(tracking.Run); ok && r.Waiting != nil {
		w := *r.Waiting
		r.Waiting = nil
		key = fmt.Sprintf("%+v waiting %+v", r, w)
	}
	if id, ok := t.ids[key]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = map[string]uint32{}
	}
	id := uint32(len(t.all))
	t.ids[key] = id
	t.all = append(t.all, v)
	return id
}

var modelNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// canonTime keeps only whether there is a time: the model has no clock.
func canonTime(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return modelNow
}

// canonRun drops what decides nothing: transcript, texts, counters, times.
// Of Waiting only that gate B refuses matters; the rest keeps the same wait from
// being written twice.
func canonRun(r tracking.Run) tracking.Run {
	if w := r.Waiting; w != nil && w.Gate == "B" {
		r.Waiting = &tracking.Waiting{Gate: "B", Member: w.Member}
	} else {
		r.Waiting = nil
	}
	r.Rev, r.Takeover, r.Lines, r.Log, r.Overrides, r.By, r.From = 0, 0, 0, nil, nil, "", ""
	r.FinalState, r.LastMember, r.LastAddr, r.LastState, r.CancelledBy = "", "", "", "", ""
	r.Phase, r.FailedMember = "", ""
	r.Staged, r.Started, r.Ended, r.Removed = canonTime(r.Staged), canonTime(r.Started), canonTime(r.Ended), canonTime(r.Removed)
	r.PausedAt = canonTime(r.PausedAt)
	r.Archive = tracking.Archive{Sums: r.Archive.Sums} // a rollback has none
	turns := r.Turns
	r.Turns = nil
	for _, t := range turns {
		t.Since, t.Began, t.Text, t.Addr, t.From, t.Handovers, t.Budget = modelNow, modelNow, "", "", "", 0, time.Hour
		r.Turns = append(r.Turns, t)
	}
	if r.Status == tracking.Finished || r.Status == tracking.None {
		r.Started, r.Ended = time.Time{}, time.Time{}
	}
	return r
}

var modelNames = [modelMax]string{"m0", "m1", "m2", "m3", "m4"}

func memberName(i int) string { return modelNames[i] }

func memberIndex(name string) int { return int(name[1] - '0') }

// bootName names processes of member i by their age: 0 is the one that runs now.
func bootName(i, age int) string { return "b" + modelNames[i][1:] + "." + strconv.Itoa(age) }

// older renames the processes of member i when it starts another one.
func older(boot string, i int) string {
	prefix := fmt.Sprintf("b%d.", i)
	if !strings.HasPrefix(boot, prefix) {
		return boot
	}
	var age int
	fmt.Sscan(boot[len(prefix):], &age)
	return bootName(i, age+1)
}

func olderRun(r tracking.Run, i int) tracking.Run {
	r.Boot = older(r.Boot, i)
	turns := r.Turns
	r.Turns = nil
	for _, t := range turns {
		t.OldBoot, t.NewBoot = older(t.OldBoot, i), older(t.NewBoot, i)
		r.Turns = append(r.Turns, t)
	}
	return r
}

func runName(n int) string { return fmt.Sprintf("R%d", n) }

func runNumber(id string) int { return int(id[1] - '0') }

// firstBack is the number from which runs are rollbacks.
const firstBack = 5

// targetOf is the program that the members run at the end of run n: also those
// that a rollback passes over, which ran it before.
func targetOf(n int) uint8 {
	if n >= firstBack {
		return oldProgram
	}
	return newProgram
}

// A reportState is what a report says, as far as anybody looks.
type reportState struct {
	boot    int // age
	prog    uint8
	holds   int // number of the run in which it was said, plus one
	checked int // number of the run, plus one
	rejoin  rejoinState
	last    [2]int // number of the run plus one, attempt
}

// A rejoinState is evidence; id is the number of the run, plus one.
type rejoinState struct {
	id, attempt, boot int
	ill               bool
}

var modelDigest = []string{"old", "new", "half"}

// report makes the report that the shipped code reads.
func (s reportState) report(i int) tracking.Report {
	name := memberName(i)
	r := tracking.Report{Member: name, Addr: "http://" + name, Boot: bootName(i, s.boot), Program: modelDigest[s.prog], Version: modelDigest[s.prog]}
	if s.holds > 0 {
		r.Holds, r.HoldsFor = "sums", runName(s.holds-1)
	}
	if s.checked > 0 {
		r.Checked = &tracking.Checked{Run: runName(s.checked - 1), Target: modelDigest[targetOf(s.checked-1)]}
	}
	if s.rejoin.id > 0 {
		r.Rejoin = evidence(runName(s.rejoin.id-1), s.rejoin.attempt, bootName(i, s.rejoin.boot), s.prog, s.rejoin.ill)
	}
	if s.last[0] > 0 {
		r.Last = &tracking.LastWord{Run: runName(s.last[0] - 1), Attempt: s.last[1], State: tracking.Done, Version: "new", Program: "new"}
	}
	return r
}

func evidence(run string, attempt int, boot string, prog uint8, ill bool) *tracking.Rejoin {
	e := &tracking.Rejoin{Run: run, Attempt: attempt, Boot: boot, Program: modelDigest[prog]}
	if ill {
		e.Trouble = "is not ready"
	}
	return e
}

// worldSize is how many bytes a world of n members is encoded in.
func worldSize(n int) int { return 11 + 11*n }

func bit(b bool, n uint8) uint8 {
	if b {
		return 1 << n
	}
	return 0
}

// encode writes w into b: equal worlds, and only those, are equal bytes.
func (w *world) encode(b []byte, n int) {
	b[0], b[1], b[2] = byte(w.run), byte(w.run>>8), byte(w.run>>16)
	b[3] = w.plan<<4 | w.budget.back<<3 | uint8(w.leader+1)
	b[4] = w.budget.crash<<6 | w.budget.move<<4 | w.budget.cancel<<2 | w.budget.retry
	b[5] = w.budget.fail<<6 | w.budget.pause<<4 | w.budget.join<<2 | w.budget.part
	for k, o := range w.ops {
		b[6+k] = uint8(o.who+1)<<4 | o.id
	}
	b[8], b[9], b[10] = w.orders, w.frozen, w.out
	for i := range n {
		p, c := &w.m[i], b[11+11*i:]
		c[0] = p.at | p.prog<<2 | p.file<<3 | p.phase<<5 | bit(p.ill, 7)
		c[1] = bit(p.drained, 0) | bit(p.tidied, 1) | bit(p.holds, 2) | bit(p.fixed, 3) | bit(p.trouble, 4) | p.nonce<<5 | bit(p.late, 7)
		c[2] = p.checked | bit(p.back, 7)
		c[3], c[4], c[5] = byte(p.report), byte(p.report>>8), byte(p.report>>16)
		c[6], c[7], c[8] = byte(p.pend), byte(p.pend>>8), byte(p.pend>>16)
		c[9], c[10] = byte(p.read), byte(p.read>>8)
	}
}

func (w *world) decode(b []byte, n int) {
	*w = world{}
	w.run = uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	w.plan, w.leader = b[3]>>4, int8(b[3]&7)-1
	w.budget = budgets{b[4] >> 6, b[4] >> 4 & 3, b[4] >> 2 & 3, b[4] & 3, b[5] >> 6, b[5] >> 4 & 3, b[5] >> 2 & 3, b[5] & 3, b[3] >> 3 & 1}
	for k := range w.ops {
		w.ops[k] = operator{int8(b[6+k]>>4) - 1, b[6+k] & 15}
	}
	w.orders, w.frozen, w.out = b[8], b[9], b[10]
	for i := range n {
		p, c := &w.m[i], b[11+11*i:]
		p.at, p.prog, p.file, p.phase = c[0]&3, c[0]>>2&1, c[0]>>3&3, c[0]>>5&3
		p.ill = c[0]&128 > 0
		f := c[1]
		p.drained, p.tidied, p.holds, p.fixed, p.trouble, p.nonce, p.late = f&1 > 0, f&2 > 0, f&4 > 0, f&8 > 0, f&16 > 0, f>>5&3, f&128 > 0
		p.checked, p.back = c[2]&127, c[2]&128 > 0
		p.report = uint32(c[3]) | uint32(c[4])<<8 | uint32(c[5])<<16
		p.pend = uint32(c[6]) | uint32(c[7])<<8 | uint32(c[8])<<16
		p.read = uint32(c[9]) | uint32(c[10])<<8
	}
}
