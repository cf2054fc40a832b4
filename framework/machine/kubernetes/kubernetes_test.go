// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

const (
	k3sVersion = "v1.34.1+k3s1"
	k0sVersion = "v1.34.1+k0s.0"
	k3sList    = "server --cluster-init switch\nserver --data-dir,-d value\nserver --disable value\nserver --embedded-registry switch\nserver --kubelet-arg value\nserver --tls-san value\nserver --token,-t value\nserver -v value\nagent --lb-server-port value\nagent --server,-s value\nagent --token,-t value\n"
	k0sList    = "controller --enable-worker switch\ncontroller --single switch\ncontroller --token-file value\nworker --labels value\nworker --token-file value\n"
)

// imageOf reads an image with a version and a list of arguments.
func imageOf(t testing.TB, version, list string, more ...string) Image {
	t.Helper()
	root := fstest.MapFS{}
	if version != "" {
		root[layout.ImageKubernetes[1:]] = &fstest.MapFile{Data: []byte(version + "\n")}
	}
	if list != "" {
		root[layout.ImageKubernetesArguments[1:]] = &fstest.MapFile{Data: []byte(list)}
	}
	for _, name := range more {
		root[name] = &fstest.MapFile{}
	}
	image, err := ReadImage(root)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func decode(t testing.TB, text string) *config.Config {
	t.Helper()
	c, problems := config.Decode("site.yaml", []byte(text))
	if problems.Failed() {
		t.Fatal(problems)
	}
	return config.Merge(c)
}

// joinToken is a join token of k0s, for a user such as kubelet-bootstrap.
func joinToken(t testing.TB, user, server string) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprintf(w, "apiVersion: v1\nkind: Config\ncurrent-context: k0s\nclusters: [{name: k0s, cluster: {server: %q, certificate-authority-data: %s}}]\n"+
		"contexts: [{name: k0s, context: {cluster: k0s, user: %s}}]\nusers: [{name: %s, user: {token: abcdef.0123456789abcdef}}]\n", server, authority, user, user)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestCheck(t *testing.T) {
	none, k3s, k0s := imageOf(t, "", ""), imageOf(t, k3sVersion, k3sList), imageOf(t, k0sVersion, k0sList)
	worker := joinToken(t, "kubelet-bootstrap", "https://192.0.2.1:6443")
	controller := joinToken(t, "controller-bootstrap", "https://192.0.2.1:9443")
	for _, c := range []struct {
		name, config string
		image        *Image
		want         []string
	}{
		{"no role", "k3s: {args: [--x]}\nk0s: {enabled: no}\n", &none, nil},
		{"known arguments", "k3s: {enabled: true, args: [--cluster-init, --disable, traefik, '--tls-san a', -v=3, -t geheim, --disable-agent]}\n", &k3s, nil},
		{"no Kubernetes", "k3s: {enabled: true}\n", &none, []string{
			"site.yaml:1:16: k3s.enabled: this image has no Kubernetes: build it with --k3s VERSION, such as kairos-build flavor debian-13 --k3s v1.34"}},
		{"the other distribution", "k0s-worker: {enabled: true}\n", &k3s, []string{
			"site.yaml:1:23: k0s-worker.enabled: this image has k3s v1.34.1+k3s1 and not k0s: enable a role of k3s, or build the image with --k0s VERSION"}},
		{"two roles", "k3s: {enabled: true}\nk3s-agent: {enabled: true, args: [--server=https://a:6443]}\n", nil, []string{
			"site.yaml:1:16: k3s.enabled: k3s-agent is enabled too (site.yaml:2:22): a node has one role in a cluster; disable one of them",
			"site.yaml:2:22: k3s-agent.enabled: k3s is enabled too (site.yaml:1:16): a node has one role in a cluster; disable one of them"}},
		{"two distributions", "k3s: {enabled: true}\nk0s: {enabled: true}\n", nil, []string{
			"site.yaml:1:16: k3s.enabled: k0s is enabled too (site.yaml:2:16): a node runs either k3s or k0s; disable one of them",
			"site.yaml:2:16: k0s.enabled: k3s is enabled too (site.yaml:1:16): a node runs either k3s or k0s; disable one of them"}},
		{"unknown argument", "k3s: {enabled: true, args: [--disabel=traefik]}\n", &k3s, []string{
			"site.yaml:1:29: k3s.args[0]: k3s server v1.34.1+k3s1 takes no argument --disabel; did you mean --disable?"}},
		{"unknown argument of k0s", "k0s: {enabled: true, args: [--sinlge]}\n", &k0s, []string{
			"site.yaml:1:29: k0s.args[0]: k0s controller v1.34.1+k0s.0 takes no argument --sinlge; did you mean --single?"}},
		{"argument of the other role", "k3s: {enabled: true, args: [--lb-server-port=1]}\n", &k3s, []string{
			"site.yaml:1:29: k3s.args[0]: k3s server v1.34.1+k3s1 takes no argument --lb-server-port; it is an argument of the command \"agent\""}},
		{"a made argument that is too new", "k3s: {enabled: true, embedded_registry: true}\n", new(imageOf(t, k3sVersion, "server --token value\n")), []string{
			"site.yaml:1:22: k3s.embedded_registry: k3s server v1.34.1+k3s1 takes no argument --embedded-registry"}},
		{"a value is missing", "k3s: {enabled: true, args: [--disable]}\n", &k3s, []string{
			"site.yaml:1:29: k3s.args[0]: --disable needs a value; write it such as --disable=VALUE"}},
		{"no argument", "k3s: {enabled: true, args: [--cluster-init, server]}\n", &k3s, []string{
			"site.yaml:1:45: k3s.args[1]: it is neither an argument, which begins with --, nor the value of one"}},
		{"token of k0s for k3s", "k3s-agent: {enabled: true, args: ['--token=" + worker + "', -s, 'https://a:6443']}\n", &k3s, []string{
			"site.yaml:1:35: k3s-agent.args[0]: a token of another distribution: this is a token of k0s for a worker at https://192.0.2.1:6443; k3s has its own in /var/lib/rancher/k3s/server/token on a server"}},
		{"token of k0s for k3s, as a variable", "k3s-agent: {enabled: true, args: [-s, 'https://a:6443'], env: {K3S_TOKEN: " + worker + "}}\n", nil, []string{
			"site.yaml:1:75: k3s-agent.env.K3S_TOKEN: a token of another distribution: this is a token of k0s for a worker at https://192.0.2.1:6443; k3s has its own in /var/lib/rancher/k3s/server/token on a server"}},
		{"token of k3s for k0s", "k0s-worker: {enabled: true, token: 'K10abc::server:geheim'}\n", &k0s, []string{
			"site.yaml:1:36: k0s-worker.token: a token of another distribution: this is a token of k3s (or RKE2). It has no address in it: give it to k3s, with the address as `server:` beside it"}},
		{"token of another role", "k0s-worker: {enabled: true, token: " + controller + "}\n", &k0s, []string{
			"site.yaml:1:36: k0s-worker.token: a token of another role: this token is for a controller (its user is controller-bootstrap), and a worker is to join: make one with `k0s token create --role=worker` on a controller"}},
		{"two tokens", "k0s-worker: {enabled: true, token: " + worker + ", args: [--token-file=/a]}\n", &k0s, []string{
			"site.yaml:1:36: k0s-worker.token: args has --token-file, too; give the token once"}},
		{"an address without a token", "k0s-worker: {enabled: true, server: 'https://a:6443', args: [--token-file=/a]}\n", &k0s, []string{
			"site.yaml:1:37: k0s-worker.server: there is no token that the address could be put into; give the token as k0s-worker.token"}},
		{"no token", "k0s-worker: {enabled: true}\n", &k0s, []string{
			"site.yaml:1:23: warning: k0s-worker.enabled: there is no token: it joins no cluster, unless it did so before; give it as k0s-worker.token"}},
		{"no server", "k3s-agent: {enabled: true}\n", &k3s, []string{
			"site.yaml:1:22: warning: k3s-agent.enabled: there is no server to join, unless a file below /etc/rancher/k3s names it; add --server=https://HOST:6443 to args"}},
		{"embedded registry of k0s", "k0s: {enabled: true, embedded_registry: true}\n", &k0s, []string{
			"site.yaml:1:22: k0s.embedded_registry: k0s has no embedded registry; remove the key"}},
		{"token of a worker for a controller", "k0s: {enabled: true, token: " + worker + "}\n", &k0s, []string{
			"site.yaml:1:29: k0s.token: a token of another role: this token is for a worker (its user is kubelet-bootstrap), and a controller is to join: make one with `k0s token create --role=controller` on a controller"}},
		{"token of a controller that is alone", "k0s: {enabled: true, args: [--single], token: " + controller + "}\n", &k0s, []string{
			"site.yaml:1:16: k0s.enabled: args has --single, and such a controller joins no cluster; remove --single, or the token"}},
		{"an address for a controller without a token", "k0s: {enabled: true, server: 'https://a:9443'}\n", &k0s, []string{
			"site.yaml:1:30: k0s.server: there is no token that the address could be put into; give the token as k0s.token"}},
		{"token of a controller", "k0s: {enabled: true, token: " + controller + "}\n", &k0s, nil},
		{"kube-vip without an address", "k3s: {enabled: true}\nkubevip: {enable: true}\n", &k3s, []string{
			"site.yaml:2:10: kubevip: there is no address that the servers could share; give it as kubevip.eip"}},
		{"kube-vip of k0s", "k0s: {enabled: true}\nkubevip: {eip: 192.0.2.9}\n", &k0s, []string{
			"site.yaml:2:10: kubevip: it is for k3s; k0s has spec.network.controlPlaneLoadBalancing in /etc/k0s/k0s.yaml"}},
		{"kube-vip without an image", "k3s: {enabled: true}\nkubevip: {eip: 192.0.2.9}\n", &k3s, []string{
			"site.yaml:2:10: warning: kubevip: kube-vip does not run: there is no image of it; give it as kubevip.image, such as registry.example/kube-vip/kube-vip"}},
		{"kube-vip of an agent", "k3s-agent: {enabled: true, args: [--server=https://a:6443]}\nkubevip: {eip: 192.0.2.9}\n", &k3s, []string{
			"site.yaml:2:10: warning: kubevip: has no effect on an agent: kube-vip runs on the servers; remove the key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Check(decode(t, c.config), c.image) {
				got = append(got, p.Error())
				if strings.Contains(p.Error(), "geheim") {
					t.Errorf("shows a secret: %v", p)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

const k3sServer = `
env: {HTTPS_PROXY: "http://proxy.example:3128", LANG: C.UTF-8, no_proxy: 10.0.0.0/8}
k3s:
  enabled: true
  args: [--disable=traefik, --cluster-init, --disable, servicelb, "--kubelet-arg max-pods=200", -t, geheim, -v=3]
  env: {NO_PROXY: 192.0.2.0/24, K3S_DEBUG: true, ODD: 'a "b" $c \ d'}
  embedded_registry: true
  manifests:
    web: |
      apiVersion: v1
      kind: Namespace
      metadata: {name: web}
  registries:
    mirrors: {registry.example.org: {endpoint: ["https://mirror.example.org"], rewrite: {"^a/(.*)": b/$1}}}
    configs: {mirror.example.org: {auth: {username: ada, password: geheim}, tls: {ca_file: /oem/ca.crt, insecure_skip_verify: no}}}
  images: [/usr/local/images/app.tar]
kubevip: {eip: 192.0.2.10, interface: eth0, version: v1.2.3, image: registry.example.org/kube-vip}
`

// shown is a plan for a person.
func shown(p Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "role %s, unit %s\n", p.Role, p.Unit)
	for _, f := range p.Files {
		if f.Path == tokenFile {
			f.Data = []byte("TOKEN\n")
		}
		fmt.Fprintf(&b, "\n-- %s %04o restart %v --\n%s", f.Path, f.Mode, f.Restart, f.Data)
	}
	for _, l := range p.Links {
		fmt.Fprintf(&b, "\n-- %s -> %s --\n", l.Path, l.Target)
	}
	return b.String()
}

func TestMake(t *testing.T) {
	token := joinToken(t, "kubelet-bootstrap", "https://192.0.2.1:6443")
	controller := joinToken(t, "controller-bootstrap", "https://192.0.2.1:9443")
	airgap := layout.ImageKubernetesImages[1:]
	for _, c := range []struct {
		name, config string
		image        Image
	}{
		{"k3s", k3sServer, imageOf(t, k3sVersion, k3sList, airgap+"/k3s-airgap-images-amd64.tar.zst")},
		{"k3s-agent", "env: [https_proxy=http://proxy.example]\nk3s-agent: {enabled: true, args: [--server=https://a:6443, --data-dir=/srv/k3s], embedded_registry: true, replace_env: true}\n", imageOf(t, k3sVersion, "")},
		{"replaced", "k3s: {enabled: true, args: [--cluster-init], embedded_registry: true, replace_args: true}\nkubevip: {eip: 'fd00::9', static_pod: true, image: registry.example.org/kube-vip}\n", imageOf(t, k3sVersion, k3sList)},
		{"k0s", "k0s: {enabled: true, args: [--single, '--labels=a b', '--x=50%$1'], manifests: {a: '{apiVersion: v1, kind: Namespace}'}}\n", imageOf(t, k0sVersion, "", airgap+"/bundle.tar")},
		{"k0s-join", "k0s: {enabled: true, args: [--enable-worker], server: 'https://192.0.2.7', token: " + controller + ",\n" + containerdConfig, imageOf(t, "v1.36.3+k0s.0", k0sList)},
		{"k0s-registries", "k0s-worker: {enabled: true, token: " + token + ",\n" + containerdConfig, imageOf(t, k0sVersion, k0sList)},
		{"k0s-worker", "k0s-worker: {enabled: true, args: [--labels=a=b], token: " + token + "}\n", imageOf(t, k0sVersion, k0sList)},
		{"none", "k3s: {enabled: no, args: [--x]}\n", imageOf(t, k3sVersion, k3sList)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, problems := Make(decode(t, c.config), c.image)
			if problems.Failed() {
				t.Fatal(problems)
			}
			golden.Check(t, "testdata/"+c.name+".golden", shown(p))
			if again, _ := Make(decode(t, c.config), c.image); shown(again) != shown(p) || again.digest(nil) != p.digest(nil) {
				t.Error("a second plan differs")
			}
		})
	}
}

// TestServer: the address of the worker's token is replaced.
func TestServer(t *testing.T) {
	token := joinToken(t, "kubelet-bootstrap", "https://192.0.2.1:6443")
	c := decode(t, "k0s-worker: {enabled: true, server: 'https://192.0.2.7', token: "+token+"}\n")
	p, problems := Make(c, imageOf(t, k0sVersion, k0sList))
	if problems.Failed() {
		t.Fatal(problems)
	}
	for _, f := range p.Files {
		if f.Path != tokenFile {
			continue
		}
		packed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(f.Data)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(r); err != nil || !strings.Contains(text.String(), "https://192.0.2.7:6443") {
			t.Errorf("%v: %s", err, &text)
		}
		return
	}
	t.Error("there is no token")
}

func TestReadImage(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{layout.ImageKubernetes, "1.34\n", `/usr/lib/kairos/kubernetes of the image: "1.34" is no version of k3s or k0s: write it like v1.34.1+k3s1 or v1.34.1+k0s.0`},
		{layout.ImageKubernetesArguments, "what\n", `/usr/lib/kairos/kubernetes-arguments of the image: line 1: "what" is not COMMAND --NAME[,-N] value|switch`},
	} {
		root := fstest.MapFS{layout.ImageKubernetes[1:]: {Data: []byte(k3sVersion)}}
		root[c.file[1:]] = &fstest.MapFile{Data: []byte(c.text)}
		if _, err := ReadImage(root); err == nil || err.Error() != c.want {
			t.Errorf("got %v", err)
		}
	}
}

// TestJudge: problems of a node's config are in the files that they come from.
func TestJudge(t *testing.T) {
	a := config.Options{}.DecodeFile("a.yaml", []byte("k3s: {enabled: true}\n"))
	b := config.Options{}.DecodeFile("b.yaml", []byte("k0s: {enabled: true}\n"))
	Judge([]*config.File{&a, &b}, nil)
	if len(a.Problems) != 1 || len(b.Problems) != 1 || a.Problems.Refused() || !a.Lacks("k3s") || a.Lacks("k0s") {
		t.Errorf("%v\n%v", a.Problems, b.Problems)
	}
}
