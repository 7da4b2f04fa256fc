// Package upgrade replaces the program of a running server: the Orchestrator,
// the Replacer, the boot guard and the prerequisites.
package upgrade
