// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"strings"
)

// mirrors are the archives that all sides must use.
type mirrors struct{ main, security string }

// findMirrors returns the archives given, else those that the host's apt has, else
// Debian's own.
func findMirrors(ctx context.Context, mainURL, security string) (mirrors, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)").Output()
	if ctx.Err() != nil {
		return mirrors{}, ctx.Err()
	}
	if err != nil {
		out = nil // no apt: the defaults
	}
	m := parseMirrors(string(out))
	if mainURL != "" {
		m.main = mainURL
	}
	if security != "" {
		m.security = security
	}
	return m, nil
}

func parseMirrors(uris string) mirrors {
	m := mirrors{"http://ftp.debian.org/debian", "http://security.debian.org/debian-security"}
	for uri := range strings.Lines(uris) {
		uri = strings.TrimRight(strings.TrimSpace(uri), "/")
		switch {
		case strings.HasSuffix(uri, "/debian"):
			m.main = uri
		case strings.HasSuffix(uri, "/debian-security"):
			m.security = uri
		}
	}
	return m
}

// flags returns the archives as flags of kairos-build.
func (m mirrors) flags() []string {
	return []string{"--mirror", m.main, "--mirror", "security=" + m.security}
}

// sources returns the archives for apt, in the deb822 format of sources.list(5).
func (m mirrors) sources() string {
	var b strings.Builder
	for _, s := range [][2]string{{m.main, suite}, {m.main, suite + "-updates"}, {m.security, suite + "-security"}} {
		b.WriteString("Types: deb\nURIs: " + s[0] + "\nSuites: " + s[1] +
			"\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n")
	}
	return b.String()
}
