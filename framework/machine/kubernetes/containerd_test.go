// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// containerdConfig is the rest of a role of k0s.
const containerdConfig = `  registries: {
    mirrors: {
      registry.example.org: {endpoint: ["https://mirror.example.org", "https://mirror.example.org/", "http://192.0.2.5:5000/v2/cache"], rewrite: {"^(.*)$": "copies/$1"}},
      "*": {endpoint: ["https://mirror.example.org"]}},
    configs: {
      mirror.example.org: {auth: {username: ada, password: 'ge"heim'}, tls: {ca_file: /oem/ca.crt, cert_file: /oem/node.crt, key_file: /oem/node.key}},
      registry.example.org: {auth: {auth: YWRhOmdlaGVpbQ==}},
      "private.example.org:5000": {tls: {cert_file: /oem/both.pem, insecure_skip_verify: yes}}}}}
`

// TestContainerdRefuses: what the containerd of k0s cannot do is said.
func TestContainerdRefuses(t *testing.T) {
	old, image := imageOf(t, k0sVersion, k0sList), imageOf(t, "v1.36.3+k0s.0", k0sList)
	const rewrite = "k0s cannot rewrite names of images like this: its containerd can only put all images into one folder of the mirror; write {\"^(.*)$\": \"FOLDER/$1\"}, or name the folder in the URL of endpoint"
	for _, c := range []struct {
		registries string
		image      *Image
		want       []string
	}{
		{"mirrors: {r: {endpoint: ['https://m']}}", &old, nil},
		{"mirrors: {r: {endpoint: ['https://m'], rewrite: {'(.*)': '/a/b/${1}'}}}", &image, nil},
		{"mirrors: {r: {endpoint: ['https://m'], rewrite: {'^a/(.*)': b/$1}}}", &image, []string{"mirrors.r: " + rewrite}},
		{"mirrors: {r: {endpoint: ['https://m'], rewrite: {'^(.*)$': $1/a}}}", &image, []string{"mirrors.r: " + rewrite}},
		{"mirrors: {r: {endpoint: ['https://m'], rewrite: {'^(.*)$': ../a/$1}}}", &image, []string{"mirrors.r: " + rewrite}},
		{"mirrors: {r: {endpoint: ['https://m'], rewrite: {'^(.*)$': a/$1, '^(.+)$': b/$1}}}", &image, []string{"mirrors.r: " + rewrite}},
		{"mirrors: {r: {rewrite: {'^(.*)$': a/$1}}}", &image, []string{"mirrors.r: rewrite changes the names at an endpoint, and there is none; add endpoint"}},
		{"mirrors: {'https://r': {}, ../r: {}}", nil, []string{
			`mirrors.../r: "../r" is not the name of a registry; write it such as registry.example.org:5000, or "*" for every registry`,
			`mirrors.https://r: "https://r" is not the name of a registry; write it such as registry.example.org:5000, or "*" for every registry`}},
		{"mirrors: {r: {endpoint: ['https://m?a=b']}}", &image, []string{"mirrors.r: the endpoint https://m?a=b has more than a host and a path: remove what begins with ? or #"}},
		{"configs: {r: {auth: {identity_token: geheim}}}", &image, []string{
			"configs.r: auth.identity_token: the containerd of k0s takes no such token from a file; give username and password, or imagePullSecrets of Kubernetes"}},
		{"configs: {'*': {auth: {username: a, password: geheim}}}", &image, []string{
			`configs.*: "*" is not the name of one registry: credentials and certificates belong to one; write it such as registry.example.org:5000`}},
		{"configs: {r: {auth: {password: geheim}}}", &image, []string{"configs.r: auth.password: there is no user for the password; give it as auth.username"}},
		{"configs: {r: {auth: {username: 'a:b', password: geheim}}}", &image, []string{"configs.r: auth.username: a user with a colon cannot be sent to a registry; give another one"}},
		{"configs: {r: {auth: {auth: geheim}}}", &image, []string{"configs.r: auth.auth: it is not USER:PASSWORD in base64; give auth.username and auth.password in its place"}},
		{"configs: {r: {tls: {key_file: /k}}}", &image, []string{"configs.r: tls.key_file: there is no certificate for the key; give it as tls.cert_file"}},
		{"configs: {r: {auth: {username: a, password: geheim}}}", &old, []string{
			"warning: configs.r: the containerd of v1.34.1+k0s.0 sends the credentials to the registry only: a registry with a token service of its own refuses them; use k0s v1.36 or newer, or imagePullSecrets of Kubernetes"}},
		{"configs: {r: {auth: {username: a, password: geheim}}}", &image, nil},
	} {
		var got []string
		for _, p := range Check(decode(t, "k0s: {enabled: true, args: [--enable-worker], registries: {"+c.registries+"}}\n"), c.image) {
			got = append(got, strings.Replace(strings.TrimPrefix(p.Error(), "site.yaml:1:47: "), "k0s.registries.", "", 1))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || strings.Contains(strings.Join(got, ""), "geheim") {
			t.Errorf("%s differs (-want +got):\n%s", c.registries, diff)
		}
	}
	problems := Check(decode(t, "k0s: {enabled: true, registries: {mirrors: {r: {}}}}\n"), &image)
	if want := "site.yaml:1:22: warning: k0s.registries: has no effect on a controller without pods; add --enable-worker to args, or remove the key"; len(problems) != 1 || problems[0].Error() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
}

// TestContainerdApplied: another registry restarts nothing, and nothing of an old one
// stays. A person's own config of containerd is not fought.
func TestContainerdApplied(t *testing.T) {
	h := newHost(t)
	const worker = "k0s: {enabled: true, args: [--single], registries: {mirrors: {NAME: {endpoint: ['https://m']}}}}\n"
	h.apply(strings.Replace(worker, "NAME", "r1", 1), k0sVersion, k0sList)
	did, items := h.apply(strings.Replace(worker, "NAME", "r2", 1), k0sVersion, k0sList)
	same(t, "another registry", did)
	slices.Sort(items)
	same(t, "another registry", items,
		"site.yaml:1:16: file /run/kairos/kubernetes/registries/r1/hosts.toml: changed",
		"site.yaml:1:16: file /run/kairos/kubernetes/registries/r1: changed",
		"site.yaml:1:16: file /run/kairos/kubernetes/registries/r2/hosts.toml: changed")

	h.put("etc/k0s/containerd.d/own.toml", "[plugins.x.registry]\nconfig_path = \"/own\"\n")
	h.put("etc/k0s/containerd.toml", "\n# k0s_managed=true\n")
	did, items = h.apply(strings.Replace(worker, "NAME", "r3", 1), k0sVersion, k0sList)
	same(t, "own config_path", append(did, items...),
		"/etc/k0s/containerd.d/own.toml:1:1: kubernetes k0s: failed: k0s.registries: this file has config_path of the registries, too, and there can be one; remove it there, or the key")
	h.put("etc/k0s/containerd.d/own.toml", "")
	h.put("etc/k0s/containerd.toml", "version = 3\n")
	did, items = h.apply(strings.Replace(worker, "NAME", "r3", 1), k0sVersion, k0sList)
	same(t, "own config", append(did, items...),
		"/etc/k0s/containerd.toml:1:1: kubernetes k0s: failed: k0s.registries: this file is yours, and k0s then reads nothing of /etc/k0s/containerd.d; remove the file, or the key")
	h.apply("k0s: {enabled: true, args: [--single]}\n", k0sVersion, k0sList)
	for _, name := range []string{k0sDropIn, k0sHosts + "/r2", k0sHosts + "/r3"} {
		if _, err := os.Stat(filepath.Join(h.Root.Dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}
