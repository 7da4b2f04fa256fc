package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// MaxValue is the size in bytes of a value.
const MaxValue = 1 << 20

// An API is what the HTTP APIs of the examples have in common: users, tokens
// and the server's own facts.
type API struct {
	Accounts *Accounts
	Realm    string                               // name of the program
	Facts    func(r *http.Request) map[string]any // what the server says of itself
}

// Mount serves the common part on mux.
func (a *API) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v3/info", a.Known(a.info))
	mux.HandleFunc("GET /api/v3/users/{user}/token", a.Known(a.token))
}

// Known lets users through only.
func (a *API) Known(f func(w http.ResponseWriter, r *http.Request, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := a.Accounts.User(r)
		if err != nil {
			w.Header().Set("Connection", "close") // nobody reads the rest of a stranger's body
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", a.Realm))
			Fail(w, r, http.StatusUnauthorized, err.Error())
			return
		}
		f(w, r, user)
	}
}

// info is what drpcli and the demos ask first.
func (a *API) info(w http.ResponseWriter, r *http.Request, _ string) {
	Reply(w, http.StatusOK, a.Facts(r))
}

func (a *API) token(w http.ResponseWriter, r *http.Request, user string) {
	if r.PathValue("user") != user {
		Fail(w, r, http.StatusForbidden, "tokens are given to the user itself only")
		return
	}
	ttl := time.Hour
	if s := r.FormValue("ttl"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 30*24*3600 {
			Fail(w, r, http.StatusBadRequest, "ttl is a number of seconds, up to 30 days")
			return
		}
		ttl = time.Duration(n) * time.Second
	}
	Reply(w, http.StatusOK, map[string]any{"Token": a.Accounts.Token(user, ttl), "Info": a.Facts(r)})
}

// Value reads the value that r brings. If it returns false it has answered.
func Value(w http.ResponseWriter, r *http.Request) (string, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxValue))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		Fail(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("a value has at most %d bytes", large.Limit))
		return "", false
	}
	if err != nil {
		Fail(w, r, http.StatusBadRequest, "the body ended early")
		return "", false
	}
	return string(b), true
}

// Reply writes v as JSON. The content type is there even without a body: some
// clients take a reply without it for an error.
func Reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if v != nil {
		json.NewEncoder(w).Encode(v)
	}
}

// Fail writes the error object that all of the API shares.
func Fail(w http.ResponseWriter, r *http.Request, code int, message string) {
	Reply(w, code, map[string]any{
		"Model": "kv", "Key": r.PathValue("key"), "Type": http.StatusText(code), "Messages": []string{message}, "Code": code,
	})
}
