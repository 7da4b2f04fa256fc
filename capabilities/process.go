package capabilities

// A Set is a set of capabilities: bit n stands for the one that the kernel gives
// the number n.
type Set uint64

// A Process is what a process has of capabilities, and what it may get.
type Process struct {
	Permitted Set

	// Bounding are those that the file of a program can give it.
	Bounding Set

	// NoGain says that no file gives it any, since it runs under no-new-privileges
	// or is being traced.
	NoGain bool
}
