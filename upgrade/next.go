package upgrade

import "github.com/leaderlast/leaderlast/tracking"

// nextAfter is what an operator can do about a run that fails at member for
// reason; "" where it is over as somebody wished. It stands in the record, so
// that everybody reads it, whatever they look with.
func (v view) nextAfter(member, reason string) string {
	back := v.run.Kind == tracking.KindRollback
	// A program that was put back there, in this run or before, is taken again only
	// if somebody means it.
	putBack := reason == "PutBack" || v.failedCheck(member) == "failed-before"
	switch {
	case reason == "Cancelled":
		return ""
	case v.run.Status == tracking.Staging:
		return "stage it again"
	case putBack && back:
		return "look at the log of " + member + " for what it wrote; stay as it is, or retry without the check failed-before, to try the same program again on " + member
	case putBack:
		return "stage a release without that fault, of which the log of " + member + " may say more; or retry without the check failed-before, to try the same one again on " + member
	case reason == "NoWayBack":
		return "look at the log of " + member + "; then retry, or stage a release without that fault, for the one before cannot take its place again"
	case reason == "MemberTimeout" || reason == "WrongDigest":
		return "look at the log of " + member + "; then retry"
	case reason == "RemovedByTheCluster":
		return "retry, which goes on without " + member
	}
	return "mend that; then retry"
}

// failedCheck is the one check that member failed before anybody was touched, by
// its id; "" if there is none, or several.
func (v view) failedCheck(member string) string {
	if c := v.checked(member); c != nil {
		return c.Check
	}
	return ""
}
