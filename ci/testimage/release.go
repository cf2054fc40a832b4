// SPDX-License-Identifier: Apache-2.0

package testimage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Release is what the release file of a Debian 13 image of version v1.1.0 says, with changes,
// given as keys and values. An empty value removes the key.
func Release(changes ...string) map[string]string {
	r := map[string]string{
		"KAIROS_VERSION": "v1.1.0", "KAIROS_ARCH": "amd64", "KAIROS_FAMILY": "debian",
		"KAIROS_MODEL": "generic", "KAIROS_FLAVOR": "debian", "KAIROS_FLAVOR_RELEASE": "13",
	}
	for i := 0; i < len(changes); i += 2 {
		if r[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(r, changes[i])
		}
	}
	return r
}

// ReleaseText is the content of a release file.
func ReleaseText(release map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(release)) {
		fmt.Fprintf(&b, "%s=%q\n", key, release[key])
	}
	return b.String()
}
