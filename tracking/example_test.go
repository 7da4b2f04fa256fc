package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// Load, change, swap; and from the beginning if somebody else was faster.
func ExampleFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := tracking.NewFile(filepath.Join(dir, "upgrade.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	ctx := context.Background()
	for {
		data, rev, err := store.Load(ctx, tracking.KeyRun)
		if err != nil {
			log.Fatal(err)
		}
		run, err := tracking.DecodeRun(data)
		if err != nil {
			log.Fatal(err)
		}
		run.Status = tracking.Staged
		if data, err = run.Encode(); err != nil {
			log.Fatal(err)
		}
		rev, err = store.Swap(ctx, tracking.KeyRun, rev, data)
		if errors.Is(err, tracking.ErrConflict) {
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(run.Status, "as revision", rev)
		return
	}
	// Output: staged as revision 1
}

// A watcher takes its place first and loads afterwards, so that no change falls
// between the two.
func ExampleStore_wait() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var store tracking.Store
	file, err := tracking.NewFile(filepath.Join(dir, "upgrade.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	store = file

	ctx := context.Background()
	_, place, err := store.Wait(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if _, err := store.Swap(ctx, tracking.KeyRun, "", []byte(`{"format":1}`)); err != nil {
			log.Print(err)
		}
	}()
	keys, _, err := store.Wait(ctx, place)
	fmt.Println(keys, err)
	// Output: [run] <nil>
}

func ExampleRun_Profile() {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	run := tracking.Run{Status: tracking.Working}
	run.Add(noon, "", "run.started", "started by jane")
	run.Add(noon.Add(3*time.Second), "m2", "member.restarting", "restarting")
	run.Turns = []tracking.Turn{{Member: "m2", Addr: "https://10.0.0.12:8092", State: tracking.Restarting}}

	profile, _ := run.Profile()
	fmt.Println(profile.Name)
	fmt.Println(profile.Params[tracking.ParamWorkingNode], profile.Params[tracking.ParamWorkingState])
	for _, line := range profile.Params[tracking.ParamTranscript].([]string) {
		fmt.Println(line)
	}
	// Output:
	// rackn-system-upgrade-tracking
	// https://10.0.0.12:8092 m2 restarting
	// 2026-11-22T12:00:00Z started by jane
	// 2026-11-22T12:00:03Z m2: restarting
}
