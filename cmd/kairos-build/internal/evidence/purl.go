// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"fmt"
	"strings"
)

// A purl is a package URL, see the specification of package-url. All of its parts are
// plain text; String encodes them.
type purl struct {
	kind       string // deb, golang, …
	namespace  string // may have slashes
	name       string
	version    string
	qualifiers [][2]string // sorted by key
	subpath    string
}

func (p purl) String() string {
	var b strings.Builder
	b.WriteString("pkg:" + p.kind + "/")
	for part := range strings.SplitSeq(p.namespace, "/") {
		if part != "" {
			b.WriteString(percent(part) + "/")
		}
	}
	b.WriteString(percent(p.name))
	if p.version != "" {
		b.WriteString("@" + percent(p.version))
	}
	for i, q := range p.qualifiers {
		b.WriteString([]string{"?", "&"}[min(i, 1)] + q[0] + "=" + percent(q[1]))
	}
	if p.subpath != "" {
		b.WriteString("#" + p.subpath)
	}
	return b.String()
}

// percent encodes everything but letters, digits and ".-_~:", as the specification asks.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-_~:", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// modulePURL names a Go module. A path is lower case in a package URL of golang only if
// it is so in Go: two modules may differ in nothing else.
func modulePURL(path, version string) purl {
	p := purl{kind: "golang", name: path, version: version}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		p.namespace, p.name = path[:i], path[i+1:]
	}
	return p
}
