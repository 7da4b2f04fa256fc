package restart

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// children names the live children of this process, "name (pid)". Zombies are
// none: nothing is lost with them.
func children() (list []string, err error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, os.NewSyscallError("sysctl", err)
	}
	const zombie = 5 // SZOMB
	for _, p := range all {
		if int(p.Eproc.Ppid) == os.Getpid() && p.Proc.P_stat != zombie {
			name, _, _ := bytes.Cut(p.Proc.P_comm[:], []byte{0})
			list = append(list, fmt.Sprintf("%s (%d)", name, p.Proc.P_pid))
		}
	}
	return list, nil
}
