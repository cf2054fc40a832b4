// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Families lists the package manager families that recipes knows.
func Families() []string { return []string{"apt", "dnf", "zypper"} }

// lsms are the security modules that a flavor can ask for.
func lsms() []string { return []string{"apparmor"} }

type check struct {
	want string
	ok   func(string) bool
}

var (
	// packageName is the rule of Debian Policy 5.6.7, and also allows the capitals
	// and underscores of rpm's names.
	packageName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9+._-]|\{arch\})+$`)
	fingerprint = regexp.MustCompile(`^[0-9A-F]{40}$`)
	simpleName  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
)

// checks are the rules that a field's tag can name.
var checks = map[string]check{
	"name":        {"a name (lower-case letters, digits, . _ -)", simpleName.MatchString},
	"package":     {"a package name", packageName.MatchString},
	"family":      {"a known family (" + strings.Join(Families(), ", ") + ")", func(s string) bool { return slices.Contains(Families(), s) }},
	"lsm":         {"a security module (" + strings.Join(lsms(), ", ") + ")", func(s string) bool { return slices.Contains(lsms(), s) }},
	"database":    {"the format of an rpm database (sqlite, ndb)", func(s string) bool { return s == "sqlite" || s == "ndb" }},
	"metadata":    {MetadataSigned + " or " + MetadataUnsigned, func(s string) bool { return s == MetadataSigned || s == MetadataUnsigned }},
	"folder":      {"the name of a folder (letters, digits, . _ -)", func(s string) bool { return simpleName.MatchString(strings.ToLower(s)) }},
	"fingerprint": {"the fingerprint of a key (40 hexadecimal digits, capitals)", fingerprint.MatchString},
	"url":         {"a URL (http, https or file)", isURL},
	"word":        {"one kernel argument, without blanks and quotes", func(s string) bool { return !strings.ContainsAny(s, " \t\n\"'\\$") }},
	"date":        {"a day such as 2028-06-30", isDate},
	"inside":      {"a path inside the folder of the flavor", filepath.IsLocal},
	"repository":  {"REGISTRY/NAME, such as registry.example.org/edge/site", isRepository},
	"path":        {"an absolute path", func(s string) bool { return path.IsAbs(s) && path.Clean(s) == s }},
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains([]string{"http", "https", "file"}, u.Scheme) && (u.Host != "" || u.Scheme == "file")
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func isRepository(s string) bool {
	host, _, ok := strings.Cut(s, "/")
	if _, err := name.NewRepository(s); err != nil {
		return false
	}
	return ok && strings.ContainsAny(host, ".:") || strings.HasPrefix(s, "localhost/")
}
