// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package netconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const realConfig = `version: 2
ethernets:
  eth0:
    addresses: [192.0.2.10/24, "2001:db8::10/64"]
    mtu: 1400
    macaddress: "52:54:00:00:00:99"
    nameservers: {addresses: [192.0.2.53], search: [example.org]}
    routes:
      - {to: default, via: 192.0.2.1}
      - {to: 198.51.100.0/24, via: 192.0.2.254, metric: 100, on-link: true}
  eth1: {}
  eth2: {dhcp4: true, dhcp6: true, accept-ra: false, link-local: [], optional: true, dhcp4-overrides: {use-dns: false, route-metric: 5}}
bridges:
  br0: {interfaces: [eth1], addresses: [10.0.0.1/24], parameters: {stp: false, forward-delay: 4, priority: 100}}
`

// TestNetworkd: systemd-networkd does what our files say, and knows every key
// in them.
func TestNetworkd(t *testing.T) {
	if _, err := os.Stat("/usr/lib/systemd/systemd-networkd"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs systemd-networkd, and root for namespaces")
	}
	dir := t.TempDir()
	c, problems := Decode("n", []byte(realConfig))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Files() {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f.Path)), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "sh", "testdata/networkd.sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	got := string(raw)
	for _, want := range []string{
		"inet 192.0.2.10/24", "inet 10.0.0.1/24", "default via 192.0.2.1 dev eth0",
		"198.51.100.0/24 via 192.0.2.254 dev eth0", "metric 100", " mtu 1400 ", "52:54:00:00:00:99", "master br0",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(got, "complaint: ") {
		t.Error("networkd complains")
	}
	if t.Failed() {
		t.Log(got)
	}
}
