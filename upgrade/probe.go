package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

const (
	goos   = runtime.GOOS
	goarch = runtime.GOARCH
)

// probeEnv asks a program to answer a probe: "<descriptor>:<nonce>".
const probeEnv = "LEADERLAST_PROBE"

// An Answer is what a program says when it is probed.
type Answer struct {
	Nonce   string `json:"nonce"`
	Product string `json:"product"`
	Version string `json:"version"`
	Variant string `json:"variant"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Reads   []int  `json:"reads"`  // record formats
	Writes  int    `json:"writes"` // record format
}

// Probe is the first line of main. If a predecessor asks, it answers who this
// program is and ends the process; otherwise it returns at once. It opens
// nothing, and writes nothing but the answer.
//
// A process that a server has started to watch the next program (Config.Watch)
// does so here, and does not return either: it ends, or becomes the program from
// before.
//
// A start of a program on trial is counted here, durably, if it has the arguments of the
// server that it took the place of: one that does not come to Boot, because it
// does not know a flag any more, say, is put back as well. Boot says how. Other
// commands of the same binary never count.
func Probe(id Identity) {
	stand(id)
	if ask := os.Getenv(probeEnv); ask != "" {
		os.Exit(answer(id, ask))
	}
	begin(id)
}

func answer(id Identity, ask string) int {
	fd, nonce, ok := strings.Cut(ask, ":")
	n, err := strconv.Atoi(fd)
	if !ok || err != nil || n < 3 {
		return 2
	}
	out := os.NewFile(uintptr(n), "probe")
	if out == nil {
		return 2
	}
	err = json.NewEncoder(out).Encode(Answer{
		Nonce: nonce, Product: id.Product, Version: id.Version, Variant: id.Variant,
		OS: goos, Arch: goarch, Reads: []int{tracking.Format}, Writes: tracking.Format,
	})
	if errors.Join(err, out.Close()) != nil {
		return 2
	}
	return 0
}

// probe starts the program at path as a probe and returns its answer. The
// process gets an environment of its own, no arguments, and at most limit; it is
// gone when probe returns. The error ends with the last words of the program.
func probe(ctx context.Context, path string, limit time.Duration) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		return Answer{}, fmt.Errorf("upgrade: probe: %w", err)
	}
	defer r.Close()
	nonce := newID(8)
	words := &tail{max: 4 << 10}
	cmd, err := startProbe(ctx, path, probeEnv+"=3:"+nonce, w, words)
	if err != nil {
		w.Close()
		return Answer{}, fmt.Errorf("upgrade: probe: the new program does not start: %w", err)
	}
	w.Close()
	// The pipe ends with the last process that holds it; a grandchild must not
	// keep us waiting.
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Now()) })
	defer stop()
	data, readErr := io.ReadAll(io.LimitReader(r, 64<<10))
	waitErr := cmd.Wait()
	endGroup(cmd)
	var a Answer
	switch {
	case ctx.Err() != nil:
		return a, fmt.Errorf("upgrade: probe: the new program hangs: %w%s", context.Cause(ctx), words)
	case waitErr != nil:
		return a, fmt.Errorf("upgrade: probe: the new program ends with %w%s", waitErr, words)
	case readErr != nil:
		return a, fmt.Errorf("upgrade: probe: %w", readErr)
	case len(data) == 0:
		return a, fmt.Errorf("upgrade: probe: the new program ends without an answer; is upgrade.Probe the first line of its main?%s", words)
	}
	if err := json.Unmarshal(data, &a); err != nil || a.Nonce != nonce {
		return a, fmt.Errorf("upgrade: probe: the new program answers %.80q, which is no answer to this probe%s", data, words)
	}
	return a, nil
}

// startProbe starts the program at path. Where the server starts children of its
// own at that moment, the file may still count as open for writing in one of
// them: the kernel lets a fork's parent go on before the child has closed what it
// inherited. That passes.
func startProbe(ctx context.Context, path, question string, w *os.File, words io.Writer) (*exec.Cmd, error) {
	for try := 0; ; try++ {
		cmd := exec.CommandContext(ctx, path)
		cmd.Dir = "/"
		if goos == "windows" {
			cmd.Dir = ""
		}
		cmd.Env = []string{question, "PATH=" + os.Getenv("PATH")}
		cmd.ExtraFiles = []*os.File{w}
		cmd.Stdout, cmd.Stderr = words, words
		cmd.WaitDelay = time.Second
		ownGroup(cmd)
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || try == 100 || ctx.Err() != nil {
			return cmd, err
		}
		sleep(ctx, 5*time.Millisecond)
	}
}

// fits returns an error that says why a program that gives this answer must not
// be installed as version of product.
func (a Answer) fits(product, version, variant string) error {
	return a.suits("the program in the archive", "its manifest says", product, version, variant)
}

// returns is fits of the program that is kept from before.
func (a Answer) returns(product, version string) error {
	return a.suits("the program that is kept", "the journal says", product, version, "")
}

func (a Answer) suits(it, source, product, version, variant string) error {
	switch {
	case a.Product != product:
		return fmt.Errorf("%s says that it is %q, not %q", it, a.Product, product)
	case version != "" && a.Version != version:
		return fmt.Errorf("%s says that it is version %q; %s %q", it, a.Version, source, version)
	case a.OS != goos || a.Arch != goarch:
		return fmt.Errorf("%s says that it was built for %s/%s; this is %s/%s", it, a.OS, a.Arch, goos, goarch)
	case variant != "" && a.Variant != "" && a.Variant != variant:
		return fmt.Errorf("%s says that it is variant %q; this is %q", it, a.Variant, variant)
	case !slices.Contains(a.Reads, tracking.Format):
		return fmt.Errorf("%s reads record formats %v; the record is written in %d", it, a.Reads, tracking.Format)
	case a.Writes > tracking.Format:
		return fmt.Errorf("%s writes record format %d at once; this one reads up to %d", it, a.Writes, tracking.Format)
	}
	return nil
}

// A tail keeps the last bytes written to it.
type tail struct {
	max int
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - t.max; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	if t.buf.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("; last words %q", strings.TrimSpace(t.buf.String()))
}
