// Command server is kvd, a small key-value store over HTTP that can replace its
// own program while it serves. Its wiring of the library is in upgrade.go; its
// subcommand demo shows an upgrade from beginning to end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// Set when the program is linked.
var (
	version = "1.0.0-dev"
	format  = "1" // of the data that this version writes
	spoilt  = ""  // in which way this version is no good: a spoil.Way, for tests
)

func identity() upgrade.Identity { return upgrade.Identity{Product: "kvd", Version: version} }

func main() {
	upgrade.Probe(identity()) // first of all: a predecessor may be asking who we are
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:          "kvd",
		Short:        "A small key-value store that upgrades itself",
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
