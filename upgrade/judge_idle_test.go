package upgrade

import (
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// What to do about a run that is in the way depends on how far it is.
func TestRunInTheWay(t *testing.T) {
	for status, want := range map[tracking.Status]string{
		tracking.Staging: "wait until it is staged",
		tracking.Staged:  "start it",
		tracking.Working: "cancel it",
	} {
		k := (&Orchestrator{}).checkIdle(view{run: tracking.Run{Status: status}}, CheckOptions{Head: new(archive.Head)}, nil)
		if k.Result != Fail || !strings.Contains(k.Fix.Text, want) {
			t.Errorf("%s: %+v, want %q", status, k, want)
		}
	}
}
