// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// checkRegistries finds what the containerd of k0s cannot do. That of k3s has additions.
func (r role) checkRegistries(c *config.Config, args []given, image *Image) (problems config.Problems) {
	all := r.of(c).Registries
	if r.distribution != release.K0s || len(registryNames(all)) == 0 {
		return nil
	}
	at := r.at(c, "registries")
	for _, name := range sorted(all.Mirrors) {
		if err := checkMirror(name, all.Mirrors[name]); err != nil {
			problems = append(problems, r.problem(under(at, "mirrors", name), err.Error(), ""))
		}
	}
	for _, name := range sorted(all.Configs) {
		if err := checkAccess(name, all.Configs[name]); err != nil {
			problems = append(problems, r.problem(under(at, "configs", name), err.Error(), ""))
		}
		if image != nil && image.Version.Minor() < newContainerd && headerTable("", all.Configs[name]) != "" {
			message := fmt.Sprintf("the containerd of %s sends the credentials to the registry only: a registry with a token service of its own refuses them", image.Version)
			problems = append(problems, r.warning(under(at, "configs", name), message, "use k0s v1.36 or newer, or imagePullSecrets of Kubernetes"))
		}
	}
	if !r.runsPods(args) {
		problems = append(problems, r.warning(at, "has no effect on a controller without pods", "add --enable-worker to args, or remove the key"))
	}
	return problems
}

func under(at config.Text, keys ...string) config.Text {
	at.Path += "." + strings.Join(keys, ".")
	return at
}

// registryName is a host name or an address, with a port or without.
var registryName = lazyregexp.New(`^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$`)

func checkMirror(name string, m config.RegistryMirror) error {
	if name != anyRegistry && !registryName.MatchString(name) {
		return fmt.Errorf("%q is not the name of a registry; write it such as registry.example.org:5000, or \"*\" for every registry", strict.Printable(name))
	}
	for _, endpoint := range m.Endpoints {
		if strings.ContainsAny(endpoint, "?#") {
			return fmt.Errorf("the endpoint %s has more than a host and a path: remove what begins with ? or #", strict.Printable(endpoint))
		}
	}
	if len(m.Rewrite) > 0 && len(m.Endpoints) == 0 {
		return errors.New("rewrite changes the names at an endpoint, and there is none; add endpoint")
	}
	_, err := imageFolder(m.Rewrite)
	return err
}

// literalFolder is a folder of images in a replacement.
var literalFolder = lazyregexp.New(`^[A-Za-z0-9._/-]+$`)

// imageFolder is the folder that a rewrite puts all images into. containerd can do no
// other rewrite: only k3s has patched its own.
func imageFolder(rewrite map[string]string) (string, error) {
	for from, to := range rewrite {
		all := strings.TrimSuffix(strings.TrimPrefix(from, "^"), "$")
		folder, found := strings.CutSuffix(strings.ReplaceAll(to, "${1}", "$1"), "/$1")
		folder = strings.Trim(folder, "/")
		if all != "(.*)" && all != "(.+)" || !found || !literalFolder.MatchString(folder) || path.Clean("/"+folder) != "/"+folder || len(rewrite) > 1 {
			return "", errors.New(`k0s cannot rewrite names of images like this: its containerd can only put all images into one folder of the mirror; write {"^(.*)$": "FOLDER/$1"}, or name the folder in the URL of endpoint`)
		}
		return folder, nil
	}
	return "", nil
}

func checkAccess(name string, a config.RegistryAccess) error {
	switch {
	case !registryName.MatchString(name):
		return fmt.Errorf("%q is not the name of one registry: credentials and certificates belong to one; write it such as registry.example.org:5000", strict.Printable(name))
	case a.IdentityToken != "":
		return errors.New("auth.identity_token: the containerd of k0s takes no such token from a file; give username and password, or imagePullSecrets of Kubernetes")
	case a.KeyFile != "" && a.CertFile == "":
		return errors.New("tls.key_file: there is no certificate for the key; give it as tls.cert_file")
	case a.Password != "" && a.Username == "":
		return errors.New("auth.password: there is no user for the password; give it as auth.username")
	case strings.Contains(a.Username, ":"):
		return errors.New("auth.username: a user with a colon cannot be sent to a registry; give another one")
	case a.Username == "" && a.Auth != "" && !isPair(a.Auth):
		return errors.New("auth.auth: it is not USER:PASSWORD in base64; give auth.username and auth.password in its place")
	}
	return nil
}

func isPair(auth string) bool {
	text, err := base64.StdEncoding.DecodeString(auth)
	return err == nil && strings.Contains(string(text), ":")
}
