package upgrade

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var modelFlag = flag.String("upgrade.model", "", "large: search the larger models as well, for minutes")

// Sizes of searches.
const (
	small  = iota // with the race detector as well
	middle        // in every other run
	large         // if the flag says so
)

func TestModel(t *testing.T) {
	for _, c := range []struct {
		modelConfig
		size int
	}{
		{modelConfig{members: 1}, small},
		{modelConfig{members: 1, budget: budgets{crash: 2, cancel: 1, retry: 1}}, small},
		{modelConfig{members: 1, budget: budgets{crash: 1, cancel: 1, retry: 1, fail: 1}}, small},
		{modelConfig{members: 1, budget: budgets{back: 1}}, small},
		{modelConfig{members: 1, budget: budgets{back: 1, crash: 2, retry: 1}}, small},
		{modelConfig{members: 1, budget: budgets{back: 1, crash: 1, cancel: 1, fail: 1}}, small},
		{modelConfig{members: 2, outage: true}, small},
		{modelConfig{members: 2, outage: true, budget: budgets{back: 1}}, small},
		{modelConfig{members: 2, outage: true, budget: budgets{back: 1, crash: 1}}, middle},
		{modelConfig{members: 2, outage: true, budget: budgets{back: 1, move: 1, fail: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{back: 1}}, small},
		{modelConfig{members: 3, budget: budgets{back: 1, cancel: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{back: 1, move: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{back: 1, crash: 1}}, large},
		{modelConfig{members: 2, outage: true, budget: budgets{crash: 1, move: 1}}, middle},
		{modelConfig{members: 3}, small},
		{modelConfig{members: 3, budget: budgets{move: 1}}, small},
		{modelConfig{members: 3, budget: budgets{cancel: 1, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{move: 1, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{retry: 2}}, large},
		{modelConfig{members: 3, frozen: true, budget: budgets{move: 1, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{crash: 1, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{fail: 1, cancel: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{fail: 2, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{crash: 1, pause: 1}}, middle},
		{modelConfig{members: 3, fixed: true, budget: budgets{crash: 1, cancel: 1}}, middle},
		{modelConfig{members: 3, fixed: true, budget: budgets{cancel: 1, retry: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{crash: 1, move: 1, cancel: 1}}, middle},
		{modelConfig{members: 3, budget: budgets{crash: 1, move: 1, cancel: 1, retry: 1}}, large},
		{modelConfig{members: 3, cached: true, budget: budgets{move: 1}}, middle},
		{modelConfig{members: 3, cached: true, budget: budgets{crash: 1}}, middle},
		{modelConfig{members: 3, cached: true, budget: budgets{cancel: 1, retry: 1}}, middle},
		{modelConfig{members: 3, cached: true, frozen: true, budget: budgets{move: 1, retry: 1}}, large},
		{modelConfig{members: 3, cached: true, budget: budgets{crash: 1, move: 1}}, large},
		{modelConfig{members: 3, budget: budgets{part: 1}}, middle},
		{modelConfig{members: 4, budget: budgets{part: 1}}, middle},
		{modelConfig{members: 4, budget: budgets{join: 1}}, middle},
		{modelConfig{members: 5, checked: true}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{move: 1}}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{crash: 1}}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{fail: 1}}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{cancel: 1}}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{part: 1}}, middle},
		{modelConfig{members: 5, checked: true, budget: budgets{crash: 1, move: 1}}, large},
	} {
		c.modelConfig.run(t, c.size)
	}
}

func (c modelConfig) String() string {
	b := c.budget
	s := fmt.Sprintf("%d members, crash=%d move=%d cancel=%d retry=%d", c.members, b.crash, b.move, b.cancel, b.retry)
	for _, more := range []struct {
		name string
		n    uint8
	}{{"back", b.back}, {"fail", b.fail}, {"pause", b.pause}, {"join", b.join}, {"part", b.part}} {
		if more.n > 0 {
			s += fmt.Sprintf(" %s=%d", more.name, more.n)
		}
	}
	if c.fixed {
		s += ", fixed leadership"
	}
	if c.cached {
		s += ", cached reports"
	}
	if c.frozen {
		s += ", frozen past a lease"
	}
	if c.outage {
		s += ", outage allowed"
	}
	if c.variant != "" {
		s += ", " + c.variant
	}
	return s
}

func (c modelConfig) run(t *testing.T, size int) {
	if size == large && *modelFlag != "large" || size == middle && modelRace {
		return
	}
	t.Run(c.String(), func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		v := explore(newModel(c), 200_000_000, true)
		t.Logf("model: %v: %d states, %d steps, %v", c, v.states, v.edges, time.Since(began).Round(time.Millisecond))
		if v.broken != "" || v.stuck+v.unfinished+v.unquiet > 0 || v.full {
			t.Error(v)
		}
	})
}
