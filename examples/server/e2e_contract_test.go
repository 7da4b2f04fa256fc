package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

const profilePath = "profiles/" + tracking.ProfileName

// certificate makes a certificate for loopback that signs itself.
func certificate(t testing.TB) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kvd"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) (string, []byte) {
		b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name), b
	}
	cert, text := write("cert.pem", "CERTIFICATE", der)
	key, _ = write("key.pem", "PRIVATE KEY", keyDER)
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return cert, key, pool
}

// What an existing client does, request by request, with the headers that it
// sends, over each protocol that it may speak.
func TestContract(t *testing.T) {
	for _, c := range []struct {
		name  string
		tls   bool
		proto int
	}{{"HTTP1", false, 1}, {"HTTP2 over TLS", true, 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var config kvdConfig
			transport := &http.Transport{ForceAttemptHTTP2: c.proto == 2}
			if c.tls {
				cert, key, pool := certificate(t)
				config.args = []string{"--tls-cert", cert, "--tls-key", key}
				transport.TLSClientConfig = &tls.Config{RootCAs: pool}
			}
			config.http = &http.Client{Transport: transport}
			k := startKVD(t, config)
			if got := k.do(http.MethodGet, "info", nil).proto; got != c.proto {
				t.Fatalf("the server speaks HTTP/%d, want %d", got, c.proto)
			}
			s := &contract{kvd: k}
			s.session()
			s.nothing()
			s.staged()
			s.running()
			s.finished()
			s.legacy()
		})
	}
}

// A contract is an existing client.
type contract struct {
	*kvd
	token string
	size  int
}

// as sends what drpcli sends.
func (c *contract) as(method, path string, header ...string) gotten {
	c.t.Helper()
	return c.do(method, path, nil, append([]string{"Accept", "application/json", "Cache-Control", "no-store",
		"Authorization", "Bearer " + c.token}, header...)...)
}

// action is a request without a body but with a type.
func (c *contract) action(path string) gotten {
	c.t.Helper()
	return c.as(http.MethodPost, path, "Content-Type", "application/json", "Content-Length", "0")
}

// empty fails the test if the reply has a body.
func (g gotten) empty(t testing.TB) gotten {
	t.Helper()
	if len(g.body) > 0 {
		t.Errorf("status %d with a body: %s", g.status, g.body)
	}
	return g
}

func (c *contract) session() {
	t := c.t
	t.Helper()
	var token struct {
		Token string
		Info  map[string]any
	}
	user, password := c.login()
	c.do(http.MethodGet, "users/"+user+"/token", nil).ok(t, http.StatusOK).into(t, &token)
	c.token = token.Token
	c.as(http.MethodGet, "users/"+user+"/token?ttl=7200").ok(t, http.StatusOK).into(t, &token)
	if token.Token == "" || token.Info["version"] != "1.0.0" {
		t.Fatalf("token: %+v", token)
	}
	c.token = token.Token
	var info struct {
		Version  string   `json:"version"`
		Features []string `json:"features"`
		OS       string   `json:"os"`
		Arch     string   `json:"arch"`
	}
	c.as(http.MethodGet, "info").ok(t, http.StatusOK).into(t, &info)
	if !slices.Contains(info.Features, "two-phase-rolling-upgrades") || !slices.Contains(info.Features, "inline-upgrade") || info.OS == "" || info.Arch == "" {
		t.Errorf("info: %+v", info)
	}

	wrong, _ := http.NewRequest(http.MethodGet, c.url, nil)
	wrong.SetBasicAuth(user, password+"x")
	for name, header := range map[string]string{
		"wrong password": wrong.Header.Get("Authorization"), "unknown token": "Bearer tok123", "changed token": "Bearer " + c.token + "x", "none": "",
	} {
		for _, path := range []string{"users/" + user + "/token", "info", "system/upgrade/status", profilePath, "profiles"} {
			g := c.do(http.MethodGet, path, nil, "Authorization", header)
			if g.refused(t, http.StatusUnauthorized, ""); g.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s at %s: 401 without WWW-Authenticate", name, path)
			}
		}
	}
}

