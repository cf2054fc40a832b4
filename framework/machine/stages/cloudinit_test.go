// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const cloudInit = `#cloud-config
timezone: Europe/Berlin
locale: de_DE.UTF-8
keyboard: {layout: de}
ntp: {servers: [a.example.org], pools: [b.example.org]}
manage_resolv_conf: true
resolv_conf: {nameservers: [192.0.2.1], options: {rotate: true}}
mounts: [[vdb, /srv/my-data, ext4, noatime]]
disable_root: true
`

// TestCloudInitTwice: the keys of cloud-init have their effect, and a second run
// changes nothing.
func TestCloudInitTwice(t *testing.T) {
	e, f := newEngine(t)
	put(t, filepath.Join(e.Root.Dir, "usr/share/zoneinfo/Europe/Berlin"), "")
	plan := NewPlan("fs", steps(t, "fs", cloudInit))
	if r := e.Run(t.Context(), plan); !r.OK() {
		t.Fatalf("%v", summary(r))
	}
	link, err := os.Readlink(filepath.Join(e.Root.Dir, "etc/localtime"))
	if err != nil || link != "../usr/share/zoneinfo/Europe/Berlin" {
		t.Errorf("link %q, %v", link, err)
	}
	for path, want := range map[string]string{
		"/etc/timezone": "Europe/Berlin\n", "/etc/locale.conf": "LANG=de_DE.UTF-8\n", "/etc/default/locale": "LANG=de_DE.UTF-8\n",
		"/etc/resolv.conf": "nameserver 192.0.2.1\noptions rotate\n", timesyncdFile: "NTP=a.example.org b.example.org\n",
		`/run/systemd/system/srv-my\x2ddata.mount`:       "[Mount]\nWhat=/dev/vdb\nWhere=/srv/my-data\nType=ext4\nOptions=noatime,nofail\n",
		"/run/kairos/sshd_config.d/20-disable-root.conf": "PermitRootLogin no\n",
		"/etc/default/keyboard":                          "XKBLAYOUT=\"de\"\n", "/etc/vconsole.conf": "KEYMAP=de\n",
	} {
		if got := text(t, e, path); !strings.Contains(got, want) {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	if ran := strings.Join(f.ran, "\n"); !strings.Contains(ran, `start srv-my\x2ddata.mount`) {
		t.Errorf("ran\n%s", ran)
	}
	for _, s := range e.Run(t.Context(), plan).Steps {
		if s.Outcome != Unchanged {
			t.Errorf("the second time, %s is %s", s.Name, s.Outcome)
		}
	}
}

// TestTimezoneMissing: a zone that the image lacks gives a failure, not a dangling
// link.
func TestTimezoneMissing(t *testing.T) {
	e, _ := newEngine(t)
	r := e.Run(t.Context(), NewPlan("fs", steps(t, "fs", "timezone: Europe/Nowhere\n")))
	if r.OK() || !strings.Contains(strings.Join(summary(r), "\n"), "this image has no such time zone: there is no /usr/share/zoneinfo/Europe/Nowhere") {
		t.Errorf("%v", summary(r))
	}
	if _, err := os.Lstat(filepath.Join(e.Root.Dir, "etc/localtime")); err == nil {
		t.Error("there is a link")
	}
}

func TestLinkDry(t *testing.T) {
	e, _ := newEngine(t)
	put(t, filepath.Join(e.Root.Dir, "usr/share/zoneinfo/UTC"), "")
	e.Root.Dry = new(tree.DryRun)
	e.Run(t.Context(), NewPlan("fs", steps(t, "fs", "timezone: UTC\n")))
	if changes := e.Root.Dry.Changes(); len(changes) != 2 {
		t.Errorf("%+v", changes)
	}
	if _, err := os.Lstat(filepath.Join(e.Root.Dir, "etc/localtime")); err == nil {
		t.Error("a dry run made a link")
	}
}
