// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
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
	// Flags and Env: "URL" for the main archive, "security=URL" for the other. With
	// snapshot= and security-snapshot=, they name histories; see ChooseHistories.
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
	flags, _, err := parseMirrors(o.Flags, "--mirror")
	if err != nil {
		return Mirrors{}, err
	}
	env, _, err := parseMirrors(strings.Fields(o.Env), "environment variable "+EnvMirror)
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

// Histories are the histories of the two archives: folders with a folder for each time.
type Histories struct{ Main, Security string }

// ChooseHistories picks the first history of each archive that is named by flag,
// environment and flavor.
func ChooseHistories(flags []string, env string, flavor Histories) (Histories, error) {
	_, named, err := parseMirrors(flags, "--mirror")
	if err != nil {
		return Histories{}, err
	}
	_, ofEnv, err := parseMirrors(strings.Fields(env), "environment variable "+EnvMirror)
	return Histories{
		Main:     cmp.Or(named.Main, ofEnv.Main, flavor.Main),
		Security: cmp.Or(named.Security, ofEnv.Security, flavor.Security),
	}, err
}

func parseMirrors(values []string, from string) (m Mirrors, h Histories, err error) {
	for _, v := range values {
		kind, address, named := strings.Cut(v, "=")
		if !named || strings.Contains(kind, "/") {
			kind, address = "", v
		}
		if err := checkMirror(address); err != nil {
			return m, h, fmt.Errorf("%s: %w", from, err)
		}
		address = strings.TrimRight(address, "/")
		switch kind {
		case "":
			m.Main = Mirror{address, from}
		case "security":
			m.Security = Mirror{address, from}
		case "snapshot":
			h.Main = address
		case "security-snapshot":
			h.Security = address
		default:
			return m, h, fmt.Errorf("%s: %q: there is no archive %s=, only security=, snapshot= and security-snapshot=", from, v, kind)
		}
	}
	return m, h, nil
}

func checkMirror(address string) error {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" || err == nil && u.Scheme == "file" && u.Host == "" && u.Path != "" {
		return nil
	}
	return fmt.Errorf("%q is no mirror: want http://host/path, https://host/path or file:///path, or security=, snapshot= or security-snapshot= before it", address)
}
