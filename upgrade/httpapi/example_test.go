package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A host mounts the handler into its own mux. The rights are its own to give:
// here whoever knows one token may do everything, and others may look.
func ExampleNew() {
	orchestrator := staged() // an *upgrade.Orchestrator
	h, err := httpapi.New(httpapi.Config{
		Upgrader: orchestrator,
		Authorize: func(r *http.Request, right httpapi.Right) error {
			switch {
			case r.Header.Get("Authorization") == "Bearer s3cret", right == httpapi.RightStatus:
				return nil
			case r.Header.Get("Authorization") == "":
				return fmt.Errorf("a token is needed: %w", httpapi.ErrUnauthenticated)
			}
			return errors.New("this token only lets you look")
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v3/system/upgrade", h)
	mux.Handle("/api/v3/system/upgrade/", h)
	mux.Handle("/api/v3/profiles/", h)
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, auth := range []func(*http.Request) error{nil, httpapi.BearerAuth("wrong"), httpapi.BearerAuth("s3cret")} {
		client, err := httpapi.NewClient(httpapi.ClientConfig{Servers: []string{server.URL}, Auth: auth})
		if err != nil {
			log.Fatal(err)
		}
		run, err := client.Run(context.Background(), upgrade.StartOptions{})
		fmt.Println(run, err)
	}
	// Output:
	//  Unauthenticated: a token is needed: not authenticated
	//  Forbidden: this token only lets you look
	// r1 <nil>
}

// What a server refuses is the same value as if it had been called directly.
func ExampleClient_Stage() {
	orchestrator := &fake{fail: &upgrade.Refusal{Kind: upgrade.Untrusted, Reason: "UnknownKey",
		Message: "the archive is signed by 9F2C11AB, which is no key of this server", Remedy: "Sign it with a key that is."}}
	h, err := httpapi.New(config(orchestrator))
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	client, err := httpapi.NewClient(httpapi.ClientConfig{Servers: []string{server.URL}})
	if err != nil {
		log.Fatal(err)
	}
	archive := strings.NewReader("the archive")
	_, err = client.Stage(context.Background(), archive, archive.Size(), httpapi.UploadOptions{})
	var refusal *upgrade.Refusal
	if errors.As(err, &refusal) && refusal.Kind == upgrade.Untrusted {
		fmt.Println(refusal.Message)
		fmt.Println(refusal.Remedy)
	}
	// Output:
	// the archive is signed by 9F2C11AB, which is no key of this server
	// Sign it with a key that is.
}

// Watch outlives the server that it asks; what it could not see meanwhile follows.
func ExampleClient_Watch() {
	orchestrator := staged()
	orchestrator.set("m1 runs 4.12.0", func(r *tracking.Run) { r.Status = tracking.Finished })
	h, err := httpapi.New(config(orchestrator))
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	client, err := httpapi.NewClient(httpapi.ClientConfig{Servers: []string{server.URL}})
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range client.Watch(context.Background(), httpapi.WatchOptions{}) {
		switch {
		case err != nil:
			log.Fatal(err)
		case e.Type == httpapi.EventLine:
			fmt.Println(e.Line.Seq, e.Line.Text)
		case e.Type == httpapi.EventLost:
			fmt.Println("connection lost; the upgrade goes on:", e.Err)
		case e.Type == httpapi.EventEnd:
			fmt.Println(e.Status.Status)
		}
	}
	// Output:
	// 1 staged
	// 2 m1 runs 4.12.0
	// finished
}
