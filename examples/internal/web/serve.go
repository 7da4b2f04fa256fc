package web

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Serve runs srv by accept, and beside it upgrades, until ctx is done or one of
// them ends. Once both have begun it calls begun. Requests in flight are finished
// when ctx is done.
func Serve(ctx context.Context, srv *http.Server, accept func() error, upgrades func(context.Context) error, begun func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- accept() }()
	go func() { ran <- upgrades(ctx) }()
	if err := begun(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err := <-served:
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		cancel(err)
		return errors.Join(err, <-ran)
	case err := <-ran:
		return err
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(srv.Shutdown(grace), <-ran)
}
