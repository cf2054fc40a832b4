// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A publisher is where the files of a distribution come from.
type publisher struct {
	channels string // address of the folder with the files about channels
	releases string // address of the folder with a folder for each release
	mirror   bool
}

// publisherOf is the only place that names the hosts of the publishers.
func publisherOf(d release.Distribution) publisher {
	if d == release.K3s {
		return publisher{channels: "https://update.k3s.io/v1-release", releases: "https://github.com/k3s-io/k3s/releases/download"}
	}
	return publisher{channels: "https://docs.k0sproject.io", releases: "https://github.com/k0sproject/k0s/releases/download"}
}

// mirrorAt is a mirror: both folders are the same.
func mirrorAt(address string) publisher {
	address = strings.TrimRight(address, "/")
	return publisher{address, address, true}
}

// folders are the addresses where the folder of a release may be. Some mirrors write
// - for the +, as image tags do.
func (p publisher) folders(v release.Version) []string {
	all := []string{p.releases + "/" + escaped(v.String())}
	if p.mirror {
		all = append(all, p.releases+"/"+v.Tag())
	}
	return all
}

// escaped is a name in a URL. A server may read + as a blank.
func escaped(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
}

func checkMirror(d release.Distribution, address string) error {
	u, err := url.Parse(address)
	web := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	file := err == nil && u.Scheme == "file" && u.Host == "" && u.Path != ""
	if web || file {
		return nil
	}
	return fmt.Errorf("mirror of %s: %q is no mirror: want %s=http://host/path, %s=https://host/path or %s=file:///path", d, fetch.Shown(address), d, d, d)
}

// advice tells the user what to do about a faulty server.
func advice(d release.Distribution) string {
	return fmt.Sprintf("try again later, or choose a mirror with --mirror %s=URL", d)
}
