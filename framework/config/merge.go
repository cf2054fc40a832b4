// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
)

// Merge joins configs in order. A later scalar wins. Users are joined by name, keys
// and groups are added. Written files, health checks and the steps of a stage follow
// each other. Keys without a user name belong to the main user of their own file
// already.
func Merge(configs ...*Config) *Config {
	out := &Config{Origins: map[string]Position{}, PasswordLogins: map[string]bool{}}
	for _, c := range configs {
		wins(&out.SSHForges.GitHub, c.SSHForges.GitHub)
		wins(&out.SSHForges.GitLab, c.SSHForges.GitLab)
	}
	var bases ForgeBases
	var nobodys []string
	for _, c := range configs {
		wins(&bases.GitHub, c.SSHForges.GitHub)
		wins(&bases.GitLab, c.SSHForges.GitLab)
		c = c.atHome(bases, out.SSHForges)
		wins(&out.Name, c.Name)
		wins(&out.Hostname, c.Hostname)
		wins(&out.FQDN, c.FQDN)
		wins(&out.PreferFQDN, c.PreferFQDN)
		wins(&out.PreserveHostname, c.PreserveHostname)
		wins(&out.ManageHosts, c.ManageHosts)
		for _, g := range c.Groups {
			out.addGroup(g)
		}
		out.addEnv(c.Env)
		out.CloudInitPaths = union(out.CloudInitPaths, c.CloudInitPaths)
		wins(&out.SSHPasswordAuth, c.SSHPasswordAuth)
		maps.Copy(out.PasswordLogins, c.PasswordLogins)
		nobodys = union(nobodys, c.SSHAuthorizedKeys)
		wins(&out.Distribution, c.Distribution)
		out.WriteFiles = append(out.WriteFiles, c.WriteFiles...)
		wins(&out.Health.Timeout, c.Health.Timeout)
		wins(&out.Health.Kubernetes, c.Health.Kubernetes)
		out.Health.Checks = append(out.Health.Checks, c.Health.Checks...)
		wins(&out.Upgrade.Tries, c.Upgrade.Tries)
		wins(&out.Upgrade.Channel, c.Upgrade.Channel)
		wins(&out.Upgrade.Repository, c.Upgrade.Repository)
		if !c.Upgrade.Window.IsZero() {
			out.Upgrade.Window = c.Upgrade.Window
		}
		out.Install.join(c.Install)
		if c.BindPCRs != nil {
			out.BindPCRs = c.BindPCRs
		}
		wins(&out.Strict, c.Strict)
		wins(&out.ConfigURL, c.ConfigURL)
		out.K3s.join(c.K3s)
		out.K3sAgent.join(c.K3sAgent)
		out.K0s.join(c.K0s)
		out.K0sWorker.join(c.K0sWorker)
		out.KubeVIP.join(c.KubeVIP)
		out.addStages(c.Stages)
		for _, u := range c.Users {
			out.addUser(u)
		}
		maps.Copy(out.Origins, c.Origins)
	}
	out.GiveKeys("", nobodys)
	out.resolveHostname()
	return out
}

func (c *Config) addStages(more map[string][]Step) {
	if c.Stages == nil && len(more) > 0 {
		c.Stages = map[string][]Step{}
	}
	for name, steps := range more {
		c.Stages[name] = append(c.Stages[name], steps...)
	}
}

func (c *Config) addUser(u User) {
	i := slices.IndexFunc(c.Users, func(have User) bool { return have.Name == u.Name })
	if i < 0 {
		c.Users = append(c.Users, u)
		return
	}
	have := &c.Users[i]
	if u.Password != "" {
		have.Password, have.PlainPassword = u.Password, u.PlainPassword
	}
	wins(&have.Origin, u.Origin)
	wins(&have.Gecos, u.Gecos)
	wins(&have.LockPassword, u.LockPassword)
	wins(&have.UID, u.UID)
	wins(&have.PrimaryGroup, u.PrimaryGroup)
	wins(&have.HomeDir, u.HomeDir)
	wins(&have.NoCreateHome, u.NoCreateHome)
	wins(&have.Shell, u.Shell)
	wins(&have.System, u.System)
	if u.Sudo != nil {
		have.Sudo = u.Sudo
	}
	have.Groups = union(have.Groups, u.Groups)
	have.SSHAuthorizedKeys = union(have.SSHAuthorizedKeys, u.SSHAuthorizedKeys)
}

// wins overwrites old with later, if later is set.
func wins[T comparable](old *T, later T) {
	var unset T
	if later != unset {
		*old = later
	}
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
