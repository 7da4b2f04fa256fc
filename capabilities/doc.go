// Package capabilities gives the Linux file capabilities of one file to
// another, so that a program that may bind low ports without being root may do
// so after it was replaced.
package capabilities
