// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Families lists the package manager families that recipes knows.
func Families() []string { return []string{"apt"} }

// lsms are the security modules that a flavor can ask for.
func lsms() []string { return []string{"apparmor"} }

type check struct {
	want string
	ok   func(string) bool
}

var (
	// packageName is the rule of Debian Policy 5.6.7, and also allows the capitals
	// and underscores of rpm's names.
	packageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9+._-]+$`)
	fingerprint = regexp.MustCompile(`^[0-9A-F]{40}$`)
	simpleName  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
)

// checks are the rules that a field's tag can name.
var checks = map[string]check{
	"name":        {"a name (lower-case letters, digits, . _ -)", simpleName.MatchString},
	"package":     {"a package name", packageName.MatchString},
	"family":      {"a known family (" + strings.Join(Families(), ", ") + ")", func(s string) bool { return slices.Contains(Families(), s) }},
	"lsm":         {"a security module (" + strings.Join(lsms(), ", ") + ")", func(s string) bool { return slices.Contains(lsms(), s) }},
	"fingerprint": {"the fingerprint of a key (40 hexadecimal digits, capitals)", fingerprint.MatchString},
	"url":         {"a URL (http, https or file)", isURL},
	"path":        {"an absolute path", func(s string) bool { return path.IsAbs(s) && path.Clean(s) == s }},
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains([]string{"http", "https", "file"}, u.Scheme) && (u.Host != "" || u.Scheme == "file")
}
