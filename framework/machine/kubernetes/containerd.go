// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
)

// Files of containerd for k0s. containerd reads those of k0sHosts at every pull of an
// image: https://github.com/containerd/containerd/blob/main/docs/hosts.md
const (
	k0sDropIn = "/etc/k0s/containerd.d/90-kairos.toml"
	k0sHosts  = runDir + "/registries"
	hostsFile = "hosts.toml"
)

// containerd adds the registries of k0s. Credentials are in hosts.toml only: k0s copies
// its drop-ins into a file that every user can read, /run/k0s/containerd-cri.toml.
func (p *Plan) containerd(c *config.Config, r role, image Image) {
	all := r.of(c).Registries
	names := registryNames(all)
	if len(names) == 0 {
		return
	}
	p.file(k0sDropIn, []byte(head+dropInOf(image)), false)
	for _, name := range names {
		p.secret(path.Join(k0sHosts, folderOf(name), hostsFile), []byte(head+hostsOf(all, name)), false)
	}
}

// newContainerd is the minor version of k0s that has containerd 2.
const newContainerd = 36

// dropInOf names k0sHosts, in the format of the containerd of an image.
func dropInOf(image Image) string {
	format, plugin := 3, "io.containerd.cri.v1.images"
	if image.Version.Minor() < newContainerd {
		format, plugin = 2, "io.containerd.grpc.v1.cri"
	}
	return fmt.Sprintf("version = %d\n\n[plugins.%q.registry]\nconfig_path = %q\n", format, plugin, k0sHosts)
}

// anyRegistry is the name that stands for registries without a mirror of their own.
const anyRegistry = "*"

// registryNames are the registries that need a file: each with a mirror, and each with
// credentials or certificates.
func registryNames(all config.Registries) []string {
	names := map[string]bool{}
	for name := range all.Mirrors {
		names[name] = true
	}
	for name := range all.Configs {
		names[strings.TrimPrefix(name, apiPrefix)] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// apiPrefix begins the name of the API of a registry whose images have a shorter name.
const apiPrefix = "registry-1."

// folderOf is the folder that containerd looks for.
func folderOf(name string) string {
	if name == anyRegistry {
		return "_default"
	}
	return name
}

// hostsOf is the hosts.toml of a registry: first how the registry itself is reached,
// then its mirrors. containerd asks the mirrors first.
func hostsOf(all config.Registries, name string) string {
	access, ok := all.Configs[name]
	if !ok {
		access = all.Configs[apiPrefix+name]
	}
	// Without a table of hosts, containerd 1.7 does not use the file.
	var text strings.Builder
	text.WriteString(accessLines(access) + headerTable("header", access) + "\n[host]\n")
	seen := map[string]bool{}
	for _, m := range mirrorsOf(all, name) {
		if !seen[m.url] {
			text.WriteString(m.table(all.Configs))
		}
		seen[m.url] = true // a second table with one name would spoil the file
	}
	return text.String()
}

// A mirror is a place that containerd asks for the images of a registry.
type mirror struct {
	host, url string
	override  bool // the path of the URL is that of the API
}

func mirrorsOf(all config.Registries, name string) (out []mirror) {
	m, ok := all.Mirrors[name]
	if !ok {
		m = all.Mirrors[anyRegistry]
	}
	folder, _ := imageFolder(m.Rewrite) // checkMirror has reported an error
	for _, endpoint := range m.Endpoints {
		if u, err := url.Parse(endpoint); err == nil {
			out = append(out, mirrorAt(u, folder))
		}
	}
	return out
}

// mirrorAt is the mirror at a URL. As in k3s, a path is that of the API; without one it
// is /v2. All images are below folder.
func mirrorAt(u *url.URL, folder string) mirror {
	api := strings.TrimSuffix(u.Path, "/")
	m := mirror{host: u.Host, override: folder != "" || api != "" && api != "/v2"}
	place := url.URL{Scheme: u.Scheme, Host: u.Host}
	if m.override {
		place.Path = path.Join(cmp.Or(api, "/v2"), folder)
	}
	m.url = place.String()
	return m
}

func (m mirror) table(configs map[string]config.RegistryAccess) string {
	text := fmt.Sprintf("\n[host.%s]\ncapabilities = [\"pull\", \"resolve\"]\n", quoted(m.url))
	if m.override {
		text += "override_path = true\n"
	}
	return text + accessLines(configs[m.host]) + headerTable("host."+quoted(m.url)+".header", configs[m.host])
}

// accessLines are the certificates of a registry.
func accessLines(a config.RegistryAccess) (lines string) {
	if a.CAFile != "" {
		lines += "ca = " + quoted(a.CAFile) + "\n"
	}
	switch {
	case a.KeyFile != "":
		lines += "client = [[" + quoted(a.CertFile) + ", " + quoted(a.KeyFile) + "]]\n"
	case a.CertFile != "":
		lines += "client = " + quoted(a.CertFile) + "\n"
	}
	if a.InsecureSkipVerify != nil {
		lines += fmt.Sprintf("skip_verify = %v\n", *a.InsecureSkipVerify)
	}
	return lines
}

// headerTable has the credentials of a registry, as HTTP wants them (RFC 7617).
func headerTable(name string, a config.RegistryAccess) string {
	if a.Username == "" && a.Auth == "" {
		return ""
	}
	credentials := a.Auth
	if a.Username != "" {
		credentials = base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
	}
	return fmt.Sprintf("\n[%s]\nAuthorization = %s\n", name, quoted("Basic "+credentials))
}

// quoted is a basic string of TOML: https://toml.io/en/v1.0.0#string
func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: quoting a text: " + err.Error())
	}
	return strings.ReplaceAll(string(text), "\x7f", `\u007f`)
}
