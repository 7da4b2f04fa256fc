package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
)

// table returns the routes with a fixed path.
func (h *Handler) table() map[string]resource {
	read := []Right{RightStatus}
	at := func(model, key string, methods map[string]endpoint) resource {
		return resource{model: model, key: key, methods: methods}
	}
	check := endpoint{rights: read, serve: h.check}
	plan := endpoint{rights: read, serve: h.plan}
	return map[string]resource{
		"system/upgrade": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightStage, RightRun}, serve: h.legacy}}),
		"system/upgrade/stage": at("system", "upgrade", map[string]endpoint{
			http.MethodPost:   {rights: []Right{RightStage}, serve: h.stage},
			http.MethodDelete: {rights: []Right{RightAbort}, serve: h.unstage}}),
		"system/upgrade/run": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.run}}),
		"system/upgrade/exec": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.exec}}),
		"system/upgrade/pause": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightAbort}, serve: h.pause, or: RightRun}}),
		"system/upgrade/resume": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.resume}}),
		"system/upgrade/retry": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.retry}}),
		"system/upgrade/rollback": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.rollback}}),
		"system/upgrade/commit": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightRun}, serve: h.commit}}),
		"system/upgrade/status": at("profiles", tracking.ProfileName, map[string]endpoint{
			http.MethodGet: {rights: read, serve: h.status}}),
		"system/upgrade/check": at("system", "upgrade", map[string]endpoint{
			http.MethodGet: check, http.MethodPost: check}),
		"system/upgrade/plan": at("system", "upgrade", map[string]endpoint{
			http.MethodGet: plan, http.MethodPost: plan}),
		"system/upgrade/peer/report": at("system", "upgrade", map[string]endpoint{
			http.MethodGet: {rights: []Right{RightPeer}, serve: h.peerReport}}),
		"system/upgrade/peer/look": at("system", "upgrade", map[string]endpoint{
			http.MethodPost: {rights: []Right{RightPeer}, serve: h.peerLook}}),
		"profiles": at("profiles", "", map[string]endpoint{
			http.MethodGet: {rights: read, serve: h.profiles}}),
	}
}

// resource returns what is at path. Where nothing is, it still says what errors
// are about.
func (h *Handler) resource(path string) resource {
	if res, ok := h.routes[path]; ok {
		return res
	}
	if strings.HasPrefix(path, peerBlobs) {
		return resource{model: "system", key: "upgrade", methods: map[string]endpoint{
			http.MethodGet: {rights: []Right{RightPeer}, serve: h.peerBlob}}}
	}
	model, rest, _ := strings.Cut(path, "/")
	name, rest, deep := strings.Cut(rest, "/")
	res := resource{model: model, key: name}
	if model != "profiles" || name == "" {
		return res
	}
	serve := h.profile
	switch {
	case !deep:
	case rest == "params":
		serve = h.params
	case strings.HasPrefix(rest, "params/"):
		serve = h.param
	default:
		return res
	}
	res.methods = map[string]endpoint{http.MethodGet: {rights: []Right{RightStatus}, serve: serve}}
	return res
}

func (r resource) allow() string {
	var names []string
	for m := range r.methods {
		names = append(names, m)
		if m == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
