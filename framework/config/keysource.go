// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// A list of SSH keys may hold key sources beside keys: github:NAME, gitlab:NAME, or
// the URL of a file in the form of authorized_keys. The node fetches them when it has
// a network; until then, it uses the last known keys.

// Forge is a site that publishes the SSH keys of its users.
type Forge struct {
	Prefix  string // of an entry, with the colon
	Short   string // of an entry of ssh_import_id, with the colon; or empty
	Default string // base address, without a slash at the end
}

// Forges are the known forges. The keys of NAME are at BASE/NAME.keys.
func Forges() []Forge {
	return []Forge{
		{"github:", "gh:", "https://github.com"},
		{"gitlab:", "gl:", "https://gitlab.com"},
	}
}

// ForgeBases are addresses that replace those of the forges, such as a mirror in a
// network without internet access. An empty one is the forge itself.
type ForgeBases struct{ GitHub, GitLab string }

// KeyAddress is the URL of an entry of a list of SSH keys; ok is false for an
// entry that is a key.
func (b ForgeBases) KeyAddress(entry string) (address string, ok bool) {
	for i, base := range []string{b.GitHub, b.GitLab} {
		f := Forges()[i]
		if name, found := strings.CutPrefix(entry, f.Prefix); found {
			return orDefault(base, f.Default) + "/" + url.PathEscape(name) + ".keys", true
		}
	}
	return entry, isURL(entry)
}

// IsKeySource tells whether an entry of a list of SSH keys is a source, not a key.
func IsKeySource(entry string) bool {
	_, ok := ForgeBases{}.KeyAddress(entry)
	return ok
}

// KeySources are the key sources of a config, once each: those of the top level, of
// the users, then of the steps, by the names of the stages.
func (c *Config) KeySources() []string {
	lists := [][]string{c.SSHAuthorizedKeys}
	for _, u := range c.Users {
		lists = append(lists, u.SSHAuthorizedKeys)
	}
	for _, stage := range slices.Sorted(maps.Keys(c.Stages)) {
		for _, s := range c.Stages[stage] {
			for _, u := range s.Users {
				lists = append(lists, u.SSHAuthorizedKeys)
			}
			for _, k := range s.AuthorizedKeys {
				lists = append(lists, k.Keys)
			}
		}
	}
	var out []string
	for _, entry := range slices.Concat(lists...) {
		if IsKeySource(entry) && !slices.Contains(out, entry) {
			out = append(out, entry)
		}
	}
	return out
}

func isURL(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") }

// forgeName is the name of a person or a group at a forge.
var forgeName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$`)

// keySource is an entry that is a key source. For any other, found is false and
// nothing is reported.
func (v value) keySource(s string) (source string, found, ok bool) {
	for _, f := range Forges() {
		if name, is := strings.CutPrefix(s, f.Prefix); is {
			return s, true, v.forgeName(f, name)
		}
	}
	if !isURL(s) {
		return "", false, false
	}
	if _, ok := v.httpURL(); !ok {
		return "", true, false
	}
	if strings.HasPrefix(s, "http://") {
		v.Report(Warning, "keys that come over http can be exchanged on the way: whoever does it can log in", "use https")
	}
	return s, true, true
}

func (v value) forgeName(f Forge, name string) bool {
	if forgeName.MatchString(name) {
		return true
	}
	v.Fail(fmt.Sprintf("%q cannot be a name at %s", strict.Printable(name), strings.TrimSuffix(f.Prefix, ":")), "write "+f.Prefix+"NAME")
	return false
}

// importIDs is a list in the form of cloud-init's ssh_import_id: gh:NAME, or lp:NAME
// and a bare NAME for Launchpad.
func (v value) importIDs() []string {
	var out []string
	for _, item := range v.list("names such as gh:NAME") {
		s, ok := item.NonEmpty()
		if !ok {
			continue
		}
		if source, ok := item.importID(s); ok {
			out = append(out, source)
		}
	}
	return out
}

func (v value) importID(s string) (string, bool) {
	for _, f := range Forges() {
		for _, prefix := range []string{f.Short, f.Prefix} {
			if name, is := strings.CutPrefix(s, prefix); is {
				return f.Prefix + name, v.forgeName(f, name)
			}
		}
	}
	if name, is := strings.CutPrefix(s, "lp:"); is || !strings.Contains(s, ":") {
		v.Later("SSH keys from Launchpad (" + strict.Printable(name) + ")")
		return "", false
	}
	v.Fail(fmt.Sprintf("%q is no name of a forge that we know", strict.Printable(s)), "write gh:NAME or gitlab:NAME")
	return "", false
}

func decodeImportIDs(v value, _ *Config) {
	v.d.cloud.keys = union(v.d.cloud.keys, v.importIDs())
}

func decodeUserImportIDs(v value, u *User) {
	u.SSHAuthorizedKeys = union(u.SSHAuthorizedKeys, v.importIDs())
}

var forgeFields = []field[ForgeBases]{
	{name: "github", about: "The address that takes the place of GitHub.", shape: urlShape, decode: func(v value, b *ForgeBases) { set(v, &b.GitHub, value.baseURL) }},
	{name: "gitlab", about: "The address that takes the place of GitLab.", shape: urlShape, decode: func(v value, b *ForgeBases) { set(v, &b.GitLab, value.baseURL) }},
}

// baseURL is a URL without a slash at the end.
func (v value) baseURL() (string, bool) {
	s, ok := v.httpURL()
	return strings.TrimRight(s, "/"), ok
}
