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
      - {to: 203.0.113.0/24, type: blackhole, table: 100}
      - {to: 203.0.113.9, via: 192.0.2.1, from: 192.0.2.10, mtu: 1300, scope: global, type: unicast}
  eth1: {}
  eth2:
    dhcp4: true
    dhcp6: true
    accept-ra: false
    link-local: []
    optional: true
    dhcp4-overrides: {use-dns: false, use-ntp: false, use-hostname: false, send-hostname: true, hostname: a, use-routes: true, use-mtu: true, use-domains: route, route-metric: 5}
    dhcp6-overrides: {use-dns: false, use-ntp: false, use-hostname: false, use-domains: true}
bridges:
  br0:
    interfaces: [eth1]
    addresses: [10.0.0.1/24]
    parameters: {stp: false, forward-delay: 4, priority: 100, hello-time: 2, max-age: 20, ageing-time: 300}
# The kernel may lack the drivers of these; that their keys are known is checked.
bonds:
  bond0:
    parameters: {mode: 802.3ad, lacp-rate: fast, mii-monitor-interval: 100, min-links: 1, transmit-hash-policy: layer3+4, ad-select: bandwidth, all-slaves-active: true, up-delay: 200, down-delay: 200, fail-over-mac-policy: active, gratuitous-arp: 2, packets-per-slave: 1, primary-reselect-policy: better, resend-igmp: 1, learn-packet-interval: 1}
  bond1:
    interfaces: [eth2]
    parameters: {mode: active-backup, arp-interval: 100, arp-ip-targets: [192.0.2.1, 192.0.2.2], arp-validate: all, arp-all-targets: any, primary: eth2}
vlans:
  vlan15: {id: 15, link: bond0}
`

// TestNetworkd: systemd-networkd applies our files and knows every key in them.
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
