// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"testing"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// FuzzForeign reads config files of k3s that others wrote. What is wrong in one is said with
// its place.
func FuzzForeign(f *testing.F) {
	f.Add([]byte("data-dir: /x\nnode-label+: [a=b]\n"))
	f.Add([]byte("[a]\n"))
	f.Add([]byte("a: &a\n  <<: *a\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range roles() {
			if r.distribution != release.K3s {
				continue
			}
			const name = "/etc/rancher/k3s/config.yaml.d/a.yaml"
			for _, p := range r.checkFile(File{Path: name, Data: data}, Image{}) {
				if p.File != name || p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("%+v says nothing", p)
				}
			}
		}
	})
}
