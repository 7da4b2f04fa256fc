//go:build unix

package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A server finds its program when it starts, sweeps what a crash left, and asks
// for a way back that it does not have yet.
func ExampleExecutable() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "server"), []byte("program"), 0o755)
	os.WriteFile(filepath.Join(dir, ".server.upgrade"), []byte("half of one"), 0o600)

	program, err := upgrade.ProgramAt(filepath.Join(dir, "server")) // a real server: FindProgram
	if err != nil {
		fmt.Println(err)
		return
	}
	replacer := &upgrade.Executable{Program: program, Companions: []string{"client"}}
	fmt.Println("sweep:", replacer.Sweep(context.Background()))
	_, err = os.Stat(program.NextPath())
	fmt.Println("swept:", errors.Is(err, fs.ErrNotExist))
	fmt.Println("nothing prepared:", errors.Is(replacer.Commit(context.Background()), fs.ErrNotExist))
	fmt.Println("no way back:", errors.Is(replacer.Restore(context.Background()), fs.ErrNotExist))
	// Output:
	// sweep: <nil>
	// swept: true
	// nothing prepared: true
	// no way back: true
}
