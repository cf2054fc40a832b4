// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCompletion: what the program prints is written, what it does not print is left
// out, and no file is newer than the epoch.
func TestCompletion(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	k0s := put(t, dir, "k0s", "#!/bin/sh\ncase \"$*\" in *--help) echo; echo 'Flags:'; echo '  -c, --config string  file'; echo \"      --of-$1  x\"; exit;; *fish) echo no fish >&2; exit 1;; *kubectl*zsh) exit 0;; esac\necho \"completion: $*\" $KUBECONFIG\n")
	if err := os.Chmod(k0s, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := completion([]string{"--epoch", strconv.FormatInt(epoch.Unix(), 10), "--program", k0s, "--out", out}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"usr/share/bash-completion/completions/k0s":     "completion: completion bash /dev/null\n",
		"usr/share/bash-completion/completions/kubectl": "completion: kubectl completion bash /dev/null\n",
		"usr/share/zsh/vendor-completions/_k0s":         "completion: completion zsh /dev/null\n",
		"usr/lib/kairos/kubernetes-arguments": "# The arguments that the program of this image takes, by command.\n" +
			"controller --config,-c value\ncontroller --of-controller switch\nworker --config,-c value\nworker --of-worker switch\n",
	}
	err := filepath.WalkDir(out, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(out, path)
		data, err := os.ReadFile(path)
		if text, ok := want[name]; !ok || string(data) != text {
			t.Errorf("%s: got %q, want %q", name, data, text)
		}
		if info, _ := e.Info(); !info.ModTime().Equal(epoch) {
			t.Errorf("%s has the time %s", name, info.ModTime())
		}
		delete(want, name)
		return err
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; missing: %v", err, want)
	}
}

// TestCompletionWithoutArguments: an image whose configs could not be checked is not made.
func TestCompletionWithoutArguments(t *testing.T) {
	for script, want := range map[string]string{
		"#!/bin/sh\necho hello\n":                            `k3s: the help of the command "agent" lists no arguments`,
		"#!/bin/sh\ncase \"$*\" in *--help) exit 3;; esac\n": "k3s agent --help, for the list of its arguments: exit status 3",
	} {
		k3s := put(t, t.TempDir(), "k3s", script)
		if err := os.Chmod(k3s, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := completion([]string{"--program", k3s, "--out", t.TempDir()}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPrinters: crictl is in k3s only.
func TestPrinters(t *testing.T) {
	for program, want := range map[string][]string{"k3s": {"k3s", "kubectl", "crictl"}, "k0s": {"k0s", "kubectl"}} {
		var got []string
		for _, p := range printers[program] {
			got = append(got, p.of)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", program, got, want)
		}
	}
}

const sysusers = "# users\nu etcd 560 \"etcd\" /var/lib/k0s\nu kube-apiserver 561 \"API\" /var/lib/k0s\n"

func TestUsersWithOtherNumbers(t *testing.T) {
	for _, tt := range []struct{ name, passwd, want string }{
		{"right", "root:x:0:0::/root:/bin/sh\netcd:x:560:560::/var/lib/k0s:/usr/sbin/nologin\nkube-apiserver:x:561:561::/:/x\n", ""},
		{"another number", "etcd:x:999:999::/:/x\nkube-apiserver:x:561:561::/:/x\n", `user etcd has the number "999", and needs 560: files on a node belong to numbers; take the user or package away that has 560`},
		{"missing", "etcd:x:560:560::/:/x\n", `user kube-apiserver has the number "", and needs 561: files on a node belong to numbers; take the user or package away that has 561`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := checkUsers([]byte(sysusers), []byte(tt.passwd)); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUsersAreMade runs systemd-sysusers where it is: this machine's own users stay as
// they are.
func TestUsersAreMade(t *testing.T) {
	if _, err := exec.LookPath("systemd-sysusers"); err != nil {
		t.Skip("no systemd-sysusers here")
	}
	root := t.TempDir()
	put(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	put(t, root, "usr/lib/sysusers.d/a.conf", sysusers)
	if err := addUsers(root, "/usr/lib/sysusers.d/a.conf"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data); !strings.HasPrefix(text, "root:x:0:0:") || !strings.Contains(text, "\netcd:x:560:560:etcd:/var/lib/k0s:") {
		t.Errorf("passwd is\n%s", text)
	}
	put(t, root, "etc/passwd", "other:x:560:560::/:/bin/sh\n")
	if err := addUsers(root, "/usr/lib/sysusers.d/a.conf"); err == nil || !strings.Contains(err.Error(), "needs 560") {
		t.Errorf("a number that is taken: got %v", err)
	}
}
