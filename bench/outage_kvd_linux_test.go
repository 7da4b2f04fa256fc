package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// versions are those between which the server goes back and forth. The counters
// of their archives grow all the same.
var versions = [2]string{"1.0.0", "1.1.0"}

// A kit is what all runs share: both versions, a key, a certificate.
type kit struct {
	dir   string
	key   archive.PrivateKey
	roots *x509.CertPool
}

func (k *kit) program(version string) string { return filepath.Join(k.dir, version) }
func (k *kit) cert() string                  { return filepath.Join(k.dir, "server.crt") }
func (k *kit) certKey() string               { return filepath.Join(k.dir, "server.key") }
func (k *kit) public() string                { return filepath.Join(k.dir, "release.pub") }

func newKit(b *testing.B) *kit {
	b.Helper()
	k := &kit{dir: b.TempDir()}
	for _, version := range versions {
		for name, pkg := range map[string]string{"kvd": "./examples/server", "kvctl": "./examples/server/kvctl"} {
			cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version,
				"-o", filepath.Join(k.program(version), name), pkg)
			cmd.Dir = ".."
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("build %s: %v\n%s", name, err, out)
			}
		}
	}
	err := k.certify()
	if err == nil {
		k.key, err = archive.GenerateKey()
	}
	if err == nil {
		err = os.WriteFile(k.public(), []byte(k.key.Public().Text()), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// certify makes a certificate for loopback.
func (k *kit) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	k.roots = x509.NewCertPool()
	k.roots.AddCert(c)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(k.cert(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(k.certKey(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// pack writes a signed archive of a version to path.
func (k *kit) pack(path, version string, counter uint64) error {
	c := archive.PackConfig{Manifest: archive.Manifest{Product: "kvd", Version: version, Counter: counter}, Stored: true}
	for _, name := range []string{"kvd", "kvctl"} {
		c.Files = append(c.Files, archive.PackFile{
			Name: "bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/" + name, Path: filepath.Join(k.program(version), name),
		})
	}
	var unsigned bytes.Buffer
	if _, err := archive.Pack(&unsigned, c); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	err = archive.Sign(out, bytes.NewReader(unsigned.Bytes()), int64(unsigned.Len()), k.key, "")
	return errors.Join(err, out.Close())
}

// A kvd is the demo's server, as a process.
type kvd struct {
	caller
	kit   *kit
	dir   string
	h2    bool
	cmd   *exec.Cmd
	ended chan struct{}
	api   *httpapi.Client
}

// install puts the first version into dir.
func (k *kit) install(dir string, h2 bool) (*kvd, error) {
	for _, name := range []string{"kvd", "kvctl"} {
		f, err := os.Open(filepath.Join(k.program(versions[0]), name))
		if err != nil {
			return nil, err
		}
		err = writeFile(filepath.Join(dir, "installed", name), f)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return &kvd{kit: k, dir: dir, h2: h2}, nil
}

func (v *kvd) data() string { return filepath.Join(v.dir, "data") }

// start starts the server, and returns how long it took until it answered.
func (v *kvd) start(ctx context.Context) (time.Duration, error) {
	if err := os.RemoveAll(filepath.Join(v.data(), "url")); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(v.dir, "kvd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	args := []string{"serve", "--data", v.data(), "--listen", "127.0.0.1:0", "--upgrade-key", v.kit.public(), "--min-healthy", "100ms"}
	if v.h2 {
		args = append(args, "--tls-cert", v.kit.cert(), "--tls-key", v.kit.certKey())
	}
	v.cmd = exec.Command(filepath.Join(v.dir, "installed", "kvd"), args...)
	v.cmd.Dir, v.cmd.Stdout, v.cmd.Stderr = v.dir, log, log
	begun := time.Now()
	if err := v.cmd.Start(); err != nil {
		return 0, err
	}
	cmd, ended := v.cmd, make(chan struct{})
	v.ended = ended
	go func() { defer close(ended); cmd.Wait() }()
	for {
		if v.look() == nil {
			return time.Since(begun), v.connect()
		}
		select {
		case <-v.ended:
			return 0, fmt.Errorf("kvd ended: %s", v.log())
		case <-time.After(time.Millisecond):
			if time.Since(begun) > patience {
				return 0, fmt.Errorf("kvd does not answer: %s", v.log())
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// look finds the server by what it leaves in its directory, and asks it once.
func (v *kvd) look() error {
	url, err := os.ReadFile(filepath.Join(v.data(), "url"))
	if err != nil {
		return err
	}
	users, err := os.ReadFile(filepath.Join(v.data(), "users"))
	if err != nil {
		return err
	}
	v.url = strings.TrimSpace(string(url))
	v.user, v.password, _ = strings.Cut(strings.TrimSpace(string(users)), ":")
	req, err := http.NewRequest(http.MethodGet, v.url+"/api/v3/info", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(v.user, v.password)
	res, err := v.operator().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// operator returns a client that keeps no connection: a silent one makes the
// server wait for it, up to LameDuck.
func (v *kvd) operator() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: v.kit.roots},
	}}
}

func (v *kvd) connect() (err error) {
	v.api, err = httpapi.NewClient(httpapi.ClientConfig{
		Servers: []string{v.url}, HTTP: v.operator(), Auth: httpapi.BasicAuth(v.user, v.password), Retries: -1,
	})
	return err
}

// upgrade has the server replace itself by what is in the archive, and returns
// once it says that this is done, with what it counted.
func (v *kvd) upgrade(ctx context.Context, path string) (*upgrade.Status, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := v.api.Stage(ctx, f, info.Size(), httpapi.UploadOptions{}); err != nil {
		return nil, err
	}
	run, err := v.api.Run(ctx, upgrade.StartOptions{})
	if err != nil {
		return nil, err
	}
	for {
		s, err := v.api.Status(ctx)
		switch {
		case err != nil:
			return nil, err
		case s.Run == nil || s.Run.ID != run:
			return nil, fmt.Errorf("run %s is gone", run)
		case s.Status == "failed":
			return nil, fmt.Errorf("run %s: %s", run, *s.FinalState)
		case s.Status == "finished":
			return &s, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-v.ended:
			return nil, fmt.Errorf("kvd ended: %s", v.log())
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// stop ends the server as its operator would.
func (v *kvd) stop() {
	if v.ended == nil {
		return
	}
	v.cmd.Process.Signal(os.Interrupt)
	select {
	case <-v.ended:
	case <-time.After(patience):
		v.cmd.Process.Kill()
		<-v.ended
	}
}

func (v *kvd) log() string {
	b, _ := os.ReadFile(filepath.Join(v.dir, "kvd.log"))
	return string(b[max(0, len(b)-4096):])
}
