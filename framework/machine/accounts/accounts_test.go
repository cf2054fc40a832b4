// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

var image = map[string]string{
	"etc/passwd":  "root:x:0:0:root:/root:/bin/bash\n# a comment\nbin:x:2:2::/bin:/usr/sbin/nologin\n+::::::\n",
	"etc/shadow":  "root:*:19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\n",
	"etc/group":   "root:x:0:\nsudo:x:27:\nbroken\n",
	"etc/gshadow": "root:*::\nsudo:*::\n",
}

func newRoot(t *testing.T, files map[string]string) tree.Root {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree.Root{Dir: dir, KeepOwner: true}
}

func read(t *testing.T, root tree.Root) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name := range image {
		data, err := root.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(data)
	}
	return out
}

func TestAddUser(t *testing.T) {
	root := newRoot(t, image)
	for i, want := range []bool{true, false} {
		db, err := Read(root)
		if err != nil {
			t.Fatal(err)
		}
		db.SetAccount(Account{Name: "ada", UID: 1000, GID: 1000, Gecos: "Ada", Home: "/home/ada", Shell: "/bin/sh"})
		db.AddGroup("ada", 1000)
		db.AddMember("sudo", "ada")
		db.SetPassword("ada", "$6$x$y")
		if changed, err := db.Write(root); err != nil || changed != want {
			t.Errorf("run %d: changed %v, %v", i, changed, err)
		}
	}
	want := map[string]string{
		"etc/passwd":  "root:x:0:0:root:/root:/bin/bash\n# a comment\nbin:x:2:2::/bin:/usr/sbin/nologin\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n+::::::\n",
		"etc/shadow":  image["etc/shadow"] + "ada:$6$x$y::0:99999:7:::\n",
		"etc/group":   "root:x:0:\nsudo:x:27:ada\nbroken\nada:x:1000:\n",
		"etc/gshadow": "root:*::\nsudo:*::ada\nada:!::\n",
	}
	if diff := cmp.Diff(want, read(t, root)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
}

// TestBrokenLines: lines that do not parse name no group and stay unchanged.
func TestBrokenLines(t *testing.T) {
	db, err := Read(newRoot(t, image))
	if err != nil {
		t.Fatal(err)
	}
	if gid, ok := db.Group("broken"); ok {
		t.Errorf("a line without fields is group %d", gid)
	}
	if db.AddMember("broken", "ada") {
		t.Error("a line without fields got a member")
	}
}

func TestWithoutShadow(t *testing.T) {
	files := maps.Clone(image)
	delete(files, "etc/shadow")
	delete(files, "etc/gshadow")
	root := newRoot(t, files)
	db, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	db.SetAccount(Account{Name: "ada", UID: 1000, GID: 1000, Home: "/", Shell: "/bin/sh"})
	db.SetPassword("ada", "hash")
	if got := db.Password("ada"); got != "hash" {
		t.Errorf("password %q", got)
	}
	if _, err := db.Write(root); err != nil {
		t.Fatal(err)
	}
	if root.Exists("/etc/shadow") {
		t.Error("a shadow file was made")
	}
}

func TestReadNeedsPasswd(t *testing.T) {
	if _, err := Read(newRoot(t, nil)); err == nil || !strings.Contains(err.Error(), "/etc/group") {
		t.Errorf("got %v", err)
	}
}

func TestLock(t *testing.T) {
	root := newRoot(t, nil)
	unlock, err := Lock(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := Lock(short, root); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
}

func TestFree(t *testing.T) {
	taken := map[int]string{0: "root", 1000: "image", 999: "svc"}
	reserved := map[int]bool{1002: true}
	kept := map[string]int{"old": 1001, "clash": 1000}
	for _, c := range []struct {
		name   string
		wish   int
		system bool
		want   int
	}{
		{"old", 5, false, 1001}, {"new", 0, false, 1003}, {"new", 1002, false, 1002}, {"new", 1001, false, 1003},
		{"clash", 0, false, 1003}, {"svc2", 0, true, 998}, {"new", 1000, false, 1003},
	} {
		got, err := Free(c.name, kept, c.wish, c.system, taken, reserved)
		if err != nil || got != c.want {
			t.Errorf("%s wish %d system %v: %d, %v; want %d", c.name, c.wish, c.system, got, err, c.want)
		}
	}
}

func TestFreeNone(t *testing.T) {
	taken := map[int]string{}
	for id := firstSystem; id <= lastSystem; id++ {
		taken[id] = "x"
	}
	if _, err := Free("a", nil, 0, true, taken, nil); err == nil {
		t.Error("no error")
	}
}

func TestIDs(t *testing.T) {
	root := newRoot(t, nil)
	ids, err := ReadIDs(root)
	if err != nil {
		t.Fatal(err)
	}
	ids.Users["ada"] = 1000
	if err := ids.Write(root); err != nil {
		t.Fatal(err)
	}
	again, err := ReadIDs(root)
	if err != nil || again.Users["ada"] != 1000 {
		t.Errorf("read %+v, %v", again, err)
	}
	for _, damage := range []string{"", "{", "null", "[]"} {
		if _, err := root.Replace(IDsFile, tree.File{Data: []byte(damage), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if ids, err := ReadIDs(root); err == nil || ids.Users == nil {
			t.Errorf("%q: %v, %v", damage, ids, err)
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, text := range image {
		f.Add(text, "ada")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.ContainsAny(name, ":\n") || name == "" {
			return
		}
		tab := table{fields: 4}
		tab.parse(text)
		if got := tab.text(); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(text, "\n") {
			t.Fatalf("round trip: %q -> %q", text, got)
		}
		tab.set(name, "x", "1", "")
		if f := tab.find(name); f == nil || f[2] != "1" {
			t.Fatalf("%q is not there: %v", name, tab.lines)
		}
	})
}
