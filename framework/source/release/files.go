// SPDX-License-Identifier: Apache-2.0

package release

import "fmt"

// Binary is the name of the file of a release with the program.
func (v Version) Binary(arch string) (string, error) {
	if err := v.distribution.CheckArch(arch); err != nil {
		return "", err
	}
	suffix := v.distribution.suffixes()[arch]
	if v.distribution == K3s {
		return "k3s" + suffix, nil
	}
	return "k0s-" + v.String() + suffix, nil
}

// Images are the names that the file with the publisher's container images can have,
// the preferred first. The checksums of a release say which of them it has.
func (v Version) Images(arch string) ([]string, error) {
	if err := v.distribution.CheckArch(arch); err != nil {
		return nil, err
	}
	if v.distribution == K3s {
		archive := "k3s-airgap-images-" + arch + ".tar"
		return []string{archive + ".zst", archive + ".gz", archive}, nil
	}
	// k0s 1.36 has the first form, k0s 1.34 the second.
	bundle := "k0s-airgap-bundle-" + v.String()
	return []string{fmt.Sprintf("%s-linux-%s.tar", bundle, arch), fmt.Sprintf("%s-%s", bundle, arch)}, nil
}

// Checksums is the name of the file of a release with the checksums of its files.
func (v Version) Checksums(arch string) (string, error) {
	if err := v.distribution.CheckArch(arch); err != nil {
		return "", err
	}
	if v.distribution == K3s {
		return "sha256sum-" + arch + ".txt", nil
	}
	return "sha256sums.txt", nil
}
