// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// Git is a repository that is to be checked out.
type Git struct {
	Origin Position
	// URL is https://…, http://…, ssh://…, git@HOST:PATH, file://… or an absolute
	// path.
	URL  Text
	Path Text // of the work tree, absolute
	// Branch is checked out as it is at the URL; default: the repository's own
	// default branch.
	Branch     Text
	BranchOnly bool // the other branches are not fetched
	Auth       GitAuth
}

// GitAuth is how the repository's server knows the node, and the node the server.
type GitAuth struct {
	Username, Password string
	PrivateKey         string // PEM or OpenSSH, without a passphrase
	// PublicKey is the key of the SSH server, as a line of a .pub file. It is
	// needed with PrivateKey unless Insecure is set.
	PublicKey string
	// Insecure accepts any key of the SSH server, or any certificate.
	Insecure bool
}

var gitFields = []field[Git]{
	{name: "url", decode: func(v value, g *Git) {
		set(v, &g.URL, func(v value) (Text, bool) { return v.checked(value.gitURL) })
	}},
	{name: "path", decode: func(v value, g *Git) { set(v, &g.Path, value.pathText) }},
	{name: "branch", decode: func(v value, g *Git) {
		set(v, &g.Branch, func(v value) (Text, bool) { return v.checked(value.branch) })
	}},
	{name: "branch_only", decode: func(v value, g *Git) { set(v, &g.BranchOnly, value.Boolean) }},
	{name: "auth", decode: func(v value, g *Git) { decodeMap(v, gitAuthFields, &g.Auth) }, secret: true},
}

var gitAuthFields = []field[GitAuth]{
	{name: "username", decode: func(v value, a *GitAuth) { set(v, &a.Username, value.NonEmpty) }},
	{name: "password", decode: func(v value, a *GitAuth) { set(v, &a.Password, value.NonEmpty) }, secret: true},
	{name: "private_key", decode: func(v value, a *GitAuth) { set(v, &a.PrivateKey, value.NonEmpty) }, secret: true},
	{name: "public_key", decode: func(v value, a *GitAuth) { set(v, &a.PublicKey, value.serverKey) }},
	{name: "insecure", decode: func(v value, a *GitAuth) { set(v, &a.Insecure, value.Boolean) }},
}

func decodeGit(v value, s *Step) {
	g := &Git{Origin: v.Position()}
	pairs := decodeMap(v, gitFields, g)
	if !v.requires(pairs, "url", "path") || g.URL.IsZero() || g.Path.IsZero() {
		return
	}
	v.writable(g.Path.Text)
	v.gitAuth(g)
	s.Git = g
}

// gitAuth checks the keys of auth against each other.
func (v value) gitAuth(g *Git) {
	a := g.Auth
	switch {
	case a.Password != "" && a.PrivateKey != "":
		v.Fail("a password and a private key: only one of them can be used", "keep one of them")
	case a.PrivateKey != "" && a.PublicKey == "" && !a.Insecure:
		v.Fail("the key of the SSH server is not known, so anybody could stand in its place", "add it as auth.public_key, or set auth.insecure")
	}
}

// scpLike is the short form of an SSH URL.
var scpLike = lazyregexp.New(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s:][^\s]*$`)

func (v value) gitURL() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if scpLike.MatchString(s) || strings.HasPrefix(s, "/") {
		return s, true
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Path == "":
	case u.User != nil && u.Scheme != "ssh":
		v.d.Secret(v.Node)
		v.Fail("a URL with a user name or password", "put them into auth")
		return "", false
	case u.Scheme == "file", (u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "ssh") && u.Hostname() != "":
		return s, true
	}
	v.Fail(fmt.Sprintf("%q is not the URL of a repository", strict.Printable(s)), "write it such as https://example.org/site.git")
	return "", false
}

// branchName is a part of what git-check-ref-format(1) allows.
var branchName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,200}$`)

func (v value) branch() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && (!branchName.MatchString(s) || strings.Contains(s, "..") || strings.HasSuffix(s, ".lock")) {
		v.Fail(fmt.Sprintf("%q is not the name of a branch", strict.Printable(s)), "")
		return "", false
	}
	return s, ok
}

// serverKey is an SSH public key.
func (v value) serverKey() (string, bool) {
	key, ok := v.sshKey()
	if ok && IsKeySource(key) {
		v.Fail("not an SSH public key", "give the whole line of a .pub file")
		return "", false
	}
	return key, ok
}
