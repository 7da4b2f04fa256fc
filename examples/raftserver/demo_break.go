package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// A breakage is something that can go wrong, and what is promised for it.
type breakage struct {
	does    string // what the demo does
	fails   string // what is wrong with the new version, in short
	promise string
	spoil   spoil.Way // how the new version is built
	least   int       // members that it takes
	judge   func(d *demo)
}

// breaks are the values of --break.
var breaks = map[string]breakage{
	"ARCHIVE": {
		does: "the archive is damaged on its way, and then one comes that nobody signed",
		promise: "Both are refused, with the reason, before anything is kept. Nobody is touched: programs, processes\n" +
			"and record are as they were, and clients notice nothing.",
		least: 1, judge: (*demo).judgeArchive,
	},
	"START": {
		does: "the new version ends as soon as it serves", fails: "it ends as soon as it serves",
		promise: "After three starts that did not last the member puts its old program back by itself, and serves again. The\n" +
			"run ends failed, and names the member and the reason. Nobody else is touched, the others go on serving,\n" +
			"and no acknowledged write is lost.",
		spoil: spoil.Start, least: 3, judge: (*demo).judgeFailed,
	},
	"REJOIN": {
		does: "the new version serves, but is never ready", fails: "it serves, but says of itself that it is not ready",
		promise: "When its time to become ready is up the member puts its old program back by itself, and serves again. The\n" +
			"run ends failed, and names the member and the reason. Nobody else is touched, the others go on serving,\n" +
			"and no acknowledged write is lost.",
		spoil: spoil.NeverReady, least: 3, judge: (*demo).judgeFailed,
	},
	"LEADER": {
		does: "half-way, the leader is killed by SIGKILL; its supervisor starts it again",
		promise: "Another member leads, and takes the upgrade over from the record. The one that was killed gets its turn\n" +
			"like all others, the run finishes, every write is acknowledged in the end, and none is lost.",
		least: 3, judge: (*demo).judgeKilled,
	},
}

func breakNames() []string { return slices.Sorted(maps.Keys(breaks)) }

func breakHelp() string {
	var b strings.Builder
	for _, name := range breakNames() {
		fmt.Fprintf(&b, "  %-8s %s\n", name, breaks[name].does)
	}
	return b.String()
}

// refusals stages what must be refused.
func (d *demo) refusals(ctx context.Context) error {
	good, err := os.ReadFile(filepath.Join(d.Dir, d.archive))
	if err != nil {
		return err
	}
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 0xff
	if err := os.WriteFile(filepath.Join(d.Dir, "damaged.zip"), damaged, 0o600); err != nil {
		return err
	}
	if err := d.Command(ctx, "upgrade", "pack", "--product", product, "--version", demoNew, "--counter", "2", "--out", "unsigned.zip", "release"); err != nil {
		return err
	}
	for _, file := range []string{"./damaged.zip", "./unsigned.zip"} {
		cmd := d.Prepare(ctx, "upgrade", "stage", file)
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(d.Out, "\n$ %s upgrade stage %s\n%s", product, file, out)
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || !exit.Exited()) {
			return err
		}
		code := cmd.ProcessState.ExitCode()
		want := map[string]int{"./damaged.zip": upgradecmd.CodeRefused, "./unsigned.zip": upgradecmd.CodeDenied}[file]
		d.sum.find(code == want, strings.TrimSuffix(file[2:], ".zip")+" archive is refused", "exit code %d (%s)", code, upgradecmd.ExitName(code))
	}
	fmt.Fprintln(d.Out)
	client, err := d.newClient()
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	d.sum.Status = s.Status
	d.sum.find(s.Status == "none", "the record is empty", "status %s", s.Status)
	return nil
}

func (d *demo) judgeArchive() {
	kept := []string{}
	for _, n := range d.nodes {
		filepath.WalkDir(filepath.Join(n.dir, "data", "archives"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				kept = append(kept, path)
			}
			return nil
		})
	}
	d.sum.find(len(kept) == 0, "nothing of the archives is kept", "%d files%s", len(kept), strings.Join(append([]string{""}, kept...), " "))
	d.untouched("")
	d.unnoticed()
}

// judgeFailed is for a new version that is no good.
func (d *demo) judgeFailed() {
	s := &d.sum
	s.find(s.Status == string(tracking.Failed) && s.Total > 0 && s.Total < ms(d.memberTimeout+5*time.Second),
		"the run ends failed", "%s after %s (a member may take %s)", s.Status, s.Total, ms(d.memberTimeout))
	why, _, _ := strings.Cut(s.FinalState, ". Now: ") // what runs now, and what comes next, is told below
	s.find(s.FailedMember != "" && s.FailedReason != "" && strings.Contains(s.FinalState, s.FailedMember),
		"the member and the reason are named", "%s, %s: %s", s.FailedMember, s.FailedReason, why)
	for _, m := range s.Members {
		if m.ID == s.FailedMember {
			s.find(m.VersionAfter == demoOld && m.DigestAfter == m.DigestBefore && m.NewBoot,
				"it serves its old program again", "%s runs %s", m.ID, cmp.Or(m.VersionAfter, "nothing"))
		}
	}
	d.untouched(s.FailedMember)
	s.find(s.Writes.Sent > 0 && s.Writes.Failed == 0, "the others go on serving", "%d writes sent, %d failed, longest gap %s", s.Writes.Sent, s.Writes.Failed, s.Gap)
	d.nothingLost()
}

