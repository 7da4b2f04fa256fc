package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// Accounts knows the users, and signs the tokens that stand for them. Tokens stay
// valid over a restart: the secret lies in the data directory.
type Accounts struct {
	users  map[string]string // password by name
	secret []byte
}

// DefaultUser may do everything.
const DefaultUser = "admin"

// Open reads users and secret from dir. At the first start it makes both: a
// user admin with a password that nobody else knows.
func Open(dir string) (*Accounts, error) {
	secret, err := readOrMake(filepath.Join(dir, "token.key"), func() string { return randomHex(32) })
	if err != nil {
		return nil, err
	}
	lines, err := readOrMake(filepath.Join(dir, "users"), func() string { return DefaultUser + ":" + randomHex(12) })
	if err != nil {
		return nil, err
	}
	a := &Accounts{users: map[string]string{}, secret: []byte(strings.TrimSpace(secret))}
	for line := range strings.Lines(lines) {
		name, password, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("users: a line is not name:password")
		}
		a.users[name] = password
	}
	return a, nil
}

func (a *Accounts) sign(s string) string {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte(s))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Token returns a token for user that is valid for ttl.
func (a *Accounts) Token(user string, ttl time.Duration) string {
	s := base64.RawURLEncoding.EncodeToString([]byte(user)) + "." + strconv.FormatInt(time.Now().Add(ttl).Unix(), 10)
	return s + "." + a.sign(s)
}

// User returns who sent the request, by Basic or Bearer authentication. The
// error wraps httpapi.ErrUnauthenticated.
func (a *Accounts) User(r *http.Request) (string, error) {
	if name, password, ok := r.BasicAuth(); ok {
		want, known := a.users[name]
		if subtle.ConstantTimeCompare([]byte(password), []byte(want)) == 1 && known {
			return name, nil
		}
		return "", fmt.Errorf("wrong user or password: %w", httpapi.ErrUnauthenticated)
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", fmt.Errorf("no Authorization header: %w", httpapi.ErrUnauthenticated)
	}
	i := strings.LastIndexByte(token, '.')
	if i < 0 || !hmac.Equal([]byte(a.sign(token[:i])), []byte(token[i+1:])) {
		return "", fmt.Errorf("unknown token: %w", httpapi.ErrUnauthenticated)
	}
	name64, expiry, _ := strings.Cut(token[:i], ".")
	name, err := base64.RawURLEncoding.DecodeString(name64)
	until, err2 := strconv.ParseInt(expiry, 10, 64)
	if err != nil || err2 != nil || time.Now().Unix() > until {
		return "", fmt.Errorf("the token has expired: %w", httpapi.ErrUnauthenticated)
	}
	if _, known := a.users[string(name)]; !known {
		return "", fmt.Errorf("unknown user: %w", httpapi.ErrUnauthenticated)
	}
	return string(name), nil
}
