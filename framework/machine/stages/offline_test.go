// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOffline: before systemd runs, a unit can be enabled but not started.
func TestOffline(t *testing.T) {
	e, f := newEngine(t)
	e.Offline = true
	r := run(t, e, `stages: {boot: [{name: x, timesyncd: {NTP: a}, systemctl: {enable: [a], start: [b], overrides: [{service: a, content: "[Service]"}]}}]}`)
	want := []string{
		"c.yaml:1:17 x: failed",
		"  c.yaml:1:17: timesyncd " + timesyncdFile + ": changed",
		"  c.yaml:1:97: override /run/systemd/system/a.service.d/override-kairos.conf: changed",
		"  c.yaml:1:17: systemctl enable a.service: changed",
		"  c.yaml:1:17: systemctl start b.service: failed: systemd does not run yet in this stage; start the unit in the stage boot, or enable it",
	}
	if diff := cmp.Diff(want, summary(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"enable a.service"}, f.ran); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

// TestEnvironmentMode: only root can read a new file with a secret.
func TestEnvironmentMode(t *testing.T) {
	for _, c := range []struct {
		environment string
		want        fs.FileMode
	}{{"{A: b}", 0o644}, {"{A: b, K3S_TOKEN: x}", 0o600}} {
		e, _ := newEngine(t)
		run(t, e, "stages: {boot: [{environment: "+c.environment+", environment_file: /etc/default/a}]}")
		if info, err := e.Root.Stat("/etc/default/a"); err != nil || info.Mode() != c.want {
			t.Errorf("%s: mode %v, %v, want %v", c.environment, info.Mode(), err, c.want)
		}
	}
}
