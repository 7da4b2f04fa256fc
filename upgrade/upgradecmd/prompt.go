package upgradecmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A consent is what an operator is asked for before what cannot simply be taken
// back.
type consent struct {
	unasked  string   // why that takes --yes where there is no terminal
	to       string   // what --yes is for
	means    []string // what it means, a paragraph each
	question string
	word     []string // that is a yes; y and yes if empty
	not      string   // what any other answer is
	stays    string   // what can be done after a no
}

// confirm asks, unless --yes has answered. An error says that there was no yes.
func (s *session) confirm(ctx context.Context, c consent) error {
	if s.yes {
		return nil
	}
	s.reporter.doing("")
	if !s.asks() {
		return usagef("%s\n%s:  %s", c.unasked, c.to, s.withYes())
	}
	v := s.errView(0)
	var lines []string
	for _, text := range c.means {
		lines = append(lines, wrap("", "", text, v.width)...)
	}
	answer, err := s.ask(ctx, lines, c.question)
	if err != nil {
		return err
	}
	if len(c.word) == 0 {
		c.word, c.not = []string{"y", "yes"}, "is not y"
		answer = strings.ToLower(answer)
	}
	if slices.Contains(c.word, answer) {
		return nil
	}
	no := &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "NotConfirmed", Message: "there was no answer", Remedy: c.stays}
	if answer != "" {
		no.Message = quote(answer) + " " + c.not
	}
	return no
}

// withYes is this command again, with what was chosen and --yes.
func (s *session) withYes() string {
	words := []string{s.cmd.Name(), "--yes"}
	s.cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		list, many := f.Value.(pflag.SliceValue)
		switch {
		case !f.Changed:
		case many:
			for _, value := range list.GetSlice() {
				words = append(words, "--"+f.Name, value)
			}
		case f.Value.String() == "true":
			words = append(words, "--"+f.Name)
		}
	})
	return s.tree.hint(s.cmd, words...)
}

// ask writes lines and a question on stderr, and reads one line from stdin.
func (s *session) ask(ctx context.Context, lines []string, question string) (string, error) {
	text := question
	if len(lines) > 0 {
		text = strings.Join(lines, "\n") + "\n" + question
	}
	if _, err := io.WriteString(s.err, text); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	return s.read(ctx, func() (string, error) {
		if s.answers == nil { // one for all questions: it may read ahead
			s.answers = bufio.NewReader(s.cmd.InOrStdin())
		}
		line, err := s.answers.ReadString('\n')
		if err == io.EOF && line != "" {
			err = nil
		}
		return strings.TrimSpace(line), err
	})
}

// askSecret is ask without an echo.
func (s *session) askSecret(ctx context.Context, question string) (string, error) {
	f, ok := s.cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s.ask(ctx, nil, question)
	}
	fd := int(f.Fd())
	if _, err := io.WriteString(s.err, question); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	// Reading ends with the program when the operator has had enough; the
	// terminal must not be left without its echo.
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	defer func() {
		_ = term.Restore(fd, before)
		_, _ = io.WriteString(s.err, "\n")
	}()
	return s.read(ctx, func() (string, error) {
		secret, err := term.ReadPassword(fd)
		return string(secret), err
	})
}

// read waits for input, but no longer than ctx. A read that is abandoned ends
// with the process.
func (s *session) read(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	c := make(chan answer, 1)
	go func() {
		text, err := read()
		c <- answer{text, err}
	}()
	select {
	case a := <-c:
		if a.err != nil {
			return "", fmt.Errorf("read the answer: %w", a.err)
		}
		return a.text, nil
	case <-ctx.Done():
		_, _ = io.WriteString(s.err, "\n") // the question has none
		return "", context.Cause(ctx)
	}
}
