// Package tracking is how far an upgrade has come: the record that all members share.
package tracking
