// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"testing"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// FuzzChannels reads the lists of the publishers, or of a mirror. Channels are of the right
// distribution; those that we make are of their own minor version, and no prerelease.
func FuzzChannels(f *testing.F) {
	f.Add([]byte(`{"data":[{"name":"stable","latest":"v1.34.1+k3s1"},{"name":"old","latest":""}]}`))
	f.Add([]byte(`[{"version":"v1.34.1+k0s.0"},{"version":"v1.34.2+k0s.0"},{"version":"v1.35.0-rc.1+k0s.0"},{"version":"head"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, err := parseK3sChannels("x", data); err == nil {
			for name, v := range all {
				if v.Distribution() != release.K3s {
					t.Errorf("%s is %s", name, v)
				}
			}
		}
		all := channels{}
		if all.addK0sVersions("x", data) != nil {
			return
		}
		for name, v := range all {
			if v.Distribution() != release.K0s || v.Prerelease() || v.Channel() != name {
				t.Errorf("%s is %s", name, v)
			}
		}
	})
}
