package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The yardstick of an upgrade: a server with the same keys and values that, at a
// signal, executes its program anew, and passes nothing on. Whoever is connected
// is cut, and until the new program listens everybody is refused.
type yardstick struct {
	caller
	kit   *kit
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	boot  string // of the program that answered last
}

// What the yardstick's process is told by a file.
type plainConfig struct{ Addr, Cert, Key string }

// start starts the process, and returns how long it took until it answered.
func (y *yardstick) start(ctx context.Context, h2 bool) (time.Duration, error) {
	c := plainConfig{}
	y.url = "http://"
	if h2 {
		c.Cert, c.Key, y.url = y.kit.cert(), y.kit.certKey(), "https://"
	}
	var err error
	if c.Addr, err = freeAddr(ctx); err != nil {
		return 0, err
	}
	y.url += c.Addr
	b, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	if err := writeFile(filepath.Join(y.dir, "config"), strings.NewReader(string(b))); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	y.cmd = exec.Command(self)
	y.cmd.Env = append(os.Environ(), childEnv+"=outage-exec:"+y.dir)
	y.cmd.Stderr = os.Stderr
	begun := time.Now()
	if err := y.cmd.Start(); err != nil {
		return 0, err
	}
	cmd, ended := y.cmd, make(chan struct{})
	y.ended = ended
	go func() { defer close(ended); cmd.Wait() }()
	err = y.await(ctx)
	return time.Since(begun), err
}

// freeAddr returns an address below the ports that the kernel gives to clients:
// while the server is away, none of those must get hold of its port.
func freeAddr(ctx context.Context) (string, error) {
	for port := 20000; port < 30000; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// await waits for an answer of another program than the last.
func (y *yardstick) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := (shape{fresh: true}).client(y.kit.roots)
	for {
		if res, err := client.Get(y.url + "/boot"); err == nil {
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if boot := string(b); err == nil && boot != y.boot {
				y.boot = boot
				return nil
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-y.ended:
			return errors.New("the yardstick's server ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (y *yardstick) restart(ctx context.Context) error {
	if err := y.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return y.await(ctx)
}

func (y *yardstick) stop() {
	if y.ended == nil {
		return
	}
	y.cmd.Process.Kill()
	<-y.ended
}

// servePlain is the yardstick's process. It returns only if it fails.
func servePlain(dir string) (time.Duration, error) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	b, err := os.ReadFile(filepath.Join(dir, "config"))
	if err != nil {
		return 0, err
	}
	var c plainConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return 0, err
	}
	kv, err := openPlain(filepath.Join(dir, "kv.log"))
	if err != nil {
		return 0, err
	}
	boot := rand.Text()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, boot) })
	mux.HandleFunc("GET /api/v3/kv/{key}", kv.get)
	mux.HandleFunc("POST /api/v3/kv/{key}", kv.post)
	srv := &http.Server{Addr: c.Addr, Handler: mux, ErrorLog: nil}
	failed := make(chan error, 1)
	go func() {
		if c.Cert != "" {
			failed <- srv.ListenAndServeTLS(c.Cert, c.Key)
			return
		}
		failed <- srv.ListenAndServe()
	}()
	select {
	case err := <-failed:
		return 0, err
	case <-hup:
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	return 0, syscall.Exec(self, os.Args, os.Environ())
}

// plainStore keeps keys and values as the store of kvd does, in memory and in a
// file to which every change is appended.
type plainStore struct {
	mu   sync.Mutex
	data map[string]string
	file *os.File
}

type plainChange struct{ Key, Value string }

func openPlain(path string) (*plainStore, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &plainStore{data: map[string]string{}, file: f}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var c plainChange
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, err
		}
		s.data[c.Key] = c.Value
	}
	return s, lines.Err()
}

func (s *plainStore) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	value, ok := s.data[r.PathValue("key")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"key": r.PathValue("key"), "value": value})
}

func (s *plainStore) post(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := plainChange{r.PathValue("key"), string(b)}
	line, err := json.Marshal(c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	_, err = s.file.Write(append(line, '\n'))
	s.data[c.Key] = c.Value
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"key": c.Key, "value": c.Value})
}
