//go:build race

package upgrade

const modelRace = true
