package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 254:1 / /opt rw,relatime shared:5 master:2 - ext4 /dev/vdb rw
41 27 254:1 /x /opt/my\040server ro,noexec - ext4 /dev/vdb ro,errors=remount-ro
42 27 0:30 / /opt rw - tmpfs none rw
broken line
43 27 0:31 / /optional rw - xfs
`

func TestParseMounts(t *testing.T) {
	all := parseMounts([]byte(mountinfo))
	if len(all) != 5 {
		t.Fatalf("%d mounts: %+v", len(all), all)
	}
	want := mountLine{id: 41, point: "/opt/my server", typ: "ext4",
		options: []string{"ro", "noexec"}, super: []string{"ro", "errors=remount-ro"}}
	if diff := cmp.Diff(want, all[3], cmp.AllowUnexported(mountLine{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, test := range []struct {
		id   uint64
		path string
		want uint64
	}{
		{0, "/usr/bin/x", 27},
		{0, "/optional/x", 27}, // the line of /optional is not complete
		{0, "/opt/provd", 42},  // the last one hides the others
		{0, "/opt/my server/provd", 41},
		{0, "/opt/my serverless", 42},
		{40, "/opt/provd", 40}, // who knows better
	} {
		if got, ok := mountAt(all, test.id, test.path); !ok || got.id != test.want {
			t.Errorf("%d %s: %+v, want %d", test.id, test.path, got, test.want)
		}
	}
	if got, ok := mountAt(all, 99, "/"); ok {
		t.Errorf("an unknown id is %+v", got)
	}
}

func TestUnoctal(t *testing.T) {
	for in, want := range map[string]string{`a\040b`: "a b", `\134`: `\`, `\1`: `\1`, `a\999`: `a\999`, "": ""} {
		if got := unoctal(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestHostName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("root:x:0:0::/:\nbad\nprovd:x:997:997::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int]string{0: "root", 997: "provd", 99: "99"} {
		if got := hostName(file, id); got != want {
			t.Errorf("%d: %s, want %s", id, got, want)
		}
	}
	if got := hostName(file+"x", 7); got != "7" {
		t.Error(got)
	}
}

func writeHostFile(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSystemdUnit(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/provd.service\n":                                     "provd.service",
		"9:name=systemd:/system.slice/a.service/sub\n8:pids:/b.service\n":      "a.service",
		"8:pids:/b.service\n0::/\n":                                            "",
		"0::/user.slice/user-1000.slice/user@1000.service/app/p.service\n":     "",
		"0::/user.slice/user-1000.slice/session-1.scope\n":                     "",
		"0::/system.slice/system-provd.slice/provd@m2.service/container.scope": "provd@m2.service",
	} {
		root := t.TempDir()
		writeHostFile(t, root, "proc/self/cgroup", text)
		if got := systemdUnit(root); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := systemdUnit(t.TempDir()); got != "" {
		t.Error(got)
	}
}

func TestContainer(t *testing.T) {
	root := hostMount{Point: "/", Type: "ext4"}
	volume := hostMount{Point: "/opt/provd", Type: "xfs"}
	for name, test := range map[string]struct {
		files map[string]string
		kube  string
		mount hostMount
		want  Result
		says  []string
	}{
		"a machine":                         {nil, "", root, Pass, []string{"no mark"}},
		"a machine with a stray mark":       {map[string]string{".dockerenv": ""}, "", root, Pass, []string{"/.dockerenv alone"}},
		"the manager itself":                {map[string]string{"proc/self/cgroup": "0::/system.slice/docker.service\n1:x:/docker-registry.service\n"}, "", root, Pass, []string{"no mark"}},
		"overlay alone":                     {nil, "", hostMount{Point: "/x", Type: "overlay"}, Fail, []string{"overlay file system under /opt/provd/provd"}},
		"aufs and its mark":                 {map[string]string{".dockerenv": ""}, "", hostMount{Point: "/", Type: "aufs"}, Fail, []string{"aufs", "/.dockerenv"}},
		"podman on an ordinary file system": {map[string]string{"run/.containerenv": ""}, "", root, Fail, []string{"/run/.containerenv"}},
		"docker by control group":           {map[string]string{"proc/self/cgroup": "4:pids:/docker/0123\n"}, "", root, Fail, []string{"/proc/self/cgroup (docker)"}},
		"pod by control group":              {map[string]string{"proc/1/cgroup": "0::/kubepods.slice/x/cri-containerd-9.scope\n"}, "", root, Fail, []string{"/proc/1/cgroup (kubepods.slice)"}},
		"pod by two weak marks":             {map[string]string{".dockerenv": ""}, "10.0.0.1", root, Fail, []string{"/.dockerenv", "KUBERNETES_SERVICE_HOST"}},
		"one weak mark":                     {nil, "10.0.0.1", root, Pass, []string{"KUBERNETES_SERVICE_HOST alone"}},
		"a volume in a pod":                 {map[string]string{".dockerenv": ""}, "10.0.0.1", volume, Pass, []string{"mounted at /opt/provd"}},
		"podman tells systemd":              {map[string]string{"run/systemd/container": "podman\n"}, "", root, Fail, []string{"podman"}},
		"a machine of LXC":                  {map[string]string{"run/systemd/container": "lxc\n"}, "", root, Pass, []string{"no mark"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", test.kube)
			p := prereqs{root: t.TempDir()}
			for name, text := range test.files {
				writeHostFile(t, p.root, name, text)
			}
			strong, weak := p.marks()
			f := judgeContainer(test.mount, "/opt/provd/provd", strong, weak)
			if f.result != test.want || (f.result == Fail) != (f.fix.Text != "") {
				t.Errorf("%+v", f)
			}
			for _, s := range test.says {
				if !strings.Contains(f.seen, s) {
					t.Errorf("%q lacks %q", f.seen, s)
				}
			}
		})
	}
}

func TestPackageOwners(t *testing.T) {
	root := t.TempDir()
	writeHostFile(t, root, "var/lib/dpkg/info/provd:amd64.list", "/.\n/bin/provd\n/opt/provd/provd2\n")
	for path, want := range map[string]string{
		"/usr/bin/provd": "provd:amd64", "/bin/provd": "provd:amd64", "/opt/provd/provd": "", "/opt/provd/provd2": "provd:amd64",
	} {
		if got := dpkgOwner(t.Context(), root, path); got != want {
			t.Errorf("dpkg: %s: %q, want %q", path, got, want)
		}
	}

	tools := t.TempDir()
	writeHostFile(t, tools, "rpm", "#!/bin/sh\n[ \"$4\" = /usr/bin/provd ] && printf provd\n")
	t.Setenv("PATH", tools)
	if got := rpmOwner(t.Context(), root, "/usr/bin/provd"); got != "" {
		t.Errorf("rpm without a database: %q", got)
	}
	writeHostFile(t, root, "var/lib/rpm/rpmdb.sqlite", "")
	for path, want := range map[string]string{"/usr/bin/provd": "provd", "/opt/provd": ""} {
		if got := rpmOwner(t.Context(), root, path); got != want {
			t.Errorf("rpm: %s: %q, want %q", path, got, want)
		}
	}
	p := prereqs{Program: Program{Path: "/usr/bin/provd"}, root: t.TempDir()}
	writeHostFile(t, p.root, "usr/lib/sysimage/rpm/Packages.db", "")
	if f := p.binaryInPackage(t.Context()); f.result != Fail || !strings.Contains(f.fix.Command, "versionlock add provd") {
		t.Errorf("%+v", f)
	}
}
