package upgradecmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A session is one run of one command.
type session struct {
	*tree
	options
	cmd      *cobra.Command
	out, err stream
	reporter reporter
	watches  bool // writes JSON lines rather than one document
	answers  *bufio.Reader

	mu            sync.Mutex
	failed        error // of writing to stdout
	wroteDocument bool
	final         *upgrade.Status // for the last JSON line
	leaving       []string        // what to say when the operator leaves early
}

// body is what a command does. What it returns is told to the operator by the
// session, unless it is an *ExitError: then that has happened.
type body func(ctx context.Context, s *session, args []string) error

// verb makes b the work of a command. The first signal ends the context of b, the
// second does not wait for b any more.
func (t *tree) verb(watches bool, b body) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		o, err := t.options(cmd)
		s := &session{tree: t, options: o, cmd: cmd, watches: watches}
		s.out = t.stream(cmd.OutOrStdout(), o.noColour)
		s.err = t.stream(cmd.ErrOrStderr(), o.noColour)
		s.out.style.plain = o.mode == modePlain
		s.err.style.plain = o.mode == modePlain
		s.reporter = silent{}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		if err != nil {
			return s.finish(parent, err)
		}
		switch {
		case o.json && watches:
			s.reporter = &jsonReporter{emit: s.emit}
		case o.mode == modeTTY:
			s.reporter = newTTYReporter(s)
		case o.mode == modePlain:
			s.reporter = newPlainReporter(s)
		}
		ctx, cancel := context.WithCancelCause(parent)
		defer cancel(nil)
		if o.timeout > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeoutCause(ctx, o.timeout,
				&timeoutCause{"your --timeout of " + limitText(o.timeout) + " ended"})
			defer stop()
		}
		signals, quiet := t.signals()
		defer quiet()
		result := make(chan error, 1)
		go func() {
			err := b(ctx, s, args)
			s.reporter.close()
			result <- err
		}()
		for first := true; ; first = false {
			select {
			case err := <-result:
				return s.finish(ctx, err)
			case sig := <-signals:
				cancel(&signalCause{sig})
				if !first {
					return &ExitError{Code: codeOf(ctx, context.Canceled), Err: context.Cause(ctx)}
				}
			}
		}
	}
}

// finish tells the operator how the command ended, and returns what cobra should.
func (s *session) finish(ctx context.Context, err error) error {
	if err == nil {
		s.mu.Lock()
		if s.failed != nil {
			err = fmt.Errorf("write the result: %w", s.failed)
		}
		s.mu.Unlock()
	}
	if err == nil {
		s.result(CodeOK, nil)
		return nil
	}
	code := codeOf(ctx, err)
	var exit *ExitError
	told := errors.As(err, &exit) && ctx.Err() == nil
	if !told {
		lines := s.errorLines(ctx, code, err)
		_, _ = io.WriteString(s.err, strings.Join(lines, "\n")+"\n")
		exit = &ExitError{Code: code, Err: err}
	}
	s.result(code, exit.Err)
	return exit
}

// jsonResult is the last line of a verb that watches, and all there is of any
// other that failed.
type jsonResult struct {
	Type     string          `json:"type"` // result
	ExitCode int             `json:"exit_code"`
	ExitName string          `json:"exit_name"`
	Error    *jsonError      `json:"error,omitempty"`
	Status   *upgrade.Status `json:"status,omitempty"`
}

type jsonError struct {
	Message string          `json:"message"`
	Kind    string          `json:"kind,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Remedy  string          `json:"remedy,omitempty"`
	Next    string          `json:"next,omitempty"` // a command, and what it is for
	Member  string          `json:"member,omitempty"`
	Gate    string          `json:"gate,omitempty"`
	Until   *time.Time      `json:"until,omitempty"`
	Checks  []upgrade.Check `json:"checks,omitempty"`
}

func (s *session) result(code int, err error) {
	if !s.json || code == CodeOK && !s.watches {
		return
	}
	s.mu.Lock()
	wrote, final := s.wroteDocument, s.final
	s.mu.Unlock()
	if wrote {
		return
	}
	r := jsonResult{Type: "result", ExitCode: code, ExitName: ExitName(code), Status: final}
	if err != nil {
		r.Error = &jsonError{Message: err.Error()}
		var no *upgrade.Refusal
		if errors.As(err, &no) {
			r.Error = &jsonError{no.Message, string(no.Kind), no.Reason, no.Remedy, "", no.Member, no.Gate, nil, no.Checks}
			if !no.Until.IsZero() {
				r.Error.Until = &no.Until
			}
			var led *advised
			if errors.As(err, &led) {
				r.Error.Next = led.next
			}
			var start *notStarted
			if errors.As(err, &start) && no.Remedy == "" {
				r.Error.Remedy = "the archive stays staged; when that is mended:  " + s.tree.hint(s.cmd, "start")
			}
		}
	}
	s.emit(r)
}

// print writes lines that stay. With -o json there are none.
func (s *session) print(lines ...string) {
	if s.json || len(lines) == 0 {
		return
	}
	s.write([]byte(strings.Join(lines, "\n") + "\n"))
}

// emit writes one JSON object on a line of its own.
func (s *session) emit(object any) {
	s.encode(object, "")
}

// document writes the result of a command: text in lines, or one JSON document.
func (s *session) document(object any, lines func() []string) {
	if !s.json {
		s.print(lines()...)
		return
	}
	s.mu.Lock()
	s.wroteDocument = true
	s.mu.Unlock()
	s.encode(object, "  ")
}

func (s *session) encode(object any, indent string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(object); err != nil {
		s.fail(err)
		return
	}
	s.write(b.Bytes())
}

func (s *session) write(data []byte) {
	if _, err := s.out.Write(data); err != nil {
		s.fail(err)
	}
}

func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
}

// ifLeft sets what is said when the operator leaves early from now on.
func (s *session) ifLeft(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = lines
}

func (s *session) ended(final upgrade.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = &final
}

func (s *session) outView(ahead time.Duration) view { return s.viewOf(s.out, ahead) }
func (s *session) errView(ahead time.Duration) view { return s.viewOf(s.err, ahead) }

func (s *session) viewOf(w stream, ahead time.Duration) view {
	v := view{style: w.style, now: time.Now().Add(ahead), loc: s.loc}
	v.width, v.height = s.size(w.Writer)
	v.hint = func(words ...string) string { return s.tree.hint(s.cmd, words...) }
	return v
}

// asks reports whether somebody is there to answer a question.
func (s *session) asks() bool {
	_, _, in := s.terminal(s.cmd.InOrStdin())
	return in && s.err.tty
}

// stay writes lines for people, below everything that was redrawn.
func (s *session) stay(lines func(view) []string) {
	if s.json {
		return
	}
	s.reporter.doing("")
	s.print(lines(s.outView(0))...)
}
