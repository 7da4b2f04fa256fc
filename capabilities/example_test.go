package capabilities_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leaderlast/leaderlast/capabilities"
)

// A new program gets what the old one has before it takes its place. Here the
// old one has nothing, so nothing is written and no command is run.
func ExampleFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server, next := filepath.Join(dir, "server"), filepath.Join(dir, ".server.upgrade")

	copier := capabilities.File{Command: "sudo -n /usr/sbin/setcap"}
	os.WriteFile(server, []byte("old"), 0o755)
	fmt.Println("before:", copier.Check(context.Background(), next, server))
	os.WriteFile(next, []byte("new"), 0o755)
	fmt.Println("copied:", copier.Copy(context.Background(), next, server))
	fmt.Println(capabilities.Equal(next, server))
	// Output:
	// before: <nil>
	// copied: <nil>
	// true <nil>
}
