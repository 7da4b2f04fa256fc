// Package upgradecmd is what an operator types: a tree of cobra commands that
// check, pack, sign, upload, start and watch an upgrade, ready to be mounted
// into any program.
//
//	root.AddCommand(upgradecmd.New(upgradecmd.Config{Product: "provd"}))
//	os.Exit(upgradecmd.Execute(context.Background(), root))
//
// The commands check, plan, stage, start, status, pause, resume, retry, rollback,
// commit and unstage speak to a server through package httpapi; keygen, pack, sign and inspect need
// none; and "upgrade FILE" checks, uploads, starts and watches in one.
//
// # Streams
//
// Results, and lines that stay, are written to stdout. What is redrawn, questions
// and errors are written to stderr, so that redirecting stdout gives a clean log
// beside a live view. Whether a stream may be coloured is judged for each.
//
// # Modes
//
// With --progress=tty a region below the last line that stays is redrawn at most
// ten times a second; the alternate screen is never used. With --progress=plain,
// which is also what a pipe, TERM=dumb and ACCESSIBLE get, each committed
// transition is one line with its time in UTC, and silence is broken once a
// minute. With --progress=none only results are written. With -o json stdout
// carries one JSON document, or for the verbs that watch one JSON object a line,
// the last of type "result" with the exit code; and nothing else.
//
// # Watching
//
// The upgrade runs in the server. A watch only looks: it may be ended and begun
// again at any time, and it outlives the restart of the server it looks at: in a
// cluster it goes on through another member, also where one endpoint was named.
// Every line it prints is one of the committed transcript, in order and once.
//
// # Exit codes
//
// The same number means the same for every verb; see the Code constants. An
// upgrade that failed, or was put back, never ends with 0.
//
// # Text from the server
//
// Names, reasons and last words are shown escaped: no control character of a
// server reaches the terminal.
package upgradecmd
