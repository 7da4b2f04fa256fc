package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// judge looks at what is there now, and holds it against the promises.
func (d *demo) judge(ctx context.Context) (err error) {
	d.target, err = show.FileDigest(filepath.Join(d.Dir, "release", "bin", runtime.GOOS, runtime.GOARCH, product))
	if err != nil {
		return err
	}
	d.sum.SteadySum = ms(int64(d.minHealthy) * int64(d.size))
	if err := d.judgeMembers(ctx); err != nil {
		return err
	}
	if b, ok := breaks[d.broken]; ok {
		b.judge(d)
	} else {
		d.judgeUpgrade()
	}
	d.sum.Story = d.story()
	return nil
}

func (d *demo) judgeMember(ctx context.Context, n *node, m *memberSummary) (err error) {
	n.mu.Lock()
	m.Restarts = n.restarts
	n.mu.Unlock()
	if m.DigestAfter, err = show.FileDigest(n.program); err != nil {
		return err
	}
	// One that does not start has no answer to give.
	if i, err := n.info(ctx, n.fresh); err == nil {
		m.VersionAfter, m.PIDAfter, m.NewBoot = i.Version, i.PID, i.Boot != m.bootBefore
	}
	return ctx.Err()
}

// report prints the summary; the error, if any, says what was not as promised.
func (d *demo) report(stdout io.Writer) error {
	if d.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.sum); err != nil {
			return err
		}
	} else if d.sum.Findings != nil {
		d.table()
	}
	if !d.sum.OK {
		return errors.New("not as promised: " + strings.Join(d.sum.Problems, "; "))
	}
	return nil
}

func (d *demo) table() {
	s := d.sum
	row := func(name, format string, args ...any) {
		fmt.Fprintf(d.Out, "  %-26s%s\n", name, fmt.Sprintf(format, args...))
	}
	d.promise()
	fmt.Fprintln(d.Out, "Seen")
	for _, f := range s.Findings {
		mark := "✓"
		if !f.Seen {
			mark = "✗"
		}
		fmt.Fprintf(d.Out, "%s %s: %s\n", mark, f.Promise, f.Detail)
	}
	d.tellStory()
	if len(s.Story) > 0 {
		fmt.Fprintln(d.Out, "\nWhat was measured")
	} else {
		fmt.Fprintln(d.Out, "\nWhat happened")
	}
	if len(s.Order) > 0 {
		row("order", "%s%s", strings.Join(s.Order, " "), d.bare("%s", d.only("", " (the leader last)")))
	}
	handoffs := ""
	for _, l := range s.Handoffs {
		handoffs += fmt.Sprintf(", to %s in term %d", l.Member, l.Term)
	}
	row("leadership seen to move", "%d%s", len(s.Handoffs), handoffs)
	row("writes", "%d sent, %d failed, %d lost", s.Writes.Sent, s.Writes.Failed, s.Lost)
	row("reads", "%d sent, %d failed, %d did not find what was acknowledged", s.Reads.Sent, s.Reads.Failed, s.ReadsMissing)
	if n := s.Writes.Errors + s.Reads.Errors; n > 0 {
		row("answered by another", "%d requests, after an error of the member that was asked first", n)
	}
	row("longest write gap", "%s%s", s.Gap, d.bare(" (%s when %s is restarted the plain way)", s.BareGap, d.only("it", "each member")))
	row("longest wait of a client", "%s for a write, %s for a read", s.Writes.Longest, s.Reads.Longest)
	for _, m := range s.Members {
		turn := "no turn completed"
		switch {
		case m.Took > 0:
			turn = "turn " + m.Took.String()
		case len(s.Story) > 0 && m.ID == s.FailedMember:
			turn = "put its program back"
		case len(s.Story) > 0:
			turn = "no turn"
		}
		row("member "+m.ID, "%s -> %s, %s%s", m.VersionBefore, orNone(m.VersionAfter), turn, d.bare(", its bare restart %s", m.BareRestart))
	}
	if s.Total > 0 {
		row("total time", "%s%s", s.Total, d.bare("; the bare restarts %s, being well %d x %s", s.BareSum, d.size, ms(d.minHealthy)))
	}
	if s.FinalState != "" && len(s.Story) == 0 { // else it was told
		row("final state", "%s", s.FinalState)
	}
	if s.Kept {
		row("everything lies in", "%s", s.Dir)
		d.next()
		return
	}
	if s.OK {
		row("everything lay in", "%s, removed (keep it with --keep)", s.Dir)
	}
}

// promise says what is to go wrong, and what is promised for it.
func (d *demo) promise() {
	if b, ok := breaks[d.broken]; ok {
		fmt.Fprintf(d.Out, "Promised, when %s:\n  %s\n", b.does, strings.ReplaceAll(b.promise, "\n", "\n  "))
	}
}

// only chooses between words for a server that is alone and for a cluster.
func (d *demo) only(alone, cluster string) string {
	if d.size == 1 {
		return alone
	}
	return cluster
}

// bare is the part of a line that is about a run in which nothing goes wrong, and
// the bare restarts before it.
func (d *demo) bare(format string, args ...any) string {
	if d.broken != "" {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func orNone(version string) string {
	if version == "" {
		return "does not answer"
	}
	return version
}

// next says how to go on by hand.
func (d *demo) next() {
	data := filepath.Join(d.nodes[0].dir, "data")
	var pids, logs []string
	for _, n := range d.nodes {
		pids = append(pids, fmt.Sprint(n.running().PID))
		logs = append(logs, filepath.Join(n.dir, product+".log"))
	}
	fmt.Fprintf(d.Out, `
The cluster is still running. Go on by hand:
  export RAFTKVD_DATA=%[1]s
  %[2]s upgrade status
  %[2]s upgrade unstage
  curl --cacert %[1]s/server.crt -u "$(head -n1 %[1]s/users)" -X PUT -d blue %[3]s/api/v3/kv/color
  curl --cacert %[1]s/server.crt -u "$(head -n1 %[1]s/users)" %[4]s/api/v3/kv/color
  tail -f %[5]s
End it and remove everything:
  kill %[6]s && rm -r %[7]s
`, data, d.Program, d.nodes[0].url, d.nodes[len(d.nodes)-1].url, strings.Join(logs, " "), strings.Join(pids, " "), d.Dir)
}

func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	if len(digest) < 12 {
		return digest
	}
	return digest[:12]
}
