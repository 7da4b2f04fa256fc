// Package cluster is who is in the cluster: its members, who leads them, who is
// well, and how many may be missing.
//
// A Membership is one member's view. Clusters with a consensus of their own
// bring one that asks it; package clustertest says whether it is right. Single
// is a server alone, Static a list of servers from configuration, without a
// consensus that would have a say in who belongs to them.
//
// Nothing here changes a cluster but TransferLeadership. A Membership is not
// asked to order events, to fence, or to elect: an upgrade rests on its record
// for that (package tracking), and a view that is a second old is good enough
// here.
package cluster
