// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// aptEntry is one "deb" source of an apt configuration.
type aptEntry struct {
	file       string
	uris       []string
	suites     []string
	components []string
}

// hostMirrors reads the mirrors of a host that runs the distribution. It skips what it
// cannot read or parse: the host's configuration is a convenience, and apt reports
// its faults better.
func hostMirrors(host fs.FS, distribution string) Mirrors {
	var m Mirrors
	if host == nil {
		return m
	}
	release := osrelease.Of(func(name string) ([]byte, error) { return fs.ReadFile(host, name) })
	if release["ID"] != distribution {
		return m
	}
	for _, e := range aptEntries(host) {
		uri := e.mirror()
		if uri == "" || !slices.Contains(e.components, "main") {
			continue
		}
		from := Mirror{uri, "the host's apt configuration (" + "/" + e.file + ")"}
		if m.Main.URL == "" && e.serves(release["VERSION_CODENAME"]) {
			m.Main = from
		}
		if m.Security.URL == "" && e.servesSecurity(release["VERSION_CODENAME"]) {
			m.Security = from
		}
	}
	return m
}

// serves reports whether an entry is of the distribution's main archive. Archives of
// third parties name their suites differently.
func (e aptEntry) serves(codename string) bool {
	return slices.ContainsFunc(e.suites, func(s string) bool {
		return s == codename || slices.Contains([]string{"stable", "oldstable", "testing", "unstable", "sid"}, s)
	})
}

func (e aptEntry) servesSecurity(codename string) bool {
	return slices.ContainsFunc(e.suites, func(s string) bool {
		base, ok := strings.CutSuffix(s, "-security")
		return ok && (aptEntry{suites: []string{base}}).serves(codename)
	})
}

// mirror returns the first usable address, without trailing slashes, or empty.
func (e aptEntry) mirror() string {
	for _, u := range e.uris {
		if checkMirror(u) == nil {
			return strings.TrimRight(u, "/")
		}
	}
	return ""
}

// readText is the content of a file, or empty if it cannot be read.
func readText(host fs.FS, name string) string {
	raw, err := fs.ReadFile(host, name)
	if err != nil {
		return ""
	}
	return string(raw)
}

// aptEntries lists the host's entries in apt's order: sources.list, then the
// files of sources.list.d by name.
func aptEntries(host fs.FS) []aptEntry {
	const file, dir = "etc/apt/sources.list", "etc/apt/sources.list.d"
	out := parseOneLine(file, readText(host, file))
	parts, err := fs.ReadDir(host, dir)
	if err != nil {
		return out
	}
	for _, p := range parts {
		name := path.Join(dir, p.Name())
		switch path.Ext(name) {
		case ".list":
			out = append(out, parseOneLine(name, readText(host, name))...)
		case ".sources":
			out = append(out, parseSources(name, readText(host, name))...)
		}
	}
	return out
}

// parseOneLine reads sources.list(5)'s one-line style:
// "deb [option=value …] uri suite component…".
func parseOneLine(file, text string) []aptEntry {
	var out []aptEntry
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		if w := strings.Fields(rest); len(w) >= 2 {
			out = append(out, aptEntry{file: file, uris: w[:1], suites: w[1:2], components: w[2:]})
		}
	}
	return out
}

// parseSources reads the deb822 style.
func parseSources(file, text string) []aptEntry {
	stanzas, err := deb822.Parse(text)
	if err != nil {
		return nil
	}
	var out []aptEntry
	for _, s := range stanzas {
		if !slices.Contains(s.Words("Types"), "deb") || disabled(s.Get("Enabled")) {
			continue
		}
		out = append(out, aptEntry{file, s.Words("URIs"), s.Words("Suites"), s.Words("Components")})
	}
	return out
}

func disabled(v string) bool {
	return slices.Contains([]string{"no", "false", "without", "off", "disable"}, strings.ToLower(v))
}
