//go:build unix

package restart

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A store can be open in one process at a time.
type store struct {
	path string
	mu   sync.Mutex
	f    *os.File
	lost atomic.Bool
}

func (st *store) open(context.Context) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.path == "" {
		return nil
	}
	if st.lost.Load() {
		return fs.ErrPermission
	}
	f, err := os.OpenFile(st.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("lock the store: %w", err)
	}
	st.f = f
	return nil
}

func (st *store) close(context.Context) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	f := st.f
	st.f = nil
	return f.Close()
}

func (st *store) usable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.path == "" || st.f != nil
}

func (st *store) handOver(c serverConfig) HandOverConfig {
	h := HandOverConfig{Until: c.Until, ReadyTimeout: c.ReadyTimeout, ConfirmTimeout: c.ConfirmTimeout, Linger: c.Linger}
	if st.path != "" {
		h.Release, h.Reacquire = st.close, st.open
	}
	h.Stop = func(context.Context) error {
		fmt.Fprintln(os.Stderr, "STOPPED")
		return nil
	}
	return h
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func newServer(c serverConfig, st *store) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if c.NoGOAWAY && r.ProtoMajor == 2 {
			w.Header().Del("Connection")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !st.usable() {
			http.Error(w, "no store", http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == "/pid" {
			fmt.Fprint(w, os.Getpid())
			return
		}
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		if r.URL.Path == "/stream" {
			for range 5 {
				time.Sleep(time.Duration(ms) * time.Millisecond / 5)
				io.WriteString(w, "chunk ")
				http.NewResponseController(w).Flush()
			}
		} else {
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
		w.Write(append([]byte("got "), body...))
	})
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(c.H2C)
	return &http.Server{Handler: mux, Protocols: p, ReadHeaderTimeout: 5 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}}
}

func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { defer c.Close(); io.Copy(c, c) }()
	}
}

func forkForever() {
	for {
		b, err := exec.Command("sh", "-c", "ls -l /proc/self/fd | grep socket || true").Output()
		if err != nil || len(bytes.TrimSpace(b)) > 0 {
			fmt.Fprintf(os.Stderr, "LEAK %s %v\n", b, err)
		}
	}
}

func certificate() tls.Certificate {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}
