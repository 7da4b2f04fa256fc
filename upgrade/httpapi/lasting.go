package httpapi

import (
	"context"
	"time"
)

// settle is how long a reply gets to leave the machine. Over HTTP/2 its last
// frame is still to be written when net/http ends the context of the request;
// and a connection closed with unread bytes takes with it what the client has
// not received yet.
const settle = 250 * time.Millisecond

// lasting returns a context that ends with request while work goes on, because
// then the client is gone, and shortly after it once release was told that the
// work succeeded: what was started may restart the server then. Values are those of request.
func lasting(request context.Context) (ctx context.Context, release func(ok bool)) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(request))
	stop := context.AfterFunc(request, func() { cancel(context.Cause(request)) })
	return ctx, func(ok bool) {
		if !ok || !stop() {
			cancel(context.Canceled)
			return
		}
		context.AfterFunc(request, func() {
			time.AfterFunc(settle, func() { cancel(context.Canceled) })
		})
	}
}
