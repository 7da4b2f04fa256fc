// Package showtest runs the demos of the examples in tests, as a terminal does,
// and finds what they leave behind.
package showtest
