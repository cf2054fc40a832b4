// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"regexp"
	"slices"
	"strings"
)

// packageList names the packages that ci/setup/install installs.
const packageList = "ci/setup/packages"

// runs matches a program that is started or looked for under a fixed name.
var runs = regexp.MustCompile(`\b(?:(?:LookPath|Command)\(|CommandContext\([\w.]+(?:\(\))?, )"([a-z][\w.+-]*)"`)

// alwaysThere are programs of Debian's essential packages, and those that bring us here.
func alwaysThere() []string {
	return []string{"apt-get", "cmp", "dpkg", "dpkg-deb", "dpkg-query", "go", "sh", "tar", "true", "systemd-firstboot", "systemd-cryptenroll", "systemd-sysusers"}
}

// besides are programs of packages in the list that another program stands for there.
func besides() map[string]string {
	return map[string]string{
		"cryptsetup": "cryptsetup-bin", "fsck.fat": "dosfstools", "partx": "util-linux", "unshare": "util-linux", "nsenter": "util-linux",
		"rpm": "rpm", "umount": "mount", "mount": "mount",
	}
}

// checkPrograms finds programs that tests run and that nothing installs on a fresh machine.
func checkPrograms(t *Tree) (found []Finding) {
	all, machines := installed(t, ""), installed(t, "run")
	for _, f := range t.Files {
		known, by := all, packageList
		switch {
		case strings.HasPrefix(f.Path, "ci/kubernetes/"):
			continue
		case strings.HasSuffix(f.Path, "_test.go"):
		case strings.HasPrefix(f.Path, "ci/qemu/"), strings.HasPrefix(f.Path, "ci/acceptance/"):
			known, by = machines, "the group run of "+packageList // `kairos-build test` runs it
		default:
			continue
		}
		for i, line := range f.lines() {
			for _, m := range runs.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(known, m[1]) {
					found = append(found, Finding{f.Path, i + 1, "runs " + m[1] + ", and no line of " + by + " installs that"})
				}
			}
		}
	}
	return found
}

// installed are the programs that there are with a group of packages; "": with all groups.
func installed(t *Tree, group string) []string {
	programs := alwaysThere()
	var packages []string
	for _, line := range t.file(packageList).lines() {
		if columns := strings.Split(line, "\t"); len(columns) == 4 && (group == "" || columns[0] == group) {
			packages = append(packages, columns[1])
			programs = append(programs, columns[2][strings.LastIndexByte(columns[2], '/')+1:])
		}
	}
	for program, name := range besides() {
		if slices.Contains(packages, name) {
			programs = append(programs, program)
		}
	}
	return programs
}
