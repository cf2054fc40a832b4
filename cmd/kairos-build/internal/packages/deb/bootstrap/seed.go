// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// What the preinst scripts of the base sets of Debian 12 and 13 do when they
// are called as "preinst install" on a fresh root, and what does it here:
//
//	base-passwd    /etc/passwd and /etc/group, when absent, from lists that
//	               are the package's own *.master files: seed
//	base-files     (13) checks that /bin, /lib, … are links into /usr: they
//	               are, skeleton makes them. Diverts /lib32, /libo32 and
//	               /libx32 on its own behalf (DEP17 M4): diversions
//	libc6          checks the kernel version (>= 3.2) and LD_LIBRARY_PATH:
//	               nothing. Makes /usr/lib64 and the link /lib64: skeleton.
//	               (13) diverts the run-time linker (DEP17 M8): diversions.
//	               Wipes ld.so.cache on upgrades only
//	libpam-modules,
//	dash, gzip     upgrades only, or about packages that are not there
//	usrmerge,
//	usr-is-merged  (12) check that nothing is left to merge: nothing is
//	adduser, apt, debian-archive-keyring, e2fsprogs, login, passwd, perl,
//	perl-base, tzdata, util-linux-extra
//	               dpkg-maintscript-helper rm_conffile, symlink_to_dir and
//	               dir_to_symlink, which act on upgrades only: nothing
//
// In both releases, dash ships /bin/sh as a file of the package; postinst scripts make
// /etc/shells, alternatives and the like.

const (
	passwdMaster = "usr/share/base-passwd/passwd.master"
	groupMaster  = "usr/share/base-passwd/group.master"
)

// isSeed reports whether seed needs a file's contents.
func isSeed(name string) bool { return name == passwdMaster || name == groupMaster }

// seed writes the files that preinst scripts would have written.
func (r *root) seed() error {
	var errs []error
	for _, f := range [][2]string{{"etc/passwd", passwdMaster}, {"etc/group", groupMaster}} {
		if body := r.kept[f[1]]; body != nil {
			errs = append(errs, r.text(f[0], 0o644, body))
		}
	}
	return errors.Join(errs...)
}

// A diversion is a rule of dpkg-divert(1): the file from, of any package but owner, is
// installed as to.
type diversion struct{ from, to, owner string }

// literalDivert finds the diversions that a preinst makes for its own package with two
// literal paths.
var literalDivert = regexp.MustCompile(`(?m)^\s*dpkg-divert --quiet --add --no-rename --divert "(/[^"$]+)" "(/[^"$]+)"$`)

// diversions returns the diversions that a package's preinst registers on install. Two
// packages of the base set do that; the tests of both releases would notice a third.
func diversions(name string, preinst []byte) []diversion {
	var out []diversion
	switch name {
	case "base-files":
		if !bytes.Contains(preinst, []byte(`--divert "/.$d.usr-is-merged" "/$d"`)) {
			return nil
		}
		for _, d := range []string{"lib32", "libo32", "libx32"} {
			out = append(out, diversion{"/" + d, "/." + d + ".usr-is-merged", name})
		}
	case "libc6":
		for _, m := range literalDivert.FindAllSubmatch(preinst, -1) {
			out = append(out, diversion{string(m[2]), string(m[1]), name})
		}
	}
	return out
}

// formatDiversions is the file /var/lib/dpkg/diversions: three lines each.
func formatDiversions(all []diversion) []byte {
	slices.SortFunc(all, func(a, b diversion) int { return strings.Compare(a.from, b.from) })
	var out bytes.Buffer
	for _, d := range all {
		out.WriteString(d.from + "\n" + d.to + "\n" + d.owner + "\n")
	}
	return out.Bytes()
}
