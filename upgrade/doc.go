// Package upgrade replaces the program of a running server, alone or as one
// member of its cluster.
//
// # What a host does
//
// Probe is the first line of main: a predecessor may be starting this program to
// ask who it is. Boot is called once on the path that serves, before anything is
// opened; commands of the same binary do not call it. New makes the Orchestrator
// of this member from a Config, and its Run takes the member's part until the
// process ends. Package httpapi serves it, package upgradecmd operates it, and
// package restart keeps the sockets open over the restart.
//
// # What happens in an upgrade
//
// Stage takes an archive, verifies it on this machine and waits until every
// member holds it. Start looks at all prerequisites, starts the new program once
// as a probe, and lets the run work. Then, member by member, the leader last:
//
//	granted     by the leader: all others are well, nobody else is in flight
//	claimed     by the member: from now on files beside its program may change
//	prepared    the new program lies beside the old one, complete and durable
//	            Drain; the member asks for the restart
//	restarting  granted by the leader, from what is so at that moment
//	            Stop, one rename, Restart
//	rejoining   by the new process: it runs the program of this run
//	accepted    by the leader: well for MinHealthy without a break
//	done        the member's last word
//
// Every arrow is a compare-and-swap of one value in the tracking.Store, and each
// is written before it is acted on. What a process knows beyond the record it may
// lose: the next one of the machine goes on from there, or the run ends in failed
// with the member and the reason named.
//
// A server that is alone is a cluster of one. Nothing is different for it, save
// that nobody else can be waited for.
//
// # A program that is no good
//
// Until it is accepted a new program is on trial. If its starts do not last, or it
// is not well in time, Boot, or a guard in its process, puts the program from
// before back and becomes it; that one fails its turn, and with it the run. The
// host learns of it from Started.PutBackFrom, says with Started.AskedToEndBy that a
// start was ended and did not fail, and closes the way back with
// Started.NoWayBack before it changes its data for good. Where nobody starts a
// server again that dies, a process of the program from before watches over the
// trial (Config.Watch); Probe, the first line of main, is what makes it one.
//
// # The way back
//
// The program that was displaced is kept until the next one is, or until
// Orchestrator.Commit gives the way back up. Until then Orchestrator.Rollback goes
// back to it, by a run like any other.
//
// # What lies where
//
// Beside the program are the files that Executable and the journal name; their
// names follow from the path of the program alone. Archives belong to the
// archive.Store of the Config, which is the Orchestrator's own: whatever the
// record does not name is removed from it.
package upgrade
