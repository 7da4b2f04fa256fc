package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

func TestSecondStage(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{args: []string{"--min-healthy", "3s"}})
	was := k.fresh()
	good, other := packed(t, "1.1.0", 2, k.key, nil), mock(t, "1.2.0", 3, k.key, nil)
	var first, again httpapi.BlobInfo
	k.upload("system/upgrade/stage", good).ok(t, http.StatusCreated).into(t, &first)
	staged := k.trace()
	if len(staged.Stored) == 0 || staged.Record != "staged" || staged.Program != was.Program {
		t.Fatalf("after the stage: %+v", staged)
	}

	for _, path := range []string{"system/upgrade/stage", "system/upgrade"} {
		k.upload(path, other).refused(t, http.StatusConflict, "AlreadyStaged")
		k.upload(path, []byte("not an archive")).refused(t, http.StatusConflict, "AlreadyStaged")
	}
	k.unchanged(t, staged)
	k.upload("system/upgrade/stage", good).ok(t, http.StatusCreated).into(t, &again)
	if again.Path != first.Path || again.Size != first.Size || again.Staged.Run != first.Staged.Run || !again.Staged.Already {
		t.Errorf("the same again: %+v %+v, want %+v %+v", again, again.Staged, first, first.Staged)
	}
	k.unchanged(t, staged)

	// The record and the store survive: a new process knows what it has staged.
	from := k.logged()
	k.do(http.MethodPost, "system/upgrade/run", nil).ok(t, http.StatusAccepted)
	k.await(from, "serving:") // and must be well for a while
	k.upload("system/upgrade/stage", other).refused(t, http.StatusConflict, "RunInProgress")
	k.upload("system/upgrade", other).refused(t, http.StatusConflict, "RunInProgress")
	if s := k.status(); s.Status != "working" {
		t.Fatalf("the status is %s: the uploads came too late to prove anything", s.Status)
	}
	k.finish("1.1.0")
	done := k.trace()
	if done.Record != "finished" || !slices.Equal(done.Stored, staged.Stored) {
		t.Errorf("after the run: %+v", done)
	}

	// Older than what is installed.
	k.upload("system/upgrade/stage", mock(t, "1.0.9", 1, k.key, nil)).refused(t, http.StatusForbidden, archive.RolledBack)
	k.upload("system/upgrade", mock(t, "1.0.9", 1, k.key, nil)).refused(t, http.StatusForbidden, archive.RolledBack)
	k.unchanged(t, done)
	k.do(http.MethodDelete, "system/upgrade/stage", nil).ok(t, http.StatusNoContent)
	k.upload("system/upgrade/stage", mock(t, "1.0.9", 1, k.key, nil)).refused(t, http.StatusForbidden, archive.RolledBack)
	if left := k.trace(); len(left.Stored) > 0 || left.Record != "none" {
		t.Errorf("left in the end: %+v", left)
	}
}

// A run that the new program's probe fails is refused before anything changes.
func TestProgramThatDoesNotStart(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	was := k.fresh()
	bad := mock(t, "1.1.0", 2, k.key, nil)
	k.upload("system/upgrade/stage", bad).ok(t, http.StatusCreated)
	staged := k.trace()
	k.do(http.MethodPost, "system/upgrade/run", nil).refused(t, http.StatusConflict, "")
	k.unchanged(t, staged)
	k.do(http.MethodDelete, "system/upgrade/stage", nil).ok(t, http.StatusNoContent)
	k.unchanged(t, was)
	// In one request it leaves nothing at all.
	k.upload("system/upgrade", bad).refused(t, http.StatusConflict, "")
	k.unchanged(t, was)
}

// inProcess serves an orchestrator of a cluster of these members in this process,
// behind wrap.
func inProcess(t testing.TB, key archive.PrivateKey, members cluster.Membership, wrap func(http.Handler) http.Handler) (s *httptest.Server, store string) {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, filepath.Join(built(t, "1.0.0"), "kvd"), filepath.Join(dir, "installed", "kvd"))
	program, err := upgrade.ProgramAt(filepath.Join(dir, "installed", "kvd"))
	if err != nil {
		t.Fatal(err)
	}
	store = filepath.Join(dir, "archives")
	archives, err := archive.OpenDir(store)
	if err != nil {
		t.Fatal(err)
	}
	record, err := tracking.NewFile(filepath.Join(dir, "upgrade.json"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := upgrade.New(upgrade.Config{
		Started:  &upgrade.Started{Identity: upgrade.Identity{Product: "kvd", Version: "1.0.0"}, Program: program, BootID: "one"},
		Archives: archives, Cluster: members, Tracking: record, Restart: restart.Method{
			Name:    "none",
			Check:   func(context.Context, string) error { return nil }, // exec in place minds children, which tests have
			Restart: func(context.Context, string) error { return errors.ErrUnsupported },
			Last:    func() restart.Report { return restart.Report{} },
		},
		Keys: []archive.PublicKey{key.Public()}, StoreDir: dir, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- o.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	h, err := httpapi.New(httpapi.Config{Upgrader: o, Authorize: func(*http.Request, httpapi.Right) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	s = httptest.NewServer(wrap(h))
	t.Cleanup(s.Close)
	return s, store
}

func post(t testing.TB, s *httptest.Server, path string, body []byte, length int64) gotten {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.URL+"/api/v3/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", "application/octet-stream")
	g, err := send(s.Client(), req)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestBodyCutShortByMiddleware(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := mock(t, "1.1.0", 2, key, nil)
	limit := func(n int64) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler { return http.MaxBytesHandler(h, n) }
	}
	for _, path := range []string{"system/upgrade/stage", "system/upgrade"} {
		s, store := inProcess(t, key, cluster.Single("kvd", "http://kvd"), limit(int64(len(good))-1000))
		for _, length := range []int64{-1, int64(len(good))} {
			e := post(t, s, path, good, length).refused(t, http.StatusBadRequest, "BodyEndedEarly")
			if len(e.Messages) < 2 || !slices.ContainsFunc(e.Messages, func(m string) bool { return bytes.Contains([]byte(m), []byte("limit")) }) {
				t.Errorf("the refusal does not speak of a limit: %q", e.Messages)
			}
			if files := filesIn(t, store); len(files) > 0 {
				t.Errorf("left in the store: %q", files)
			}
		}
	}
}

func TestLegacyUploadInACluster(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	members := &cluster.Static{Local: cluster.Member{ID: "a", Addr: "http://a", Voter: true}, Peers: []cluster.Member{
		{ID: "b", Addr: "http://b", Voter: true}, {ID: "c", Addr: "http://c", Voter: true},
	}}
	s, store := inProcess(t, key, members, func(h http.Handler) http.Handler { return h })
	post(t, s, "system/upgrade", mock(t, "1.1.0", 2, key, nil), -1).refused(t, http.StatusNotImplemented, "LegacyInCluster")
	if diff := cmp.Diff([]string(nil), filesIn(t, store)); diff != "" {
		t.Errorf("left in the store: %s", diff)
	}
	res, err := s.Client().Get(s.URL + "/api/v3/system/upgrade/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("the record has something: %s", res.Status)
	}
}
