// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// configNow reads the config of this boot. For a file with an error, its last correct
// version fills in, as in `kairos-agent boot`: a typo must not remove the checks that a
// slot on trial has to pass.
func (n *Node) configNow() (*config.Config, config.Loaded) {
	loaded := config.Load(os.DirFS(n.Root.Dir), layout.ConfigDirs())
	var used []*config.Config
	for _, f := range loaded.Files {
		mine, _ := n.usable(f)
		used = append(used, mine...)
	}
	merged := config.Merge(used...)
	n.adopt(merged.Env)
	return merged, loaded
}

// loadConfig returns the merged config of the node, as configNow does, and prints which
// parts of files are not used because of errors.
func (n *Node) loadConfig() *config.Config {
	merged, loaded := n.configNow()
	for _, f := range loaded.Files {
		if text := report.Unused(f); text != "" {
			fmt.Fprintln(n.Stderr, "kairos: "+text)
		}
	}
	return merged
}

// lastGoodDir keeps a copy of every config file that was correct.
const lastGoodDir = "/var/lib/kairos/last-good"

// lastGood merges the config files. It keeps a copy of each correct file on disk. A file
// with errors gets what recall returns of its copy, so that a typo locks nobody out.
// lastGood removes the copies of deleted files: the deletion was meant.
func (n *Node) lastGood(l config.Loaded) (*config.Config, []report.File) {
	var used []*config.Config
	var files []report.File
	keep := map[string]bool{}
	for _, f := range l.Files {
		keep[copyName(f.Name)] = true
		entry := report.File{Name: f.Name, Used: f.Used(), Problems: f.Problems}
		mine, fromCopy := n.usable(f)
		used, entry.LastGood = append(used, mine...), fromCopy
		if f.Whole() && f.OnDisk() {
			n.warn("keeping a copy of "+f.Name, n.keepCopy(f.Name))
		}
		files = append(files, entry)
	}
	n.warn("removing old copies of config files", n.forget(keep))
	return config.Merge(used...), files
}

// usable returns the usable config of a file. If errors in the file cost settings that
// recall knows, these come from the file's copy.
func (n *Node) usable(f config.File) (c []*config.Config, fromCopy bool) {
	if !f.Whole() {
		if kept := n.recall(f); kept != nil {
			c = append(c, kept)
		}
	}
	fromCopy = len(c) > 0
	if f.Used() {
		c = append(c, f.Config)
	}
	return c, fromCopy
}

func copyName(name string) string { return strings.ReplaceAll(strings.Trim(name, "/"), "/", "%") }

func (n *Node) keepCopy(name string) error {
	data, err := n.Root.Read(name)
	if err == nil {
		_, err = n.Root.Replace(lastGoodDir+"/"+copyName(name), tree.File{Data: data, Mode: 0o600})
	}
	return err
}

// loginKeys are the keys of a config that say who can log in.
var loginKeys = []string{"users", "user", "password", "chpasswd", "ssh_authorized_keys", "ssh_import_id", "ssh_pwauth", "ssh_forges", "stages"}

// recall returns parts of the copy of a file: the logins that keep a node reachable,
// also those in steps, and the keys health, upgrade and strict. Of a file that is used
// in part, it returns only what the file lacks. It returns nil if there is no copy or
// nothing is lacking.
func (n *Node) recall(f config.File) *config.Config {
	data, err := n.Root.Read(lastGoodDir + "/" + copyName(f.Name))
	if err != nil {
		return nil
	}
	c, problems := config.Options{Compat: true}.Decode(f.Name, data) // it was accepted once
	if problems.Refused() {
		return nil
	}
	lacks := func(keys ...string) bool { return !f.Used() || f.Lacks(keys...) }
	out := &config.Config{Origins: c.Origins, MainUser: c.MainUser, Distribution: c.Distribution}
	if lacks(loginKeys...) {
		out.Users, out.SSHAuthorizedKeys, out.SSHForges = c.Users, c.SSHAuthorizedKeys, c.SSHForges
		out.SSHPasswordAuth, out.PasswordLogins, out.Stages = c.SSHPasswordAuth, c.PasswordLogins, loginSteps(c.Stages)
	}
	if lacks("health") {
		out.Health = c.Health
	}
	if lacks("upgrade") {
		out.Upgrade = c.Upgrade
	}
	if lacks("strict") {
		out.Strict = c.Strict
	}
	if !lacks(append([]string{"health", "upgrade", "strict"}, loginKeys...)...) {
		return nil
	}
	return out
}

// loginSteps returns the steps that make users and give them keys, reduced to that.
// Their order stays, so they need no dependencies by name.
func loginSteps(all map[string][]config.Step) map[string][]config.Step {
	out := map[string][]config.Step{}
	for stage, steps := range all {
		for _, s := range steps {
			if len(s.Users)+len(s.AuthorizedKeys)+len(s.EnsureEntities) == 0 {
				continue
			}
			out[stage] = append(out[stage], config.Step{
				Name: s.Name, Origin: s.Origin, Path: s.Path, Title: s.Title,
				If: s.If, IfFiles: s.IfFiles, OnlyOS: s.OnlyOS, OnlyOSVersion: s.OnlyOSVersion, OnlyArch: s.OnlyArch,
				OnlyServiceManager: s.OnlyServiceManager, Node: s.Node,
				EnsureEntities: s.EnsureEntities, Users: s.Users, AuthorizedKeys: s.AuthorizedKeys,
			})
		}
	}
	return out
}

func (n *Node) forget(keep map[string]bool) error {
	entries, err := n.Root.List(lastGoodDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			_, removeErr := n.Root.Remove(lastGoodDir + "/" + e.Name())
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// adopt takes over the variables of the config (the key env): commands that run from
// now on get them. Variables that name a proxy are also set in this process, if it has
// none, since sudo and systemd pass none on: it reaches registries, downloads, git and
// the keys of forges through the proxy.
func (n *Node) adopt(env []string) {
	n.env = env
	if !n.Running() {
		return
	}
	for _, variable := range proxies(env, os.Getenv) {
		name, value, _ := strings.Cut(variable, "=")
		n.warn("taking over the proxy of the config", os.Setenv(name, value))
	}
}

// proxies returns the variables, NAME=VALUE, by which curl(1) and Go's HTTP client find
// a proxy, without those that the process has in lower or upper case.
func proxies(env []string, have func(name string) string) (found []string) {
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		lower, upper := strings.ToLower(name), strings.ToUpper(name)
		switch lower {
		case "http_proxy", "https_proxy", "no_proxy":
			if have(lower) == "" && have(upper) == "" {
				found = append(found, variable)
			}
		}
	}
	return found
}
