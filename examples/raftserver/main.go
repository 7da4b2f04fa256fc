// Command raftserver is raftkvd, a small key-value store over HTTP that a few
// servers keep together by hashicorp/raft, and that replaces its own program one
// member at a time, the leader last. Its wiring of the library is in upgrade.go;
// its subcommand demo shows an upgrade of a whole cluster from beginning to end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// Set when the program is linked.
var (
	version = "1.0.0-dev"
	spoilt  = "" // in which way this version is no good: a spoil.Way, for tests and the demo
)

const product = "raftkvd"

func identity() upgrade.Identity { return upgrade.Identity{Product: product, Version: version} }

func main() {
	upgrade.Probe(identity()) // first of all: a predecessor may be asking who we are
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:          product,
		Short:        "A small replicated key-value store that upgrades itself",
		SilenceUsage: true,
	}
	root.SetErrPrefix("error:") // as the upgrade commands have it
	root.AddCommand(serveCommand(), demoCommand(), upgradeCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	})
	code := upgradecmd.Execute(ctx, root)
	stop()
	os.Exit(code)
}

// upgradeCommand is "raftkvd upgrade": the library's commands, with our own
// login. They look into the data directory of a member (RAFTKVD_DATA, or
// raftkvd-data here) for where the members are and who may use them.
func upgradeCommand() *cobra.Command {
	data := os.Getenv("RAFTKVD_DATA")
	if data == "" {
		data = "raftkvd-data"
	}
	endpoints := web.Endpoints(data)
	if endpoints == nil {
		endpoints = []string{"https://127.0.0.1:8092"}
	}
	return upgradecmd.New(upgradecmd.Config{
		Product: product, Endpoints: endpoints, EnvPrefix: "RAFTKVD_", Connect: web.Connect(data, "RAFTKVD_DATA"),
	})
}
