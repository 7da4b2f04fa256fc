package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// A server leaves in its data directory where it is (url, one address a line, its
// own first), who may use it (users), and by which certificate it is known
// (server.crt, if it has one).

// Announce writes down where the server is. The file trust, if one is named,
// holds the certificate by which clients know it.
func Announce(dir, trust string, urls ...string) error {
	if trust != "" {
		pem, err := os.ReadFile(trust)
		if err != nil {
			return err
		}
		if err := WriteWhole(filepath.Join(dir, "server.crt"), string(pem)); err != nil {
			return err
		}
	}
	return WriteWhole(filepath.Join(dir, "url"), strings.Join(urls, "\n")+"\n")
}

// Endpoints reads where the server is, and the other members of its cluster. It
// returns nil if nobody has served from dir.
func Endpoints(dir string) []string {
	b, err := os.ReadFile(filepath.Join(dir, "url"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// Login reads the first user and the password.
func Login(dir string) (name, password string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "users"))
	if err != nil {
		return "", "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	name, password, _ = strings.Cut(strings.TrimSpace(line), ":")
	return name, password, nil
}

// Trust believes the certificate that the server has left in its data directory;
// without one, those that this machine believes.
func Trust(dir string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem, err := os.ReadFile(filepath.Join(dir, "server.crt")); err == nil {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(pem)
	}
	return c
}

// Connect logs the upgrade commands in as the first user of the server with the
// data directory dir, which operators name in the environment by variable, unless
// there is a token.
func Connect(dir, variable string) func(context.Context, upgradecmd.Target) (httpapi.ClientConfig, error) {
	return func(_ context.Context, t upgradecmd.Target) (httpapi.ClientConfig, error) {
		c := httpapi.ClientConfig{Servers: t.Endpoints, HTTP: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: Trust(dir),
			ExpectContinueTimeout: 5 * time.Second, // a refusal of an upload comes before the body
		}}}
		if t.Token != "" {
			c.Auth = httpapi.BearerAuth(t.Token)
			return c, nil
		}
		name, password, err := Login(dir)
		if err != nil {
			return c, fmt.Errorf("log in with the data directory %s of a server: %w; go to where the server was started, "+
				"name its data directory in the environment (%s), or give --token-file", dir, err, variable)
		}
		c.Auth = httpapi.BasicAuth(name, password)
		return c, nil
	}
}

// Answers returns nil if the server at url answers its own API.
func (a *Accounts) Answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v3/info", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token(DefaultUser, time.Minute))
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it talks to itself
	}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", strings.TrimPrefix(req.URL.Path, "/"), res.Status)
	}
	return nil
}
