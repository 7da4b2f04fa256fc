// Package spoil makes a version of an example server no good, in one of the ways
// in which a release can be: so that tests and demos show how the program from
// before comes back.
//
// How a version is spoilt is set when it is linked (-ldflags "-X main.spoilt=..."),
// and is a [Way]. The server asks at a few places of its start what goes wrong
// there; in a version that is not spoilt nothing does. A program that cannot be
// executed at all needs no word here: its file is no program.
package spoil