func (d *demo) judgeKilled() {
	s := &d.sum
	s.find(s.Killed != "", "the leader was killed half-way", "%s, while %s", s.Killed, s.KilledWhile)
	restarts := 0
	for _, m := range s.Members {
		restarts += m.Restarts
	}
	s.find(restarts > 0, "its supervisor started it again", "%d restarts in all", restarts)
	next := ""
	if len(s.Handoffs) > 0 {
		next = s.Handoffs[0].Member
	}
	s.find(next != "" && next != s.Killed, "another member leads", "after %s, %s was seen first to lead", s.Killed, cmp.Or(next, "nobody"))
	d.everybodyNew()
	s.find(s.Writes.Sent > 0 && s.Writes.Failed == 0, "every write is acknowledged in the end", "%d writes sent, %d failed, longest gap %s", s.Writes.Sent, s.Writes.Failed, s.Gap)
	d.nothingLost()
}

// judgeUpgrade is for a run in which nothing goes wrong.
func (d *demo) judgeUpgrade() {
	s := &d.sum
	d.everybodyNew()
	order, granted := d.watch.turns()
	last := "nobody"
	if len(order) > 0 {
		last = order[len(order)-1]
	}
	if d.size == 1 {
		s.find(len(order) == 1, "it gets its turn", "%s had one", last)
	} else {
		led := d.watch.ledAt(granted[last])
		s.find(len(order) == d.size && led == last, "the leader goes last", "order %s; %s led when %s got its turn", strings.Join(order, " "), led, last)
		s.find(slices.ContainsFunc(s.Handoffs, func(l leadership) bool { return l.Member != last }), "leadership is handed over", "%s -> %s", s.LeaderBefore, s.LeaderAfter)
	}
	for _, m := range s.Members {
		if m.PIDAfter != m.PIDBefore || m.Restarts > 0 {
			s.problem("%s: pid %d -> %d, %d restarts by the supervisor; it was to replace itself", m.ID, m.PIDBefore, m.PIDAfter, m.Restarts)
		}
	}
	d.unnoticed()
}

// everybodyNew is for a run that finished.
func (d *demo) everybodyNew() {
	s := &d.sum
	s.find(s.Status == string(tracking.Finished), "the run finishes", "%s", cmp.Or(s.FinalState, s.Status))
	old := []string{}
	for _, m := range s.Members {
		if m.VersionBefore != demoOld || m.VersionAfter != demoNew || m.DigestAfter != d.target || !m.NewBoot {
			old = append(old, fmt.Sprintf("%s runs %s, installed %s", m.ID, m.VersionAfter, short(m.DigestAfter)))
		}
	}
	s.find(len(old) == 0, "every member runs the new program", "%d of %d do%s", d.size-len(old), d.size, strings.Join(append([]string{""}, old...), "; "))
}

// untouched is for members that nothing may happen to.
func (d *demo) untouched(but string) {
	touched := []string{}
	for _, m := range d.sum.Members {
		if m.ID != but && (m.VersionAfter != demoOld || m.DigestAfter != m.DigestBefore || m.PIDAfter != m.PIDBefore || m.NewBoot || m.Restarts > 0) {
			touched = append(touched, m.ID)
		}
	}
	text := "nobody is touched"
	if but != "" {
		text = "nobody else is touched"
	}
	d.sum.find(len(touched) == 0, text, "%d of %d members touched%s", len(touched), d.size, strings.Join(append([]string{""}, touched...), " "))
}

// unnoticed is for clients of which every single request has to succeed.
func (d *demo) unnoticed() {
	s := &d.sum
	first := s.Writes.First
	if first == "" {
		first = s.Reads.First
	}
	if first != "" {
		first = "; first: " + first
	}
	s.find(s.Writes.Sent > 0 && s.Reads.Sent > 0 && s.Writes.Failed+s.Writes.Errors+s.Reads.Failed+s.Reads.Errors == 0,
		"clients see no error", "%d writes and %d reads, %d errors%s", s.Writes.Sent, s.Reads.Sent, s.Writes.Errors+s.Reads.Errors, first)
	d.nothingLost()
}

func (d *demo) nothingLost() {
	s := &d.sum
	first := ""
	if s.FirstLost != "" {
		first = "; first: " + s.FirstLost
	}
	s.find(s.Lost == 0 && s.ReadsMissing == 0, "no acknowledged write is lost", "%d lost, %d reads did not find theirs%s", s.Lost, s.ReadsMissing, first)
}
