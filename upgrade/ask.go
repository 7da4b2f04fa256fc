package upgrade

import (
	"context"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// askOthers has the members that have said nothing in the record, or nothing that
// counts any more, say what they run. While nothing is staged nothing is written
// there. Who does not answer within a second stays unknown.
func (o *Orchestrator) askOthers(ctx context.Context, v view) {
	if o.peers.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answers := make(chan PeerReport, len(v.members))
	asked := 0
	for _, m := range v.members {
		known := v.run.Status != tracking.None && v.reports[string(m.ID)].Version != ""
		if string(m.ID) == v.self || !m.Healthy || known {
			continue
		}
		asked++
		go func(m cluster.Member) {
			r, err := o.peers.report(ctx, m)
			if err != nil {
				o.c.Logger.Debug("ask what it runs", "member", m.ID, "error", err)
			}
			answers <- r
		}(m)
	}
	for range asked {
		a := <-answers
		if a.Member == "" {
			continue
		}
		r := v.reports[a.Member]
		r.Boot, r.Version, r.Program, r.Platform, r.Previous = a.Boot, a.Version, a.Program, a.Platform, a.Previous
		v.reports[a.Member] = r
	}
}
