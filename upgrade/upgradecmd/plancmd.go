package upgradecmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) plan() *cobra.Command {
	cmd := leaf("plan [FILE]", "See what an upgrade would do, in which order, and what it costs",
		`Show the order of the members and why, what has to hold before each step, the
limits, what clients will notice, and the way back. The plan has an id: with
--plan ID an upgrade is refused if archive, members or policy changed since.
Nothing is changed. Exit code 3 means that checks fail.`)
	addChecks(cmd)
	addOutage(cmd)
	cmd.ValidArgsFunction = completeArchive
	cmd.RunE = t.verb(false, runPlan)
	return cmd
}

func runPlan(ctx context.Context, s *session, args []string) error {
	o, file, err := s.against(ctx, args)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.reporter.doing("planning")
	plan, err := c.Plan(ctx, o)
	if err != nil {
		return err
	}
	s.reporter.doing("")
	s.document(plan, func() []string { return planText(s.outView(0), plan, file) })
	if !plan.Ready {
		return &ExitError{Code: CodeRefused, Err: errors.New("plan: not ready")}
	}
	return nil
}

// planText is what `plan` prints.
func planText(v view, p upgrade.PlanReport, file string) []string {
	single := len(p.Steps) <= 1
	head := "Plan " + clean(p.ID) + "   " + strings.TrimSpace(clean(p.Product)+" "+versions(p.From, p.To))
	if single {
		head += "   one server, alone"
	} else {
		head += fmt.Sprintf("   %s, quorum %d, one at a time", plural(p.Voters, "voter"), p.Quorum)
	}
	lines := []string{head, ""}
	if single {
		lines = append(lines, planAlone(v, p)...)
	} else {
		lines = append(lines, planTable(v, p)...)
	}
	say := func(word, text string) {
		lines = append(lines, wrap(pad(word, 9)+"  ", "           ", text, v.width)...)
	}
	lines = append(lines, "")
	steady := limitText(p.Limits.MinHealthy)
	if single {
		say("Gates", "call it done      new boot, new digest, ready, "+steady+" steady")
		say("Limits", limitText(p.Limits.Member)+" (then: the run fails)")
	} else {
		say("Gates", "start a member    all others healthy, nobody else in flight")
		say("", fmt.Sprintf("restart it        it does not lead, %s up without it", plural(p.Quorum, "voter")))
		say("", "call it done      new boot, new digest, caught up, ready, "+steady+" steady")
		say("Limits", limitText(p.Limits.Member)+" a member (then: the run fails)")
	}
	if len(p.Cost) > 0 {
		lines = append(lines, "")
	}
	for i, c := range p.Cost {
		word := ""
		if i == 0 {
			word = "Cost"
		}
		say(word, clean(c))
	}
	if p.WayBack != "" {
		say("Way back", clean(p.WayBack))
	}
	lines = append(lines, problemLines(v, p.Problems)...)
	lines = append(lines, "")
	again := []string{"plan"}
	next := []string{"start"}
	if file != "" {
		again = append(again, fileWord(file))
		next = []string{fileWord(file)}
	}
	if !p.Ready {
		return append(lines, "Not ready. Nothing was changed.", againLine(v, p.Problems, again...))
	}
	return append(lines, "Ready. Nothing was changed.", "Run it:  "+v.hint(append(next, "--plan", p.ID)...))
}

func planAlone(v view, p upgrade.PlanReport) []string {
	if len(p.Steps) == 0 {
		return []string{"Server     nothing to do"}
	}
	step := p.Steps[0]
	lines := []string{"Server     " + clean(step.Member) + "  " + versions(step.From, step.To) + "   last time " + lastTime(step)}
	if v.width >= 120 {
		lines[0] += "   digest " + shortDigest(step.Now, 4, 2) + " -> " + shortDigest(step.Then, 4, 2) + "   " + clean(step.Addr)
	}
	if step.Because != "" {
		lines = append(lines, wrap("Because    ", "           ", clean(step.Because), v.width)...)
	}
	return lines
}

func planTable(v view, p upgrade.PlanReport) []string {
	wide := v.width >= 120
	t := table{min: []int{1, 6, 6, 6}}
	if wide {
		t.right = map[int]bool{7: true}
		t.add("#", "MEMBER", "ADDRESS", "NOW", "THEN", "DIGEST NOW -> THEN", "BECAUSE", "LAST TIME")
	} else {
		t.right = map[int]bool{5: true}
		t.add("#", "MEMBER", "NOW", "THEN", "BECAUSE", "LAST TIME")
	}
	for i, step := range p.Steps {
		row := []string{fmt.Sprint(i + 1), clean(step.Member)}
		if wide {
			row = append(row, clean(step.Addr))
		}
		row = append(row, clean(step.From), clean(step.To))
		if wide {
			row = append(row, shortDigest(step.Now, 4, 2)+" -> "+shortDigest(step.Then, 4, 2))
		}
		t.add(append(row, clean(step.Because), lastTime(step))...)
	}
	return append(t.lines(), "   Whoever leads at that moment goes last, not "+clean(p.Steps[len(p.Steps)-1].Member)+" by name.")
}

// lastTime is measured or unknown, never guessed.
func lastTime(step upgrade.PlanStep) string {
	if step.Last <= 0 {
		return "unknown"
	}
	return spanText(step.Last)
}
