// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// registryHosts returns the well-known public registries of images and packages. The
// names are in two halves, so that the rule does not find itself.
func registryHosts() []string {
	return []string{
		"docker." + "io", "hub.docker" + ".com", "ghcr." + "io", "quay." + "io", "gcr." + "io", "pkg." + "dev", "lscr." + "io", "ttl." + "sh",
		"registry." + "k8s.io", "public.ecr" + ".aws", "mcr." + "microsoft.com", "nvcr." + "io", "registry.gitlab" + ".com",
		"registry.redhat" + ".io", "registry.access.redhat" + ".com", "registry.suse" + ".com", "registry.opensuse" + ".org", "registry.fedoraproject" + ".org",
		"proxy.golang" + ".org", "sum.golang" + ".org", "registry." + "npmjs.org", "npmjs" + ".com", "pypi" + ".org", "crates" + ".io", "rubygems" + ".org",
	}
}

// publisherHosts are the hosts of the publishers of Kubernetes.
func publisherHosts() []string {
	return []string{"update.k3s" + ".io", "get.k3s" + ".io", "get.k0s" + ".sh", "docs.k0sproject" + ".io"}
}

// publishers is the file that knows where releases of Kubernetes are.
const publishers = "cmd/kairos-build/internal/kubernetes/publisher.go"

// checkPublishers looks for the publishers of Kubernetes elsewhere. Tests that name
// them would ask them some day.
func checkPublishers(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if f.Path == publishers {
			continue
		}
		for i, line := range f.lines() {
			for _, host := range publisherHosts() {
				if containsWord(strings.ToLower(line), host) {
					found = append(found, Finding{f.Path, i + 1, "names " + host + ": only " + publishers + " does"})
				}
			}
		}
	}
	return found
}

// checkHosts finds names of registries in all files but go.sum, in any case, and also
// inside data. Examples and test data must use names that end in .example or
// example.org.
func checkHosts(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if path.Base(f.Path) == "go.sum" {
			continue
		}
		for i, line := range f.lines() {
			line = strings.ToLower(line)
			for _, host := range registryHosts() {
				if containsWord(line, host) {
					found = append(found, Finding{f.Path, i + 1, "names the registry " + host + ": use a name such as registry.example"})
				}
			}
		}
	}
	return found
}

// containsWord tells whether a line has a host name, by itself or at the end of a longer
// one.
func containsWord(line, host string) bool {
	before, rest, found := strings.Cut(line, host)
	if !found {
		return false
	}
	begins := before == "" || !isNameByte(before[len(before)-1])
	ends := rest == "" || !isNameByte(rest[0])
	return begins && ends || containsWord(rest, host)
}

func isNameByte(b byte) bool {
	return b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z'
}

// maxBinary is the size limit of a binary data file, in bytes: the distributions'
// keyrings and the samples of our tests.
const maxBinary = 256 << 10

func checkBinaries(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		switch {
		case isProgram(f.Data):
			found = append(found, Finding{f.Path, 0, "is a compiled program"})
		case isBinary(f.Data) && len(f.Data) > maxBinary:
			found = append(found, Finding{f.Path, 0, fmt.Sprintf("is binary and has %d bytes, more than %d", len(f.Data), maxBinary)})
		case isBinary(f.Data) && !inTestdata(f.Path) && !slices.Contains([]string{".gpg", ".pgp", ".png"}, path.Ext(f.Path)):
			found = append(found, Finding{f.Path, 0, "is binary, and neither a keyring, a picture nor in testdata"})
		}
	}
	return found
}

func isBinary(data []byte) bool { return bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 }

func isProgram(data []byte) bool {
	for _, magic := range []string{"\x7fELF", "MZ", "\xca\xfe\xba\xbe", "\xcf\xfa\xed\xfe"} {
		if bytes.HasPrefix(data, []byte(magic)) && isBinary(data) {
			return true
		}
	}
	return false
}

var goVersion = regexp.MustCompile(`(?m)^go (\S+)$`)

// checkToolchain checks that the toolchain that ci/setup/go fetches has a checksum.
func checkToolchain(t *Tree) []Finding {
	const pins = "ci/setup/toolchain"
	m := goVersion.FindSubmatch(t.file("go.mod").Data)
	if m == nil {
		return []Finding{{"go.mod", 0, "names no Go version"}}
	}
	var found []Finding
	for _, arch := range []string{"amd64", "arm64"} {
		want := fmt.Sprintf("  v0.0.1-go%s.linux-%s.zip\n", m[1], arch)
		if !bytes.Contains(t.file(pins).Data, []byte(want)) {
			found = append(found, Finding{pins, 0, fmt.Sprintf("has no checksum of Go %s for %s: run `ci/setup/go pin >%s`", m[1], arch, pins)})
		}
	}
	return found
}
