// Package show is what the demos of the examples share: they build programs, run
// commands and servers as processes of their own, call them, and end all of it
// whenever Ctrl-C comes.
package show
