// Package restart replaces the program of a running server without its clients
// noticing. It can be used alone.
//
// [Sockets] owns the listening sockets, packet connections and files that live
// on, and knows the traffic on them; [Sockets.Drain] brings the server to rest
// without losing a request, and its undo makes it serve on; [Sockets.Exec]
// replaces the program in place; [Sockets.HandOver] starts the next one beside
// this one, which ends when that serves; [Exit] and [Command] leave it to a
// supervisor or to somebody else. What a restart costs is counted in a [Report], which the
// next program reads with [Sockets.Last].
//
// # Order
//
// At the start: [New] before anything that starts children or changes the
// working directory; [Sockets.Listen] and its kin for what is to live on;
// [Sockets.Attach] for each http.Server, before Serve; [Sockets.Ready] when the
// server truly serves. To restart: Drain, then stop stores and workers, then
// Restart of a [Method]; if that returns an error, undo. A Method that Overlaps is
// called without Drain, and stops what has to be stopped itself.
//
// A host may leave out any of this. Without sockets exec in place still works,
// and clients are refused until the new program listens.
//
// # What is promised
//
// A connection that reached the kernel's queue is neither refused nor reset: it
// waits, as long as the queue holds (connections per second times pause must be
// less than the backlog). A request that a handler has seen is answered by that
// program, in full, or named in the error of a Drain that was undone. Between a
// Drain and its undo, or the exec, no handler begins: what arrives stays in the
// kernel. Undoing a drain, and an exec that fails, lose nothing.
//
// Of HTTP/1.1, plain or TLS, fresh connection or kept alive, GET or POST, no
// request fails, provided that a kept-alive client speaks once within LameDuck, or
// stays silent for longer than one round trip around the exec. Of HTTP/2 the same
// holds for clients that obey GOAWAY, and for bodies that they can send twice (in
// Go: Request.GetBody).
//
// Only documented behaviour of net/http is relied on, save that a Connection:
// close header becomes GOAWAY in HTTP/2 (golang/go#20977): without that, a busy
// HTTP/2 connection would be waited for, and the drain undone.
//
// # What it costs, and what is counted
//
//   - Paused: clients wait while the last requests finish and the new program
//     starts; at worst DrainBound, Quiet and the start-up.
//   - Retired: idle connections are closed at the exec. One whose client speaks in
//     that very round trip loses the request; Quiet makes that rare.
//   - Cut: requests that were in flight at the exec, part of one included, or
//     whose bytes had arrived unread. Only with CutRequests, or where a client
//     spoke between Drain and exec.
//   - Hijacked: WebSockets, and connections of servers that are not attached, are
//     the host's: it learns of the restart from Draining, and they end at the exec.
//   - Datagrams that the host had read already, and anything else in its memory,
//     are not seen here.
//
// There is no way back from an exec once the new program runs: probe it first.
//
// A hand-over has one until the next program is confirmed, and pauses nobody: the
// old program accepts until the next one does, and lingers for the clients it has.
// It needs two of the server to run at once, and another PID. Where a store cannot
// be open twice (Release) clients wait from the end of the drain until the next
// program is ready, as with an exec, and idle connections are closed at the
// beginning of that. A next program that does not come to be ready costs no
// request; one that dies between that and its confirmation takes with it what it
// had accepted. Memory is needed for both.
//
// # What the host must do
//
//   - Set ReadHeaderTimeout, and WriteTimeout where answers can stall, below
//     DrainBound: half a request counts as one.
//   - Leave IdleTimeout at 0, or longer than its clients stay idle: it closes
//     connections with the same race as an exec, without any restart.
//   - End streams and long polls when Draining is closed.
//   - Never call Shutdown or SetKeepAlivesEnabled(false) for a restart: both lose
//     requests that have been read or lie in the socket.
//   - Open files with close-on-exec, as package os does, and start children
//     through packages os or syscall: those cannot inherit a socket by accident.
package restart
