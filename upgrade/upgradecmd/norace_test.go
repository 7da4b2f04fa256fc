//go:build !race

package upgradecmd

const raceDetector = false
