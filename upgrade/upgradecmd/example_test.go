package upgradecmd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// A program mounts the commands beside its own, and its main ends with the exit
// code that scripts rely on.
func ExampleNew() {
	root := &cobra.Command{Use: "provd"}
	root.AddCommand(upgradecmd.New(upgradecmd.Config{
		Product:   "provd",
		EnvPrefix: "PROVD_",
		Endpoints: []string{"https://127.0.0.1:8092"},
	}))
	root.SetArgs([]string{"upgrade", "status", "--progress", "loud"})
	root.SetErr(os.Stdout)

	code := upgradecmd.Execute(context.Background(), root) // os.Exit(code) in a main
	fmt.Println(code, upgradecmd.ExitName(code))
	// Output:
	// usage: the progress "loud" is none of auto, tty, plain, none
	// Help:  provd upgrade status --help
	// 2 usage
}

// A host adds its own login: here a user and a password of its own.
func ExampleConfig_connect() {
	login := func() (user, password string, err error) { return "rocketskates", "secret", nil }
	group := upgradecmd.New(upgradecmd.Config{
		Product: "provd",
		Connect: func(ctx context.Context, t upgradecmd.Target) (httpapi.ClientConfig, error) {
			user, password, err := login()
			if err != nil {
				return httpapi.ClientConfig{}, err
			}
			return httpapi.ClientConfig{Servers: t.Endpoints, Auth: httpapi.BasicAuth(user, password)}, nil
		},
	})
	fmt.Println(group.Use)
	// Output: upgrade [FILE]
}

// Making a release takes three commands and no server.
func ExampleExecute() {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bin", "linux", "amd64", "provd")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		fmt.Println(err)
		return
	}
	key, release := filepath.Join(dir, "key"), filepath.Join(dir, "provd-4.12.0.zip")
	for _, args := range [][]string{
		{"keygen", "--out", key, "--no-password"},
		{"pack", "--product", "provd", "--version", "4.12.0", "--counter", "57", "--out", release, filepath.Join(dir, "bin")},
		{"sign", "--key", key + ".key", release},
		{"inspect", "--pub", key + ".pub", release},
	} {
		root := &cobra.Command{Use: "provd"}
		root.AddCommand(upgradecmd.New(upgradecmd.Config{}))
		root.SetArgs(append([]string{"upgrade", "--progress", "none", "-o", "json"}, args...))
		root.SetOut(new(discard))
		fmt.Println(args[0], upgradecmd.Execute(context.Background(), root))
	}
	// Output:
	// keygen 0
	// pack 0
	// sign 0
	// inspect 0
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
