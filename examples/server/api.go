package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"
)

// maxValue is the size in bytes of a value.
const maxValue = 1 << 20

// api serves the key-value store, the server's own facts, and tokens.
type api struct {
	store *store
	auth  *auth
	boot  string
	since time.Time
}

func (a *api) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v3/info", a.known(a.info))
	mux.HandleFunc("GET /api/v3/users/{user}/token", a.known(a.token))
	mux.HandleFunc("GET /api/v3/kv/{key}", a.known(a.get))
	mux.HandleFunc("PUT /api/v3/kv/{key}", a.known(a.put))
	mux.HandleFunc("POST /api/v3/kv/{key}", a.known(a.put))
	mux.HandleFunc("DELETE /api/v3/kv/{key}", a.known(a.delete))
}

// known lets users through only.
func (a *api) known(f func(w http.ResponseWriter, r *http.Request, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := a.auth.user(r)
		if err != nil {
			w.Header().Set("Connection", "close") // nobody reads the rest of a stranger's body
			w.Header().Set("WWW-Authenticate", `Basic realm="kvd"`)
			fail(w, r, http.StatusUnauthorized, err.Error())
			return
		}
		f(w, r, user)
	}
}

// info is what drpcli and the demo ask first.
func (a *api) info(w http.ResponseWriter, r *http.Request, _ string) {
	reply(w, http.StatusOK, a.facts())
}

func (a *api) facts() map[string]any {
	return map[string]any{
		"version": version, "features": []string{"two-phase-rolling-upgrades", "inline-upgrade"},
		"os": runtime.GOOS, "arch": runtime.GOARCH, "id": "kvd",
		"pid": os.Getpid(), "boot": a.boot, "since": a.since.UTC(), "keys": a.store.len(),
	}
}

func (a *api) token(w http.ResponseWriter, r *http.Request, user string) {
	if r.PathValue("user") != user {
		fail(w, r, http.StatusForbidden, "tokens are given to the user itself only")
		return
	}
	ttl := time.Hour
	if s := r.FormValue("ttl"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 30*24*3600 {
			fail(w, r, http.StatusBadRequest, "ttl is a number of seconds, up to 30 days")
			return
		}
		ttl = time.Duration(n) * time.Second
	}
	reply(w, http.StatusOK, map[string]any{"Token": a.auth.token(user, ttl), "Info": a.facts()})
}

func (a *api) get(w http.ResponseWriter, r *http.Request, _ string) {
	value, ok := a.store.get(r.PathValue("key"))
	if !ok {
		fail(w, r, http.StatusNotFound, "no such key")
		return
	}
	reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) put(w http.ResponseWriter, r *http.Request, _ string) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		fail(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("a value has at most %d bytes", large.Limit))
		return
	}
	if err != nil {
		fail(w, r, http.StatusBadRequest, "the body ended early")
		return
	}
	value := string(b)
	if err := a.store.put(change{r.PathValue("key"), &value}); err != nil {
		fail(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) delete(w http.ResponseWriter, r *http.Request, _ string) {
	if err := a.store.put(change{Key: r.PathValue("key")}); err != nil {
		fail(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, http.StatusNoContent, nil)
}

// reply writes v as JSON. The content type is there even without a body: some
// clients take a reply without it for an error.
func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if v != nil {
		json.NewEncoder(w).Encode(v)
	}
}

// fail writes the error object that all of the API shares.
func fail(w http.ResponseWriter, r *http.Request, code int, message string) {
	reply(w, code, map[string]any{
		"Model": "kv", "Key": r.PathValue("key"), "Type": http.StatusText(code), "Messages": []string{message}, "Code": code,
	})
}
