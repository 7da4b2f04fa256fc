package restart_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A server that replaces itself with what lies at its path when it gets SIGHUP.
func Example() {
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // before Ready

	l, err := sockets.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	if err := sockets.Attach(srv); err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	if err := sockets.Ready(); err != nil {
		log.Print(err)
	}

	restartNow := func(ctx context.Context) error {
		path, err := os.Executable()
		if err != nil {
			return err
		}
		method := sockets.Exec()
		if err := method.Check(ctx, path); err != nil {
			return err
		}
		undo, err := sockets.Drain(ctx)
		if err != nil {
			return err // nothing was lost; it serves on
		}
		defer undo()                     // reached only if the exec failed
		return method.Restart(ctx, path) // after closing stores and workers
	}
	go func() {
		for range hup {
			log.Print(restartNow(context.Background()))
		}
	}()
	srv.Close() // the example ends here
	// Output:
}

// A drain that is undone has cost nobody anything.
func ExampleSockets_Drain() {
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := sockets.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	})}
	defer srv.Close()
	if err := sockets.Attach(srv); err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)

	undo, err := sockets.Drain(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	answer := make(chan string)
	go func() { // waits in the kernel's queue
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	_, err = sockets.Drain(context.Background())
	fmt.Println(errors.Is(err, restart.ErrDraining))
	undo()
	fmt.Println(<-answer)
	// Output:
	// true
	// hello
}

// A stream ends itself when a restart wants it to.
func ExampleSockets_Draining() {
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	events := make(chan string)
	stream := func(w http.ResponseWriter, r *http.Request) {
		for {
			select {
			case e := <-events:
				fmt.Fprintln(w, e)
				http.NewResponseController(w).Flush()
			case <-sockets.Draining():
				return // the client comes back, to the next program
			case <-r.Context().Done():
				return
			}
		}
	}
	http.Handle("/events", http.HandlerFunc(stream))
	// Output:
}

// A server with a locked store hands over: the next program opens the store when
// this one has let it go, and this one opens it again if the next comes to nothing.
func ExampleSockets_HandOver() {
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	var closeStore, openStore func(context.Context) error
	method := sockets.HandOver(restart.HandOverConfig{
		Until:     restart.UntilReady, // nobody calls Confirm here
		Release:   closeStore,
		Reacquire: openStore,
	})
	restartNow := func(ctx context.Context, path string) {
		err := method.Restart(ctx, path) // without Drain; returns only if it failed
		if errors.Is(err, restart.ErrNotReacquired) {
			log.Fatal(err) // no store, no service: let the supervisor start it over
		}
		log.Print(err) // it serves on
	}
	_ = restartNow
	fmt.Println(method.Name, method.Overlaps)
	// Output: hand-over true
}

// For a supervisor that starts the server again whenever it ends.
func ExampleExit() {
	method := restart.Exit(restart.ExitConfig{Code: 3})
	fmt.Println(method.Name)
	// Output: exit
}

func ExampleCommand() {
	method, err := restart.Command(`systemctl restart "my app.service"`)
	fmt.Println(method.Name, err)
	_, err = restart.Command("systemctl restart 'my app.service")
	fmt.Println(err)
	// Output:
	// command <nil>
	// restart: command "systemctl restart 'my app.service": Unterminated single-quoted string
}
