package upgradecmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

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
