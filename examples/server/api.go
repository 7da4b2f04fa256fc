package main

import (
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// api serves the key-value store, the server's own facts, and tokens.
type api struct {
	store *store
	auth  *web.Accounts
	boot  string
	since time.Time
}

func (a *api) mount(mux *http.ServeMux) {
	common := &web.API{Accounts: a.auth, Realm: "kvd", Facts: a.facts}
	common.Mount(mux)
	mux.HandleFunc("GET /api/v3/kv/{key}", common.Known(a.get))
	mux.HandleFunc("PUT /api/v3/kv/{key}", common.Known(a.put))
	mux.HandleFunc("POST /api/v3/kv/{key}", common.Known(a.put))
	mux.HandleFunc("DELETE /api/v3/kv/{key}", common.Known(a.delete))
}

func (a *api) facts(*http.Request) map[string]any {
	return map[string]any{
		"version": version, "features": []string{"two-phase-rolling-upgrades", "inline-upgrade"},
		"os": runtime.GOOS, "arch": runtime.GOARCH, "id": "kvd",
		"pid": os.Getpid(), "boot": a.boot, "since": a.since.UTC(), "keys": a.store.len(),
	}
}

func (a *api) get(w http.ResponseWriter, r *http.Request, _ string) {
	value, ok := a.store.get(r.PathValue("key"))
	if !ok {
		web.Fail(w, r, http.StatusNotFound, "no such key")
		return
	}
	web.Reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) put(w http.ResponseWriter, r *http.Request, _ string) {
	value, ok := web.Value(w, r)
	if !ok {
		return
	}
	if err := a.store.put(change{r.PathValue("key"), &value}); err != nil {
		web.Fail(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	web.Reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) delete(w http.ResponseWriter, r *http.Request, _ string) {
	if err := a.store.put(change{Key: r.PathValue("key")}); err != nil {
		web.Fail(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	web.Reply(w, http.StatusNoContent, nil)
}
