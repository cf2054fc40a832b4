// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// aptProxyLine is the flat syntax of apt.conf(5); the nested syntax is not read.
var aptProxyLine = regexp.MustCompile(`(?mi)^\s*Acquire::https?::Proxy\s+"([^"]*)"\s*;`)

// AptProxy returns the proxy that the host's apt configuration names with
// Acquire::http::Proxy, or nil. The last line counts, as with apt.
func AptProxy(host fs.FS) *url.URL {
	const dir = "etc/apt/apt.conf.d"
	var text strings.Builder
	parts, err := fs.ReadDir(host, dir)
	if err != nil {
		parts = nil // no such folder: only apt.conf counts
	}
	for _, p := range parts {
		text.WriteString(readText(host, path.Join(dir, p.Name())) + "\n")
	}
	text.WriteString(readText(host, "etc/apt/apt.conf"))
	var proxy *url.URL
	for _, m := range aptProxyLine.FindAllStringSubmatch(text.String(), -1) {
		if u, err := url.Parse(m[1]); err == nil && u.Host != "" {
			proxy = u
		}
	}
	return proxy
}
