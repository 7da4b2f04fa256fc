package upgradecmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) check() *cobra.Command {
	cmd := leaf("check [FILE]", "See whether an upgrade would be refused, and why",
		`Run the checks of the cluster, and those of the member that answers, and say
what stands in the way of an upgrade to FILE, or to what is staged, or of any
upgrade. The other members check themselves when it is started, before one is
touched. FILE is not sent: its signature, manifest and list of files are.
Nothing is changed. Exit code 3 means not ready.`)
	cmd.Flags().Bool("all", false, "list the checks that passed, too")
	addChecks(cmd)
	addOutage(cmd)
	cmd.ValidArgsFunction = completeArchive
	cmd.RunE = t.verb(false, runCheck)
	return cmd
}

func runCheck(ctx context.Context, s *session, args []string) error {
	o, file, err := s.against(ctx, args)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.reporter.doing("checking")
	report, err := c.Check(ctx, o)
	if err != nil {
		return err
	}
	s.reporter.doing("")
	s.document(report, func() []string {
		v := s.outView(0)
		if v.plain || !s.out.tty {
			return checkPlain(report)
		}
		return checkText(v, report, file, flagBool(s.cmd, "all"))
	})
	if !report.Ready {
		return &ExitError{Code: codeOfChecks(report.Checks), Err: fmt.Errorf("check: %s", notReadyText(report))}
	}
	return nil
}

// against reads what a check or plan is about. The file is not kept open.
func (s *session) against(ctx context.Context, args []string) (o upgrade.CheckOptions, file string, err error) {
	if len(args) > 1 {
		return o, "", usagef("one FILE at a time")
	}
	o.Skip, o.AllowOutage = flagList(s.cmd, "skip-check"), flagBool(s.cmd, "allow-outage")
	s.ifLeft("Nothing was changed.")
	if len(args) == 0 {
		return o, "", nil
	}
	f, err := openArchive(ctx, s, args[0])
	if err != nil {
		return o, "", err
	}
	defer f.Close()
	o.Head = &f.head
	return o, args[0], nil
}

// checkText is what `check` prints on a terminal.
func checkText(v view, r upgrade.CheckReport, file string, all bool) []string {
	lines := archiveLines(v, r.Archive)
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	if len(r.Members) == 1 {
		m := r.Members[0]
		pass, warn, fail := tally(r.Checks, "")
		lines = append(lines, fmt.Sprintf("Server    %s %s  %s   %d pass  %d warn  %d fail",
			clean(r.Product), clean(m.Version), clean(r.Platform.String()), pass, warn, fail))
	} else {
		t := table{min: []int{6, 6, 7}, right: map[int]bool{3: true, 4: true, 5: true}}
		t.add("MEMBER", "ROLE", "VERSION", "PASS", "WARN", "FAIL")
		for _, m := range r.Members {
			cells := []string{"-", "-", "-"}
			if looked(r.Checks, m.ID) {
				for i, n := range tallies(r.Checks, m.ID) {
					cells[i] = fmt.Sprint(n)
				}
			}
			version := clean(m.Version)
			if version == "" {
				version = "?"
			}
			t.add(append([]string{clean(m.ID), clean(m.Role), version}, cells...)...)
		}
		lines = append(lines, t.lines()...)
		for _, c := range r.Checks {
			if c.ID == "members-own" {
				lines = append(lines, wrap("", "  ", clean(c.Title), v.width)...)
			}
		}
	}
	lines = append(lines, problemLines(v, problems(r.Checks))...)
	if all {
		lines = append(lines, "")
		for _, c := range r.Checks {
			if c.Result == upgrade.Pass {
				lines = append(lines, wrap(v.ok()+" "+member(c)+"  "+clean(c.ID)+"  ", "      ", clean(c.Title), v.width)...)
			}
		}
	}
	lines = append(lines, "")
	again := []string{"check"}
	if file != "" {
		again = append(again, fileWord(file))
	}
	if !r.Ready {
		return append(lines, notReadyText(r)+" Nothing was changed.", againLine(v, r.Checks, again...))
	}
	ready := "Ready."
	if later := notAsked(r); len(later) > 0 {
		ready = "Ready, as far as was looked; " + strings.Join(later, " ") + verb(later, " checks itself", " check themselves") + " when it is started."
	}
	lines = append(lines, wrap("", "  ", ready+" Nothing was changed.", v.width)...)
	switch {
	case file != "":
		lines = append(lines, "Run it:  "+v.hint(fileWord(file)))
	case r.Archive != nil:
		lines = append(lines, "Run it:  "+v.hint("start"))
	}
	return lines
}

// notAsked are the members whose machines nobody has looked at: each does that
// itself when the upgrade is started.
func notAsked(r upgrade.CheckReport) (ids []string) {
	for _, m := range r.Members {
		if len(r.Members) > 1 && !looked(r.Checks, m.ID) {
			ids = append(ids, clean(m.ID))
		}
	}
	return ids
}

// readyText sums up checks that let an upgrade pass.
func readyText(r upgrade.CheckReport) (text string, warned []string) {
	var ids []string
	later := notAsked(r)
	for _, m := range r.Members {
		if id := clean(m.ID); !slices.Contains(later, id) {
			ids = append(ids, id)
		}
	}
	for _, c := range problems(r.Checks) {
		warned = append(warned, strings.TrimPrefix(member(c)+": ", "--: ")+clean(c.ID))
	}
	text = strings.Join(ids, " ") + " ready"
	if len(later) > 0 {
		text += ", " + strings.Join(later, " ") + " checked at start"
	}
	if len(warned) > 0 {
		text += ", " + plural(len(warned), "warning") + " (" + strings.Join(warned, ", ") + ")"
	}
	return text, warned
}

func notReadyText(r upgrade.CheckReport) string {
	n, on, seen := 0, []string(nil), map[string]bool{}
	for _, c := range problems(r.Checks) {
		if c.Result != upgrade.Fail || c.Severity != upgrade.Blocker {
			continue
		}
		n++
		if c.Member != "" && !seen[c.Member] {
			seen[c.Member] = true
			on = append(on, clean(c.Member))
		}
	}
	text := fmt.Sprintf("Not ready: %d checks fail", n)
	if n == 1 {
		text = "Not ready: 1 check fails"
	}
	if len(on) > 0 {
		text += ", on " + strings.Join(on, " ")
	}
	return text + "."
}

// checkPlain is a check with one record a line, for programs.
func checkPlain(r upgrade.CheckReport) []string {
	t := table{}
	for _, c := range r.Checks {
		word := string(c.Result)
		if c.Result == upgrade.Fail && c.Severity == upgrade.Warning {
			word = "warn"
		}
		text := clean(c.Title)
		switch {
		case c.Seen == "" || c.Result == upgrade.Pass:
		case c.Result == upgrade.NotRun:
			text = clean(c.Seen)
		default: // the title says what, and of the cluster also who
			text += "  seen=" + quote(c.Seen)
		}
		if c.Result == upgrade.Fail {
			fix := c.Fix.Command
			if fix == "" {
				fix = c.Fix.Text
			}
			text += "  fix=" + quote(fix)
		}
		t.add(member(c), clean(word), clean(c.ID), text)
	}
	_, warn, fail := tally(r.Checks, "")
	word := "ready"
	if !r.Ready {
		word = "not ready"
	}
	result := fmt.Sprintf("result: %s, %d fail, %d warn", word, fail, warn)
	if later := notAsked(r); len(later) > 0 {
		result += "; not asked: " + strings.Join(later, " ")
	}
	return append(t.lines(), result)
}
