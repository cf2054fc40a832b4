// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

const (
	forgeKey1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl one"
	forgeKey2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl two"
)

// forge is a server that stands in for the forges. A name without keys is 404.
type forge map[string]string

func (f forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	keys, ok := f[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(keys)) // a client that is gone needs no answer
}

// fetching is call, with a client that does not pause between attempts.
func fetching(t *testing.T, dir string, do doing) result {
	t.Helper()
	return callOn(t, &Node{Fetcher: stages.Web{Pause: time.Microsecond}}, dir, do)
}

func authorized(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "home/ada/.ssh/authorized_keys"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "ssh-") {
			keys = append(keys, strings.Fields(line)[2])
		}
	}
	return strings.Join(keys, " ")
}

// reboot clears what is in memory.
func reboot(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"etc/passwd", "etc/group", "etc/shadow"} {
		put(t, dir, f, map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n"}[f])
	}
}

// TestKeysOfAForge is the life of a node whose user has keys at a forge.
func TestKeysOfAForge(t *testing.T) {
	keys := forge{"/ada.keys": forgeKey1 + "\n"}
	server := httptest.NewServer(keys)
	defer server.Close()
	for _, where := range []struct{ name, config string }{
		{"at the top", "users: [{name: ada, ssh_authorized_keys: ['github:ada']}]\n"},
		{"imported", "users: [{name: ada, ssh_import_id: ['gh:ada']}]\n"},
		{"in a step", "stages: {initramfs: [{users: {ada: {ssh_authorized_keys: ['github:ada']}}}]}\n"},
		{"of a step", "users: [{name: ada}]\nstages: {boot: [{authorized_keys: {ada: ['github:ada']}}]}\n"},
		{"by URL", "users: [{name: ada, ssh_authorized_keys: ['" + server.URL + "/ada.keys']}]\n"},
	} {
		t.Run(where.name, func(t *testing.T) {
			keys["/ada.keys"] = forgeKey1 + "\n"
			dir := newNode(t)
			put(t, dir, "oem/90.yaml", "ssh_forges: {github: '"+server.URL+"'}\n"+where.config)
			boot := func() {
				t.Helper()
				if got := fetching(t, dir, (*Node).Boot); got.code != 0 {
					t.Fatalf("boot: %+v", got)
				}
				fetching(t, dir, stage("boot"))
			}
			network := func(code int, says string) {
				t.Helper()
				if got := fetching(t, dir, stage("network")); got.code != code || !strings.Contains(got.stdout+got.stderr, says) {
					t.Errorf("network: %+v, want status %d and %q", got, code, says)
				}
			}
			expect := func(when, want string) {
				t.Helper()
				if got := authorized(t, dir); got != want {
					t.Errorf("%s: keys %q, want %q", when, got, want)
				}
			}
			boot()
			expect("before the network", "")
			if _, err := os.Stat(filepath.Join(dir, stageDir, "network")); err != nil {
				t.Error("the stage network has no mark")
			}
			network(0, "ssh-keys")
			expect("with a network", "one")
			reboot(t, dir)
			boot()
			expect("after a reboot without a network", "one")
			keys["/ada.keys"] = forgeKey2 + "\n"
			network(0, "")
			expect("after the keys were exchanged", "two")
			delete(keys, "/ada.keys")
			network(1, "404 Not Found; its 1 keys of ")
			expect("after the forge forgot the name", "two")
			reboot(t, dir)
			boot()
			expect("after another reboot", "two")
		})
	}
}

// TestKeysWithoutANetwork: a missing network is no failure while keys are known.
func TestKeysWithoutANetwork(t *testing.T) {
	server := httptest.NewServer(forge{"/ada.keys": forgeKey1})
	dir := newNode(t)
	put(t, dir, "oem/90.yaml", "ssh_forges: {gitlab: '"+server.URL+"'}\nusers: [{name: ada, ssh_authorized_keys: ['gitlab:ada']}]\n")
	fetching(t, dir, (*Node).Boot)
	fetching(t, dir, stage("network"))
	server.Close()
	if got := fetching(t, dir, stage("network")); got.code != 0 || !strings.Contains(got.stdout, "; its 1 keys of ") {
		t.Errorf("%+v", got)
	}
	put(t, dir, "oem/90.yaml", "ssh_forges: {gitlab: '"+server.URL+"'}\nusers: [{name: ada, ssh_authorized_keys: ['gitlab:bob']}]\n")
	fetching(t, dir, (*Node).Boot)
	if got := fetching(t, dir, stage("network")); got.code != 1 || !strings.Contains(got.stderr, "step gitlab:bob: asking "+server.URL) {
		t.Errorf("%+v", got)
	}
	if got := authorized(t, dir); got != "one" {
		t.Errorf("while no key is known, the earlier ones went: %q", got)
	}
}
