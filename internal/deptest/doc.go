// Package deptest holds the rules about which package of this module may use
// what, and checks them. They keep the contracts apart from each other, heavy
// modules out of programs that do not need them, and test helpers out of all.
//
// It reads source, for every operating system at once, and needs neither the
// go command nor a network.
package deptest
