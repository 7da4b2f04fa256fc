package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// upgradeCommand is "kvd upgrade": the library's commands, with our own login.
// They look into the data directory of the server (KVD_DATA, or kvd-data here)
// for where it is and who may use it; --endpoint and --token-file go before that.
func upgradeCommand() *cobra.Command {
	data := os.Getenv("KVD_DATA")
	if data == "" {
		data = "kvd-data"
	}
	endpoint := "http://127.0.0.1:8092"
	if b, err := os.ReadFile(filepath.Join(data, "url")); err == nil {
		endpoint = strings.TrimSpace(string(b))
	}
	return upgradecmd.New(upgradecmd.Config{
		Product:   "kvd",
		Endpoints: []string{endpoint},
		EnvPrefix: "KVD_",
		Connect: func(_ context.Context, t upgradecmd.Target) (httpapi.ClientConfig, error) {
			c := httpapi.ClientConfig{Servers: t.Endpoints, HTTP: &http.Client{Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust(data),
			}}}
			if t.Token != "" {
				c.Auth = httpapi.BearerAuth(t.Token)
				return c, nil
			}
			users, err := os.ReadFile(filepath.Join(data, "users"))
			if err != nil {
				return c, err
			}
			line, _, _ := strings.Cut(string(users), "\n")
			name, password, _ := strings.Cut(strings.TrimSpace(line), ":")
			c.Auth = httpapi.BasicAuth(name, password)
			return c, nil
		},
	})
}

// trust believes the certificate that the server has left in its data directory;
// without one, those that this machine believes.
func trust(data string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem, err := os.ReadFile(filepath.Join(data, "server.crt")); err == nil {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(pem)
	}
	return c
}
