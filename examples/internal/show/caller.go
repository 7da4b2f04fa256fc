package show

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// A Caller talks to a server whose data directory it can read.
type Caller struct {
	URL    string
	header string // Authorization
}

// NewCaller reads where the server is, and who may use it.
func NewCaller(data string) (*Caller, error) {
	urls := web.Endpoints(data)
	if urls == nil {
		return nil, fmt.Errorf("nobody has served from %s yet", data)
	}
	return CallerAt(urls[0], data)
}

// CallerAt reads who may use the server at url.
func CallerAt(url, data string) (*Caller, error) {
	name, password, err := web.Login(data)
	if err != nil {
		return nil, err
	}
	req, _ := http.NewRequest(http.MethodGet, "http://unused", nil)
	req.SetBasicAuth(name, password)
	return &Caller{URL: url, header: req.Header.Get("Authorization")}, nil
}

// Call sends one request and decodes the reply into v, if that is not nil.
func (c *Caller) Call(ctx context.Context, client *http.Client, method, path, body string, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	c.Authorize(req)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return &StatusError{Method: method, Path: path, Status: res.Status, Code: res.StatusCode, Body: string(b)}
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// Authorize adds the credentials of the Caller to a request.
func (c *Caller) Authorize(r *http.Request) error {
	r.Header.Set("Authorization", c.header)
	return nil
}

// A StatusError is an answer that says no.
type StatusError struct {
	Method, Path string
	Status       string
	Code         int
	Body         string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %s: %s", e.Method, e.Path, e.Status, e.Body)
}

// Client returns a client for Calls. If fresh is set it keeps no connection; a
// silent one would be waited for at a restart. trust may be nil.
func Client(fresh bool, trust *tls.Config) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: fresh, TLSClientConfig: trust}}
}

// FileDigest returns the digest of a file, as the API writes it.
func FileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
