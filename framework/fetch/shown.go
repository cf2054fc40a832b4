// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"errors"
	"net/url"

	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// Hidden stands for a part of a path that may be a secret.
const Hidden = "..."

// Shown returns a URL for messages and reports: without user, query and fragment,
// and with Hidden for tokens in its path. A text that is no URL is cut where a
// query or a fragment may begin, and loses a user before a host.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return shownText(address)
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	path := shownPath(u.Hostname(), u.EscapedPath())
	u.Path, u.RawPath = "", ""
	return u.String() + path
}

// shownText is Shown for a text that is not a URL with a host, such as
// git@git.example.org:site.git or a URL that does not parse.
func shownText(text string) string {
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i]
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	host, path, slash := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	if slash {
		path = "/" + path
	}
	return scheme + "://" + host + shownPath(host, path)
}

// token matches the usual forms of tokens, of forges and other services.
var token = lazyregexp.New(`^(gh[a-z]_|github_pat_|gl[a-z]{2,12}-|xox[a-z]-|hf_|npm_|dckr_pat_|pypi-|eyJ[A-Za-z0-9_-]{10}|bot[0-9]+:).+`)

// before are the parts of a path that a secret follows: private feeds, deploy
// tokens, webhooks.
var before = map[string]bool{
	"token": true, "tokens": true, "priv": true, "private": true, "secret": true, "secrets": true,
	"key": true, "apikey": true, "hooks": true, "webhooks": true,
}

// secretPaths are hosts of forges where a part of the path alone gives access to
// something that its owner did not list. The number says which part, from 0.
var secretPaths = map[string]int{"gist.github.com": 1, "gist.githubusercontent.com": 1}

func shownPath(host, path string) string {
	parts := strings.Split(path, "/")
	for i := 1; i < len(parts); i++ { // the first is empty
		at, ok := secretPaths[host]
		if parts[i] != "" && (token.MatchString(parts[i]) || before[parts[i-1]] || ok && i == at+1) {
			parts[i] = Hidden
		}
	}
	return strings.Join(parts, "/")
}

// Scrubbed returns err with another text: the URL of a client's request, if the
// text has it, is replaced by Shown. It is err in all other ways.
func Scrubbed(err error) error {
	outer, ok := errors.AsType[*url.Error](err)
	if !ok || outer.URL == "" || !strings.Contains(err.Error(), outer.URL) {
		return err
	}
	return &scrubbed{err, strings.ReplaceAll(err.Error(), outer.URL, Shown(outer.URL))}
}

type scrubbed struct {
	error
	text string
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.error }