// nothing is how it looks while nothing is staged.
func (c *contract) nothing() {
	t := c.t
	t.Helper()
	for _, path := range []string{"system/upgrade/status", profilePath, profilePath + "/params", profilePath + "/params/status"} {
		e := c.as(http.MethodGet, path).refused(t, http.StatusNotFound, "")
		if e.Model != "profiles" || e.Key != tracking.ProfileName || e.Type != "GET" || e.Messages[0] != "Not Found" {
			t.Errorf("%s: %+v", path, e)
		}
		c.as(http.MethodHead, path).empty(t).ok(t, http.StatusNotFound)
	}
	var list []tracking.Profile
	if c.as(http.MethodGet, "profiles").ok(t, http.StatusOK).into(t, &list); len(list) != 0 || list == nil {
		t.Errorf("profiles: %v", list)
	}
	for _, path := range []string{"system/upgrade/run", "system/upgrade/exec"} {
		c.action(path).refused(t, http.StatusNotFound, "NothingStaged")
	}
	for _, path := range []string{"system/upgrade/undo", "system/", "profiles/global", "nothing", "users/admin", profilePath + "/what"} {
		c.as(http.MethodGet, path).refused(t, http.StatusNotFound, "")
	}
	for path, method := range map[string]string{
		"system/upgrade": "GET", "system/upgrade/stage": "PATCH", "system/upgrade/run": "GET", "system/upgrade/exec": "PUT",
		"system/upgrade/status": "POST", "profiles": "POST", profilePath: "DELETE", profilePath + "/params/status": "PUT",
	} {
		g := c.as(method, path)
		if g.refused(t, http.StatusMethodNotAllowed, ""); g.header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", method, path)
		}
	}
}

func (c *contract) staged() {
	t := c.t
	t.Helper()
	archive := packed(t, "1.1.0", 2, c.key, nil)
	c.size = len(archive)
	var blob struct {
		Path string
		Size int
	}
	c.upload("system/upgrade/stage", archive).ok(t, http.StatusCreated).into(t, &blob)
	if blob.Path == "" || blob.Size != c.size {
		t.Errorf("blob: %+v, want %d bytes", blob, c.size)
	}

	status := c.as(http.MethodGet, "system/upgrade/status").ok(t, http.StatusOK)
	profile := c.as(http.MethodGet, profilePath).ok(t, http.StatusOK)
	if string(status.body) != string(profile.body) {
		t.Errorf("status and profile differ:\n%s%s", status.body, profile.body)
	}
	var p, listed tracking.Profile
	profile.into(t, &p)
	if p.Name != tracking.ProfileName || p.Params["status"] != "staged" || p.Params["final-state"] != nil {
		t.Errorf("profile: %+v", p)
	}
	if lines, ok := p.Params["transcript"].([]any); !ok || len(lines) == 0 {
		t.Errorf("transcript: %v", p.Params["transcript"])
	}
	list := []tracking.Profile{}
	if c.as(http.MethodGet, "profiles").ok(t, http.StatusOK).into(t, &list); len(list) == 1 {
		listed = list[0]
	}
	if listed.Name != tracking.ProfileName {
		t.Errorf("profiles: %+v", list)
	}
	params := map[string]any{}
	c.as(http.MethodGet, profilePath+"/params").ok(t, http.StatusOK).into(t, &params)
	if len(params) != len(p.Params) {
		t.Errorf("params: %v, want %v", params, p.Params)
	}
	if g := c.as(http.MethodGet, profilePath+"/params/status").ok(t, http.StatusOK); strings.TrimSpace(string(g.body)) != `"staged"` {
		t.Errorf("params/status: %s", g.body)
	}
	c.as(http.MethodGet, profilePath+"/params/color").refused(t, http.StatusNotFound, "NoSuchParam")

	etag := c.as(http.MethodHead, profilePath).empty(t).ok(t, http.StatusOK).header.Get("ETag")
	if etag == "" || etag != profile.header.Get("ETag") {
		t.Errorf("ETag %q by HEAD, %q by GET", etag, profile.header.Get("ETag"))
	}
	c.as(http.MethodGet, profilePath, "If-None-Match", etag).empty(t).ok(t, http.StatusNotModified)
	c.as(http.MethodGet, profilePath, "If-None-Match", `"other"`).ok(t, http.StatusOK)
	c.as(http.MethodGet, profilePath, "If-None-Match", etag, "Prefer", "wait=1").empty(t).ok(t, http.StatusNotModified)
}

