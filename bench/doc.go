// Package bench holds the figures that the library promises for one server, each
// beside its yardstick in the same run. It is a module of its own, so that no yardstick
// enters the go.mod of the library.
package bench
