// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestRender shows the rendered files of a network-config of each version.
func TestRender(t *testing.T) {
	for _, name := range []string{"v1", "v2"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			c, problems := Decode(name+".yaml", data)
			if len(problems) > 0 {
				t.Fatal(problems.Error())
			}
			var b strings.Builder
			for _, f := range c.Files() {
				b.WriteString("==> " + f.Path + "\n" + string(f.Data))
			}
			golden.Check(t, "testdata/"+name+".golden", b.String())
			golden.Check(t, "testdata/"+name+"-keyfiles.golden", keyfiles(t, c))
		})
	}
}

// keyfiles shows the files for NetworkManager, and what it cannot do.
func keyfiles(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	files, err := c.Keyfiles()
	for _, f := range files {
		b.WriteString("==> " + f.Path + "\n" + string(f.Data))
	}
	if err != nil {
		b.WriteString("\n" + err.Error() + "\n")
	}
	return b.String()
}

// TestProblems: a problem has the position of the mistake and says what to do.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no version", "ethernets: {}\n", `n:1:1: network: this network-config has no version that we know; add "version: 2", or 1`},
		{"a key", "version: 2\nethernets:\n  eth0:\n    adresses: [192.0.2.1/24]\n", `n:4:5: network.ethernets.eth0.adresses: unknown key; did you mean "addresses"?`},
		{"an address", "version: 2\nethernets:\n  eth0:\n    addresses: [192.0.2.1]\n", `n:4:17: network.ethernets.eth0.addresses[0]: "192.0.2.1" is not an address with the length of its network; write it such as 192.0.2.10/24 or 2001:db8::10/64`},
		{"a MAC address", "version: 2\nethernets: {e: {match: {macaddress: \"52:54\"}}}\n", `n:2:37: network.ethernets.e.match.macaddress: "52:54" is not a MAC address; write it in quotes, such as "52:54:00:12:34:56"`},
		{"a family", "version: 2\nethernets: {e: {gateway4: \"2001:db8::1\"}}\n", `n:2:27: network.ethernets.e.gateway4: 2001:db8::1 is of the other family; gateway4 takes an IPv4 address, gateway6 an IPv6 one`},
		{"a member", "version: 2\nbonds: {bond0: {interfaces: [eth9]}}\n", `n:2:30: network.bonds.bond0.interfaces[0]: there is no interface "eth9" in this file; add it, with the others`},
		{"a parent", "version: 2\nvlans: {v: {id: 5, link: eth9}}\n", `n:2:26: network.vlans.v.link: there is no interface "eth9" in this file; add it, with the others`},
		{"a line break", "version: 2\nethernets: {\"a\\nb\": {}}\n", "n:2:13: network.ethernets[\"a\ufffdb\"]: \"a\ufffdb\" is not a name"},
		{"a line break in a value", "version: 2\nethernets: {e: {match: {driver: \"a\\n[Match]\"}}}\n", "n:2:33: network.ethernets.e.match.driver: \"a\ufffd[Match]\" holds a character that does not fit here"},
		{"too long", "version: 2\nbridges: {averylongbridgename: {}}\n", `n:2:11: network.bridges.averylongbridgename: "averylongbridgename" is not the name of an interface (at most 15 letters, digits, -, _ and .)`},
		{"MTU", "version: 2\nethernets: {e: {mtu: 9}}\n", "n:2:22: network.ethernets.e.mtu: 9 is out of range; use 68 to 65535"},
		{"a route", "version: 2\nethernets: {e: {routes: [{via: 192.0.2.1}]}}\n", `n:2:26: network.ethernets.e.routes[0]: the route has no valid "to"; add it, such as "to: default" or "to: 198.51.100.0/24"`},
		{"twice", "version: 1\nconfig:\n- {type: physical, name: a}\n- {type: bond, name: a}\n", `n:4:3: network.config[1]: the interface "a" is listed twice; put both entries into one`},
		{"a type", "version: 1\nconfig: [{type: phsical, name: a}]\n", "n:2:17: network.config[0].type: unknown value \"phsical\"; use physical, bond, bridge, vlan, nameserver, route, loopback, infiniband"},
		{"a netmask", "version: 1\nconfig: [{type: physical, name: a, subnets: [{type: static, address: 192.0.2.1, netmask: 255.0.255.0}]}]\n", `n:2:46: network.config[0].subnets[0]: "255.0.255.0" is no netmask; write it such as 255.255.255.0`},
		{"a gateway", "version: 1\nconfig: [{type: route, destination: 198.51.100.0/24, gateway: 192.0.2.1}]\n", "n:2:10: network.config[0]: no interface of this file has an address in the network of the gateway 192.0.2.1; put the route under the subnet of its interface"},
		{"wireless", "version: 2\nwifis: {w: {access-points: {home: {password: geheim}}}}\n", "n:2:1: network.wifis: known key, not implemented yet in this version: wifis"},
		{"YAML", "version: 2\nethernets: [\n", "n:2:1: not valid YAML: did not find expected node content; a bracket, a brace or a value is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Decode("n", []byte(c.text))
			found := false
			for _, p := range problems {
				found = found || p.Error() == c.want
			}
			if !found {
				t.Errorf("got\n%s\nwant\n%s", problems.Error(), c.want)
			}
			if strings.Contains(problems.Error(), "geheim") {
				t.Errorf("a secret is shown: %s", problems.Error())
			}
		})
	}
}

// TestNothing: an empty network-config is no error and renders no files.
func TestNothing(t *testing.T) {
	c, problems := Decode("n", []byte("version: 2\n"))
	if len(problems) > 0 || len(c.Files()) > 0 {
		t.Errorf("got %v, %v", c.Files(), problems)
	}
}

// TestTwice: rendering is deterministic.
func TestTwice(t *testing.T) {
	data, err := os.ReadFile("testdata/v2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one, _ := Decode("n", data)
	two, _ := Decode("n", data)
	if diff := cmp.Diff(one.Files(), two.Files()); diff != "" {
		t.Errorf("differs:\n%s", diff)
	}
}

// TestDocs: the examples in docs are correct.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(data), "```")[1:] {
			text, ok := strings.CutPrefix(block, "yaml\n")
			if !ok || !strings.HasPrefix(text, "# network-config\n") {
				continue
			}
			found++
			if _, problems := Decode(filepath.Base(page), []byte(text)); len(problems) > 0 {
				t.Errorf("%s, block %d:\n%s", page, i/2+1, problems.Error())
			}
		}
	}
	if found == 0 {
		t.Error("no network-config found")
	}
}

// FuzzDecode: no input can inject a line into a rendered file, where each line is a
// key or a section, nor place a file outside Dir.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"v1", "v2"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Decode("n", data)
		if problems.Failed() {
			return
		}
		for _, file := range c.Files() {
			if strings.Contains(strings.TrimPrefix(file.Path, Dir+"/"), "..") || strings.ContainsAny(string(file.Data), "\x00\r") {
				t.Errorf("%s:\n%s", file.Path, file.Data)
			}
		}
	})
}