// running starts the run beside a client that waits for a change.
func (c *contract) running() {
	t := c.t
	t.Helper()
	etag := c.as(http.MethodHead, profilePath).header.Get("ETag")
	type woken struct {
		gotten
		err error
		log int
	}
	polled := make(chan woken, 1)
	go func() {
		// Were it not woken it would be answered after the restart, or by 304.
		g, err := c.try(t.Context(), http.MethodGet, profilePath, nil, "Authorization", "Bearer "+c.token, "If-None-Match", etag, "Prefer", "wait=60")
		polled <- woken{g, err, c.logged()}
	}()
	from := c.logged()
	first := c.action("system/upgrade/run").empty(t).ok(t, http.StatusAccepted)
	again := c.action("system/upgrade/run").empty(t).ok(t, http.StatusAccepted)
	if id := first.header.Get("Upgrade-Run"); id == "" || id != again.header.Get("Upgrade-Run") {
		t.Errorf("run %q, then run %q", id, again.header.Get("Upgrade-Run"))
	}
	w := <-polled
	if w.err != nil {
		t.Fatalf("the client that waited: %v", w.err)
	}
	var p tracking.Profile
	w.ok(t, http.StatusOK).into(t, &p)
	if p.Params["status"] != "working" || w.header.Get("ETag") == etag || w.header.Get("Preference-Applied") == "" {
		t.Errorf("the client that waited is told %v, %v", p.Params["status"], w.header)
	}
	c.mu.Lock()
	if slices.ContainsFunc(c.lines[from:w.log], func(l string) bool { return strings.Contains(l, "serving:") }) {
		t.Error("the client that waited was told after the restart only")
	}
	c.mu.Unlock()
	whole(t, c.finish("1.1.0"))
}

func (c *contract) finished() {
	t := c.t
	t.Helper()
	var p tracking.Profile
	c.as(http.MethodGet, profilePath).ok(t, http.StatusOK).into(t, &p)
	if p.Params["status"] != "finished" || p.Params["final-state"] == nil || p.Params["working-node"] != c.url {
		b, _ := json.Marshal(p.Params)
		t.Errorf("params: %s", b)
	}
	c.action("system/upgrade/exec").empty(t).ok(t, http.StatusNoContent) // runs it already
	for range 2 {
		c.as(http.MethodDelete, "system/upgrade/stage").empty(t).ok(t, http.StatusNoContent)
	}
	c.as(http.MethodGet, "system/upgrade/status").refused(t, http.StatusNotFound, "")

	c.upload("system/upgrade/stage", packed(t, "1.2.0", 3, c.key, nil)).ok(t, http.StatusCreated)
	c.action("system/upgrade/exec").empty(t).ok(t, http.StatusAccepted)
	whole(t, c.finish("1.2.0"))
	c.action("system/upgrade/exec").empty(t).ok(t, http.StatusNoContent)
}

// legacy uploads and starts at once. The whole reply has to come before the
// restart, over a connection that is told to close by then at the latest.
func (c *contract) legacy() {
	t := c.t
	t.Helper()
	archive := packed(t, "1.3.0", 4, c.key, nil)
	from := c.logged()
	var blob struct {
		Path string
		Size int
	}
	c.upload("system/upgrade", archive).ok(t, http.StatusCreated).into(t, &blob)
	if blob.Path == "" || blob.Size != len(archive) {
		t.Errorf("blob: %+v, want %d bytes", blob, len(archive))
	}
	c.mu.Lock()
	if slices.ContainsFunc(c.lines[from:], func(l string) bool { return strings.Contains(l, "serving:") }) {
		t.Error("the reply came after the restart")
	}
	c.mu.Unlock()
	c.await(from, "serving:")
	whole(t, c.finish("1.3.0"))
}

// A server that answers is never a mix: while the program changes, requests are
// answered whole, by the old one or by the new one.
func TestEveryAnswerIsWhole(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	ctx, stop := context.WithCancel(t.Context())
	type outcome struct {
		versions []string
		err      error
	}
	done := make(chan outcome, 4)
	for i := range cap(done) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		caller := &kvd{t: t, url: k.url, data: k.data, http: client}
		go func() {
			defer client.CloseIdleConnections()
			var o outcome
			for ctx.Err() == nil && o.err == nil {
				g, err := caller.try(ctx, http.MethodGet, "info", nil)
				if ctx.Err() != nil {
					break
				}
				var info serverInfo
				if err == nil {
					err = json.Unmarshal(g.body, &info)
				}
				if err == nil && g.status != http.StatusOK {
					err = fmt.Errorf("status %d", g.status)
				}
				if o.err = err; err == nil && (len(o.versions) == 0 || o.versions[len(o.versions)-1] != info.Version) {
					o.versions = append(o.versions, info.Version)
				}
			}
			done <- o
		}()
	}
	k.upgrade("1.1.0", 2)
	stop()
	for range cap(done) {
		o := <-done
		if o.err != nil {
			t.Errorf("a request failed: %v", o.err)
		}
		if !slices.Equal(o.versions, []string{"1.0.0", "1.1.0"}) {
			t.Errorf("a client saw the versions %q", o.versions)
		}
	}
}
