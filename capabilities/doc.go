// Package capabilities is Linux file capabilities of one file given to another.
package capabilities
