package upgradetest

import (
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

// NewFake returns a Cluster in memory: a record that all share, and members
// that all see the same.
func NewFake(members []string) Cluster {
	record := trackingtest.NewMemory()
	var ids []cluster.MemberID
	for _, m := range members {
		ids = append(ids, cluster.MemberID(m))
	}
	sim := clustertest.NewSim(ids...)
	return Cluster{
		Record:     func(string) tracking.Store { return record.Handle() },
		Membership: func(m string) cluster.Membership { return sim.Member(cluster.MemberID(m)) },
		Answers:    func(m string, yes bool) { sim.SetHealthy(cluster.MemberID(m), yes) },
		Elect:      func() { sim.Elect() },
		Lead:       func(m string) { sim.Lead(cluster.MemberID(m)) },
		Add: func(m string, voter bool) {
			sim.Add(cluster.Member{ID: cluster.MemberID(m), Addr: "http://" + m, Voter: voter})
		},
		Remove: func(m string) { sim.Remove(cluster.MemberID(m)) },
	}
}
