package upgrade_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A whole server: it serves its API and, below /api/v3/, upgrades of itself.
func Example() {
	identity := upgrade.Identity{Product: "app", Version: "1.0.0"}
	upgrade.Probe(identity) // the first line of main

	started, err := upgrade.Boot(identity) // only where it serves
	if err != nil {
		log.Print(err) // it serves, but refuses upgrades
	}
	ctx := context.Background()
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := sockets.Listen(ctx, "tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	key, err := archive.ParsePublicKey(os.Getenv("APP_RELEASE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	archives, err := archive.OpenDir("/var/lib/app/archives")
	if err != nil {
		log.Fatal(err)
	}
	record, err := tracking.NewFile("/var/lib/app/upgrade.json")
	if err != nil {
		log.Fatal(err)
	}
	orchestrator, err := upgrade.New(upgrade.Config{
		Started:  started,
		Archives: archives,
		Cluster:  cluster.Single("app", "http://127.0.0.1:8080"),
		Tracking: record,
		Restart:  sockets.Exec(),
		Drain:    sockets.Drain,
		Keys:     []archive.PublicKey{key},
	})
	if err != nil {
		log.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Config{
		Upgrader:  orchestrator,
		Authorize: func(r *http.Request, right httpapi.Right) error { return allowed(r, right) },
		Draining:  sockets.Draining,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v3/", api)
	server := &http.Server{Handler: mux}
	if err := sockets.Attach(server); err != nil {
		log.Fatal(err)
	}
	go orchestrator.Run(ctx)
	go server.Serve(listener)
	if err := sockets.Ready(); err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
}

// allowed is the host's own decision; here only reading is free.
func allowed(_ *http.Request, right httpapi.Right) error {
	if right == httpapi.RightStatus {
		return nil
	}
	return httpapi.ErrUnauthenticated
}

// A refusal has a name for programs and a sentence for people.
func ExampleRefusal() {
	var err error = &upgrade.Refusal{
		Kind: upgrade.Conflict, Reason: "AlreadyStaged",
		Message: "app 1.1.0 is staged already", Remedy: "start it, or unstage it first",
	}
	fmt.Println(err)
	// Output: AlreadyStaged: app 1.1.0 is staged already
}
