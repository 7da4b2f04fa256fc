package upgrade

import "github.com/leaderlast/leaderlast/tracking"

// nextAfter is what an operator can do about a run that fails at member for
// reason; "" where it is over as somebody wished. It stands in the record, so
// that everybody reads it, whatever they look with.
func (v view) nextAfter(member, reason string) string {
	back := v.run.Kind == tracking.KindRollback
	switch {
	case reason == "Cancelled":
		return ""
	case v.run.Status == tracking.Staging:
		return "stage it again"
	case reason == "PutBack" && back:
		return "stay as it is; or retry without the check failed-before, to try the same program again on " + member
	case reason == "PutBack":
		return "stage a release without that fault; or retry without the check failed-before, to try the same one again on " + member
	case reason == "NoWayBack":
		return "look at the log of " + member + "; then retry, or stage a release without that fault, for the one before cannot take its place again"
	case reason == "MemberTimeout" || reason == "WrongDigest":
		return "look at the log of " + member + "; then retry"
	case reason == "RemovedByTheCluster":
		return "retry, which goes on without " + member
	}
	return "mend that; then retry"
}
