//go:build !linux

package restart

// What this process needs Linux for. A PID alone names the process here, the wall
// clock measures the pause, and signals act as on any program that starts.

func processStart() string { return "" }

func monotonic() int64 { return 0 }

func noExec(string) bool { return false }

func ignoreSignals() ([]int, func()) { return nil, func() {} }

func restoreIgnored([]int) {}
