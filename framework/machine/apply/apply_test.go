// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

var image = map[string]string{
	"etc/passwd":        "root:x:0:0:root:/root:/bin/bash\n",
	"etc/shadow":        "root:*:19000:0:99999:7:::\n",
	"etc/group":         "root:x:0:\nsudo:x:27:\n",
	"etc/gshadow":       "root:*::\nsudo:*::\n",
	"etc/skel/.profile": "# profile\n",
	"etc/machine-id":    "0123456789abcdef0123456789abcdef\n",
	"etc/hosts":         "127.0.0.1 localhost\n",
	"bin/bash":          "",
	"usr/bin/sudo":      "",
	"usr/sbin/sshd":     "",
	"root/.keep":        "",
	"home/.keep":        "",
	"etc/ssh/.keep":     "",
}

const key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl one"
const key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl two"

func newMachine(t *testing.T) *Machine {
	t.Helper()
	dir := t.TempDir()
	for name, data := range image {
		put(t, filepath.Join(dir, name), data)
	}
	return &Machine{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler), Random: rand.Reader}
}

func put(t *testing.T, path, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// apply applies a config that must be valid.
func apply(t *testing.T, m *Machine, text string) []report.Item {
	t.Helper()
	c, problems := config.Decode("c.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return m.Apply(t.Context(), c)
}

func lines(items []report.Item) []string {
	var out []string
	for _, i := range items {
		out = append(out, i.String())
	}
	return out
}

func text(t *testing.T, m *Machine, path string) string {
	t.Helper()
	data, err := m.Root.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const full = `
hostname: node.example.org
ssh_pwauth: true
ssh_authorized_keys: ["` + key2 + `"]
users:
- name: ada
  passwd: geheim
  groups: [admin, sudo]
  sudo: ALL=(ALL) NOPASSWD:ALL
  ssh_authorized_keys: ["` + key1 + `"]
- name: svc
  system: true
  no_create_home: true
write_files:
- path: /etc/motd
  content: hello
- path: /etc/hosts
  content: "10.0.0.1 other\n"
  append: true
- path: /home/ada/notes/a.txt
  content: x
  owner: ada
  permissions: "0600"
`

func TestApplyTwice(t *testing.T) {
	m := newMachine(t)
	var names []string
	m.SetHostname = func(name string) error { names = append(names, name); return nil }
	want := []string{
		"c.yaml:2:1: hostname node.example.org: changed",
		"c.yaml:6:3: group admin: created: gid 999; the image has no such group",
		"c.yaml:6:3: user ada: created: uid 1000",
		"c.yaml:11:3: user svc: created: uid 999",
		"c.yaml:6:3: home /home/ada: created",
		"c.yaml:6:3: keys ada: changed",
		"c.yaml:6:3: sudo ada: changed",
		"c.yaml:15:3: file /etc/motd: changed",
		"c.yaml:17:3: file /etc/hosts: changed",
		"c.yaml:20:3: file /home/ada/notes/a.txt: changed",
		"c.yaml:3:1: sshd password logins: changed",
		"hostkey ed25519: created",
		"hostkey ecdsa: created",
	}
	if diff := cmp.Diff(want, lines(apply(t, m, full))); diff != "" {
		t.Errorf("first run differs (-want +got):\n%s", diff)
	}
	before := snapshot(t, m.Root.Dir)
	for _, i := range apply(t, m, full) {
		if i.Outcome != report.Unchanged {
			t.Errorf("second run: %s", i)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, m.Root.Dir)); diff != "" {
		t.Errorf("second run changed files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"node.example.org", "node.example.org"}, names); diff != "" {
		t.Error(diff)
	}
}

// snapshot returns mode, modification time and content of every file.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = info.Mode().String() + " " + info.ModTime().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsWritten(t *testing.T) {
	m := newMachine(t)
	apply(t, m, full)
	for path, want := range map[string]string{
		"/etc/passwd":                    image["etc/passwd"] + "ada:x:1000:1000::/home/ada:/bin/bash\nsvc:x:999:998::/home/svc:/bin/bash\n",
		"/etc/group":                     "root:x:0:\nsudo:x:27:ada\nada:x:1000:\nadmin:x:999:ada\nsvc:x:998:\n",
		"/etc/hostname":                  "node.example.org\n",
		"/etc/hosts":                     "127.0.0.1 localhost\n127.0.1.1 node.example.org node\n10.0.0.1 other\n",
		"/etc/sudoers.d/90-kairos-ada":   "# From the cloud-config; written anew at every boot.\nada ALL=(ALL) NOPASSWD:ALL\n",
		"/home/ada/.ssh/authorized_keys": keysBegin + "\n" + key1 + "\n" + key2 + "\n" + keysEnd + "\n",
		"/home/ada/.profile":             "# profile\n",
		"/var/lib/kairos/users.json":     "{\n  \"version\": 1,\n  \"users\": {\n    \"ada\": 1000,\n    \"svc\": 999\n  },\n  \"groups\": {\n    \"ada\": 1000,\n    \"admin\": 999,\n    \"svc\": 998\n  }\n}\n",
		PasswordConfig:                   "# From ssh_pwauth of the cloud-config.\nMatch User ada\n\tPasswordAuthentication yes\nMatch User svc\n\tPasswordAuthentication yes\n",
	} {
		if diff := cmp.Diff(want, text(t, m, path)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", path, diff)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"/home/ada": fs.ModeDir | 0o700, "/home/ada/.ssh": fs.ModeDir | 0o700, "/home/ada/.ssh/authorized_keys": 0o600,
		"/etc/sudoers.d/90-kairos-ada": 0o440, "/home/ada/notes/a.txt": 0o600, "/etc/ssh/ssh_host_ed25519_key": 0o600,
	} {
		if info, err := m.Root.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
	db, err := accounts.Read(m.Root)
	if err != nil {
		t.Fatal(err)
	}
	if !crypt.Matches(db.Password("ada"), "geheim") {
		t.Errorf("password field %q", db.Password("ada"))
	}
	if got := db.Password("svc"); got != accounts.Locked {
		t.Errorf("password field of a user without a password: %q", got)
	}
}

// TestNextBoot: /etc comes from the image again; the persistent paths keep their content.
func TestNextBoot(t *testing.T) {
	m := newMachine(t)
	apply(t, m, "users: [{name: zoe}, {name: ada, groups: [extra]}]")
	reset := func() {
		for name, data := range image {
			put(t, filepath.Join(m.Root.Dir, name), data)
		}
	}
	reset()
	apply(t, m, "users: [{name: new}, {name: ada, groups: [other, extra]}, {name: zoe}]")
	got := text(t, m, "/etc/passwd")
	for _, want := range []string{"zoe:x:1000:", "ada:x:1001:", "new:x:1002:"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if g := text(t, m, "/etc/group"); !strings.Contains(g, "extra:x:999:") || !strings.Contains(g, "other:x:998:") {
		t.Errorf("groups:\n%s", g)
	}
	t.Run("record damaged", func(t *testing.T) {
		reset()
		put(t, filepath.Join(m.Root.Dir, accounts.IDsFile), "")
		items := apply(t, m, "users: [{name: ada}]")
		if items[0].Outcome != report.Failed || !strings.Contains(items[0].Message, "damaged") {
			t.Errorf("got %v", lines(items))
		}
	})
}

func TestKeysThatGoAndStay(t *testing.T) {
	m := newMachine(t)
	apply(t, m, "users: [{name: ada, ssh_authorized_keys: ['"+key1+"']}]")
	path := filepath.Join(m.Root.Dir, "home/ada/.ssh/authorized_keys")
	put(t, path, text(t, m, "/home/ada/.ssh/authorized_keys")+"ssh-rsa mine\n")
	apply(t, m, "users: [{name: ada, ssh_authorized_keys: ['"+key2+"']}]")
	if got, want := text(t, m, "/home/ada/.ssh/authorized_keys"), keysBegin+"\n"+key2+"\n"+keysEnd+"\nssh-rsa mine\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	apply(t, m, "users: [{name: ada}]")
	if got, want := text(t, m, "/home/ada/.ssh/authorized_keys"), "ssh-rsa mine\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestKeysStayInside: root does not follow a user's symbolic links.
func TestKeysStayInside(t *testing.T) {
	for name, link := range map[string]string{".ssh": "../../etc", ".ssh/authorized_keys": "../../../etc/passwd"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			apply(t, m, "users: [{name: ada}]")
			at := filepath.Join(m.Root.Dir, "home/ada", name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.Symlink(link, at)); err != nil {
				t.Fatal(err)
			}
			items := apply(t, m, "users: [{name: ada, ssh_authorized_keys: ['"+key1+"']}]")
			if got := text(t, m, "/etc/passwd"); strings.Contains(got, "ssh-ed25519") {
				t.Errorf("written to passwd: %s", got)
			}
			if m.Root.Exists("/etc/authorized_keys") {
				t.Error("written to /etc")
			}
			_ = items
		})
	}
}

func TestTopLevelKeysWithoutUsersAreRoots(t *testing.T) {
	m := newMachine(t)
	apply(t, m, "ssh_authorized_keys: ['"+key1+"']")
	if got := text(t, m, "/root/.ssh/authorized_keys"); !strings.Contains(got, key1) {
		t.Errorf("got %q", got)
	}
	if got := text(t, m, "/etc/passwd"); got != image["etc/passwd"] {
		t.Errorf("passwd changed: %s", got)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct{ name, config, without, want string }{
		{"no sudo", "users: [{name: ada, sudo: 'ALL=(ALL) ALL'}]", "usr/bin/sudo", "sudo ada: failed: sudo is not installed in this image"},
		{"no shell", "users: [{name: ada, shell: /bin/zsh}]", "", "user ada: failed: the shell /bin/zsh is not in this image"},
		{"uid taken", "users: [{name: ada, uid: 0}]", "", "user ada: failed: uid 0 belongs to root already"},
		{"uid of an account", "users: [{name: root, uid: 5}]", "", "user root: failed: uid 5 is asked for, but the account exists with uid 0"},
		{"owner", "write_files: [{path: /etc/a, owner: nobody}]", "", `file /etc/a: failed: there is no user "nobody"`},
		{"group", "write_files: [{path: /etc/a, owner: 'root:nobody'}]", "", `file /etc/a: failed: there is no group "nobody"`},
		{"directory", "write_files: [{path: /etc/skel}]", "", "file /etc/skel: failed: replace /etc/skel: is a directory"},
		{"no passwd", "users: [{name: ada}]", "etc/passwd", "accounts /etc/passwd: failed: reading the accounts: "},
		{"no home", "users: [{name: ada, no_create_home: true, ssh_authorized_keys: ['" + key1 + "']}]", "", "keys ada: failed: the home directory /home/ada does not exist"},
		{"home is a file", "users: [{name: ada, homedir: /etc/passwd}]", "", "home /etc/passwd: failed: is not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			if c.without != "" {
				if err := os.Remove(filepath.Join(m.Root.Dir, c.without)); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.Join(lines(apply(t, m, c.config)), "\n")
			if !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant %q", got, c.want)
			}
			if strings.Contains(got, m.Root.Dir) {
				t.Errorf("shows the test's directory:\n%s", got)
			}
		})
	}
}

func TestOneFailureStopsNothing(t *testing.T) {
	m := newMachine(t)
	items := apply(t, m, "users: [{name: ada, shell: /nope}, {name: bob}]\nwrite_files: [{path: /etc/skel}, {path: /etc/a}]")
	if !m.Root.Exists("/home/bob") || !m.Root.Exists("/etc/a") {
		t.Errorf("got %v", lines(items))
	}
}

func TestSudoersAreChecked(t *testing.T) {
	m := newMachine(t)
	m.CheckSudoers = func(_ context.Context, data []byte) error {
		return errors.New("bad: " + strings.Split(string(data), "\n")[1])
	}
	got := strings.Join(lines(apply(t, m, "users: [{name: a.b, sudo: 'ALL=(ALL) ALL'}]")), "\n")
	if !strings.Contains(got, "sudo a.b: failed: bad: a.b ALL=(ALL) ALL") || m.Root.Exists(sudoersFile("a.b")) {
		t.Errorf("got %s", got)
	}
	if got := sudoersFile("a.b"); got != "/etc/sudoers.d/90-kairos-a+b" {
		t.Errorf("sudo would skip %s", got)
	}
}

func TestUnitsAreReloaded(t *testing.T) {
	m := newMachine(t)
	calls := 0
	m.ReloadUnits = func(context.Context) error { calls++; return nil }
	c := "write_files: [{path: /etc/systemd/system/a.service, content: x}]"
	apply(t, m, c)
	apply(t, m, c)
	apply(t, m, "write_files: [{path: /etc/a, content: x}]")
	if calls != 1 {
		t.Errorf("%d reloads, want 1", calls)
	}
}

func TestDefaultHostname(t *testing.T) {
	for _, c := range []struct{ have, want string }{{"", "kairos-0123\n"}, {"localhost\n", "kairos-0123\n"}, {"mine\n", "mine\n"}} {
		m := newMachine(t)
		put(t, filepath.Join(m.Root.Dir, "etc/hostname"), c.have)
		apply(t, m, "")
		if got := text(t, m, "/etc/hostname"); got != c.want {
			t.Errorf("with %q: %q, want %q", c.have, got, c.want)
		}
	}
}

func TestHostKeys(t *testing.T) {
	const path = "/etc/ssh/ssh_host_ed25519_key"
	m := newMachine(t)
	apply(t, m, "")
	good := text(t, m, path)
	if _, err := ssh.ParsePrivateKey([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, data, want string }{
		{"kept", path, good, "hostkey ed25519: unchanged"},
		{"empty", path, "", "hostkey ed25519: changed: the key was damaged"},
		{"half", path, good[:len(good)/2], "hostkey ed25519: changed: the key was damaged"},
		{"zeros", path, string(make([]byte, len(good))), "hostkey ed25519: changed: the key was damaged"},
		{"public half empty", path + ".pub", "", "hostkey ed25519: changed: mode or public key set right"},
		{"public half of another", path + ".pub", key1 + "\n", "hostkey ed25519: changed: mode or public key set right"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := m.Root.Replace(c.file, tree.File{Data: []byte(c.data), Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(lines(apply(t, m, "")), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant %q", got, c.want)
			}
			signer, err := ssh.ParsePrivateKey([]byte(text(t, m, path)))
			if err != nil || !samePublicKey([]byte(text(t, m, path+".pub")), signer.PublicKey()) {
				t.Errorf("the pair does not fit: %v", err)
			}
		})
	}
}

func TestNoSSHNoKeys(t *testing.T) {
	m := newMachine(t)
	if err := os.Remove(filepath.Join(m.Root.Dir, sshdProgram)); err != nil {
		t.Fatal(err)
	}
	apply(t, m, "")
	if m.Root.Exists("/etc/ssh/ssh_host_ed25519_key") {
		t.Error("keys were made")
	}
}

func TestExplain(t *testing.T) {
	err := &fs.PathError{Op: "open", Path: "/usr/x", Err: syscall.EROFS}
	if got := explain(err); !strings.Contains(got, "part of the image") {
		t.Errorf("got %q", got)
	}
}

func TestPasswordLocking(t *testing.T) {
	const hash = "$5$saltsalt$KtPM6m2x5YQHK4/2GVXvZ5HODhcE7EXvQCbUhVTBzg6"
	for _, c := range []struct{ before, config, want string }{
		{"*", "passwd: '" + hash + "'", hash},
		{"*", "passwd: '" + hash + "', lock_passwd: true", "!" + hash},
		{"!" + hash, "lock_passwd: false", hash},
		{"!" + hash, "gecos: x", "!" + hash},
		{"!", "lock_passwd: false", "*"},
		{"*", "lock_passwd: true", "!*"},
		{hash, "passwd: '!'", "!"},
	} {
		m := newMachine(t)
		put(t, filepath.Join(m.Root.Dir, "etc/shadow"), "root:"+c.before+":19000:0:99999:7:::\n")
		for range 2 {
			apply(t, m, "users: [{name: root, "+c.config+"}]")
		}
		got := strings.Split(text(t, m, "/etc/shadow"), ":")[1]
		if got != c.want {
			t.Errorf("%s with %s: %q, want %q", c.before, c.config, got, c.want)
		}
	}
}
