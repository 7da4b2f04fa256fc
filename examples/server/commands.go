package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// upgradeCommand is "kvd upgrade": the library's commands, with our own login.
// They look into the data directory of the server (KVD_DATA, or kvd-data here)
// for where it is and who may use it; --endpoint and --token-file go before that.
func upgradeCommand() *cobra.Command {
	data := os.Getenv("KVD_DATA")
	if data == "" {
		data = "kvd-data"
	}
	endpoints := web.Endpoints(data)
	if endpoints == nil {
		endpoints = []string{"http://127.0.0.1:8092"}
	}
	return upgradecmd.New(upgradecmd.Config{
		Product: "kvd", Endpoints: endpoints, EnvPrefix: "KVD_", Connect: web.Connect(data, "KVD_DATA"),
	})
}
