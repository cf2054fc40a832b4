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

type check struct {
	want string
	ok   func(string) bool
}

var (
	// packageName is Debian Policy 5.6.7, which also fits rpm's names but for
	// capitals and underscores.
	packageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9+._-]+$`)
	simpleName  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
)

// checks are the rules a text can have in its field's tag.
var checks = map[string]check{
	"name":    {"a name (lower-case letters, digits, . _ -)", simpleName.MatchString},
	"package": {"a package name", packageName.MatchString},
	"family":  {"a known family (" + strings.Join(Families(), ", ") + ")", func(s string) bool { return slices.Contains(Families(), s) }},
	"url":     {"a URL (http, https or file)", isURL},
	"path":    {"an absolute path", func(s string) bool { return path.IsAbs(s) && path.Clean(s) == s }},
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains([]string{"http", "https", "file"}, u.Scheme) && (u.Host != "" || u.Scheme == "file")
}
