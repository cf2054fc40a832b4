// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"io/fs"
	"net/url"
	"strings"
)

// EnvMirror is the environment variable that names mirrors, in the same form
// as the flag, separated by blanks.
const EnvMirror = "KAIROS_BUILD_MIRROR"

// A Mirror is an address of an archive and the source of the choice.
type Mirror struct {
	URL  string
	From string // for messages: "--mirror", "the flavor's default", …
}

// Mirrors are the two archives of a Debian-style distribution.
type Mirrors struct{ Main, Security Mirror }

// MirrorOptions are the places where ChooseMirrors looks, in order. Each may
// be absent. Main and security are chosen independently of each other.
type MirrorOptions struct {
	// Flags and Env: "URL" for the main archive, "security=URL" for the other.
	Flags []string
	Env   string // the value of EnvMirror, or ""
	// Host is the root of the host's file system. Its apt configuration counts
	// if its os-release has ID=Distribution.
	Host         fs.FS
	Distribution string // "debian", "ubuntu"
	Default      Mirrors
}

// ChooseMirrors picks the first main and the first security mirror named by
// flag, environment, the host's apt configuration, and the flavor.
func ChooseMirrors(o MirrorOptions) (Mirrors, error) {
	flags, err := parseMirrors(o.Flags, "--mirror")
	if err != nil {
		return Mirrors{}, err
	}
	env, err := parseMirrors(strings.Fields(o.Env), "environment variable "+EnvMirror)
	if err != nil {
		return Mirrors{}, err
	}
	m := o.Default
	m.Main.From, m.Security.From = "the flavor's default", "the flavor's default"
	for _, better := range []Mirrors{hostMirrors(o.Host, o.Distribution), env, flags} {
		if better.Main.URL != "" {
			m.Main = better.Main
		}
		if better.Security.URL != "" {
			m.Security = better.Security
		}
	}
	return m, nil
}

func parseMirrors(values []string, from string) (Mirrors, error) {
	var m Mirrors
	for _, v := range values {
		to := &m.Main
		address, security := strings.CutPrefix(v, "security=")
		if security {
			to = &m.Security
		}
		if err := checkMirror(address); err != nil {
			return m, fmt.Errorf("%s: %w", from, err)
		}
		*to = Mirror{strings.TrimRight(address, "/"), from}
	}
	return m, nil
}

func checkMirror(address string) error {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" || err == nil && u.Scheme == "file" && u.Host == "" && u.Path != "" {
		return nil
	}
	return fmt.Errorf("%q is no mirror: want http://host/path, https://host/path or file:///path, or security= before it", address)
}
