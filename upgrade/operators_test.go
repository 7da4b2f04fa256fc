package upgrade

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// demand has somebody ask a member for something; id is that of the run, if that
// began or goes on.
func demand(t *testing.T, p *process, what string) (id string, err error) {
	skip := []string{"failed-before"}
	switch what {
	case "retry":
		return p.Retry(t.Context(), RetryOptions{By: what, Skip: skip})
	case "rollback":
		return p.Rollback(t.Context(), RollbackOptions{By: what, Skip: skip})
	case "commit":
		return "", p.Commit(t.Context(), CommitOptions{By: what})
	case "unstage":
		return "", p.Unstage(t.Context(), UnstageOptions{By: what})
	case "stage":
		_, err = p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.3.0"))), StageOptions{By: what, Size: -1})
		return "", err
	}
	return p.Start(t.Context(), StartOptions{By: what, Skip: skip})
}

// beingPutBack is an upgraded fleet at the moment when m3 has put 1.1.0 back and
// its process is gone: nobody knows of it yet.
func beingPutBack(t *testing.T) *fleet {
	f := upgraded(t, "m1", "m2", "m3")
	f.sim.Lead("m1")
	badOn3(f)
	f.at("m3").kill(errKilled)
	time.Sleep(5 * time.Second)
	stage(t, f.at("m1"), "1.2.0")
	if _, err := f.at("m1").Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.2.0", "1.1.0"} {
		for f.machines["m3"].installed() != version {
			time.Sleep(100 * time.Millisecond)
		}
	}
	if r := f.machines["m1"].run(); r.Status != tracking.Working {
		t.Fatalf("it is %s already", r.Status)
	}
	return f
}

// Two operators ask two members for something at the same moment, around a revert:
// one of them has it, or nobody, and the others are refused by name; whatever it is, it
// comes to an end, and the record says what the machines run.
func TestTwoOperators(t *testing.T) {
	for _, c := range []struct {
		when  string
		fleet func(*testing.T) *fleet
		asks  []string
		none  bool // of them but unstage can have it
	}{
		{"after one was put back", failed12, []string{"retry", "rollback", "unstage", "stage"}, false},
		{"after all went well", func(t *testing.T) *fleet { return upgraded(t, "m1", "m2", "m3") }, []string{"rollback", "commit", "unstage", "stage"}, false},
		{"while one is put back", beingPutBack, []string{"retry", "rollback", "unstage", "commit"}, true},
	} {
		if modelRace || testing.Short() { // half an hour of three members each time
			c.asks = c.asks[:2]
		}
		for i, one := range c.asks {
			for _, other := range c.asks[i:] {
				if one == other && i > 1 {
					continue // that is no matter of reverts
				}
				t.Run(fmt.Sprintf("%s, %s and %s", c.when, one, other), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						f := c.fleet(t)
						asked := []string{one, other}
						ids, errs := make([]string, 2), make([]error, 2)
						var wg sync.WaitGroup
						for i, at := range []string{"m2", "m1"} {
							wg.Go(func() { ids[i], errs[i] = demand(t, f.at(at), asked[i]) })
						}
						wg.Wait()
						var won []string
						for i, err := range errs {
							var no *Refusal
							if err == nil {
								won = append(won, asked[i])
							} else if !errors.As(err, &no) || no.Reason == "" || no.Message == "" || no.Remedy == "" {
								t.Errorf("%s: %#v", asked[i], err)
							}
						}
						said := fmt.Sprintf("%s: %v; %s: %v", one, errs[0], other, errs[1])
						switch removed := slices.Contains(won, "unstage"); {
						case len(won) == 2 && one == other && ids[0] != ids[1]:
							t.Errorf("two runs: %q", ids)
						case len(won) == 2 && slices.Contains(won, "commit") && slices.Contains(won, "stage"): // one after the other
						case len(won) == 2 && one != other && !removed:
							t.Errorf("both have it: %s", said)
						case c.none && len(won) > 0 && !removed:
							t.Errorf("somebody has it: %s", said)
						}
						f.settled(t, said)
					})
				})
			}
		}
	}
}

// settled waits until nothing goes on any more, and looks at what there is.
func (f *fleet) settled(t *testing.T, said string) {
	t.Helper()
	f.ends()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	m := f.machines["m1"]
	r := m.run()
	if r.Status == tracking.Working || r.Status == tracking.Staging {
		t.Fatalf("%s\nit is still %s:\n%s", said, r.Status, m.transcript())
	}
	if _, now, ok := strings.Cut(r.FinalState, "Now: "); ok && r.Status != tracking.None && !strings.HasPrefix(now, f.versions()) {
		t.Errorf("%s\nit is %s, and the record says %s", said, f.versions(), r.FinalState)
	}
	for id, m := range f.machines {
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("%s\nleft over at %s: %v", said, id, left)
		}
		if j := f.at(id).journal(); j.inFlight() {
			t.Errorf("%s\nthe journal of %s is %s:\n%s", said, id, j.Phase, f.machines["m1"].transcript())
		}
		if m.installed() != f.at(id).c.Started.Identity.Version {
			t.Errorf("%s\n%s runs %s, and %s lies there", said, id, f.at(id).c.Started.Identity.Version, m.installed())
		}
	}
}
