// Package cluster is who is in the cluster.
package cluster
