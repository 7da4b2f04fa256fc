package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// patience is how long a request waits for a leader. A hand-over takes
// milliseconds, an election a second or two.
const patience = 25 * time.Second

// api serves the key-value store, the server's own facts, and tokens. Every
// member answers everything: reads are as fresh as if the leader had been asked.
type api struct {
	*server
	boot  string
	since time.Time
}

func (a *api) mount(mux *http.ServeMux) {
	common := &web.API{Accounts: a.auth, Realm: product, Facts: a.facts}
	common.Mount(mux)
	mux.HandleFunc("GET /api/v3/kv", common.Known(a.list))
	mux.HandleFunc("GET /api/v3/kv/{key}", common.Known(a.get))
	mux.HandleFunc("PUT /api/v3/kv/{key}", common.Known(a.put))
	mux.HandleFunc("POST /api/v3/kv/{key}", common.Known(a.put))
	mux.HandleFunc("DELETE /api/v3/kv/{key}", common.Known(a.delete))
	mux.HandleFunc("POST /api/v3/members/{id}", common.Known(a.admit))
	mux.HandleFunc("DELETE /api/v3/members/{id}", common.Known(a.dismiss))
}

func (a *api) facts(*http.Request) map[string]any {
	r := a.node.Raft()
	_, leader := r.LeaderWithID()
	return map[string]any{
		"version": version, "features": []string{"two-phase-rolling-upgrades"},
		"os": runtime.GOOS, "arch": runtime.GOARCH, "id": a.id,
		"pid": os.Getpid(), "boot": a.boot, "since": a.since.UTC(), "keys": a.machine.len(),
		"role": r.State().String(), "leader": string(leader), "term": r.CurrentTerm(), "applied": r.AppliedIndex(),
	}
}

func (a *api) get(w http.ResponseWriter, r *http.Request, _ string) {
	if !a.fresh(w, r) {
		return
	}
	value, ok := a.machine.get(r.PathValue("key"))
	if !ok {
		web.Fail(w, r, http.StatusNotFound, "no such key")
		return
	}
	web.Reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) list(w http.ResponseWriter, r *http.Request, _ string) {
	if a.fresh(w, r) {
		web.Reply(w, http.StatusOK, map[string]any{"values": a.machine.list(r.FormValue("prefix"))})
	}
}

func (a *api) put(w http.ResponseWriter, r *http.Request, _ string) {
	value, ok := web.Value(w, r)
	if !ok || !a.change(w, r, change{op: opPut, key: r.PathValue("key"), value: value}) {
		return
	}
	web.Reply(w, http.StatusOK, map[string]string{"key": r.PathValue("key"), "value": value})
}

func (a *api) delete(w http.ResponseWriter, r *http.Request, _ string) {
	if a.change(w, r, change{op: opDelete, key: r.PathValue("key")}) {
		web.Reply(w, http.StatusNoContent, nil)
	}
}

// fresh waits until this member has everything that was committed when the
// request came. If it returns false it has answered.
func (a *api) fresh(w http.ResponseWriter, r *http.Request) bool {
	return a.until(w, r, a.node.Barrier)
}

// change commits c through the leader, whoever leads. If it returns false it has
// answered.
func (a *api) change(w http.ResponseWriter, r *http.Request, c change) bool {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	entry := c.encode()
	if len(entry) > raftnode.MaxCommand {
		web.Fail(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("key and value together have at most %d bytes", raftnode.MaxCommand))
		return false
	}
	if _, err := a.node.Apply(ctx, entry); err != nil {
		web.Fail(w, r, http.StatusServiceUnavailable, err.Error())
		return false
	}
	return true
}

// until does f, again and again while the cluster has no leader.
func (a *api) until(w http.ResponseWriter, r *http.Request, f func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return true
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			web.Fail(w, r, http.StatusServiceUnavailable, "the cluster has no leader: "+err.Error())
			return false
		}
	}
}
