// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"strings"
)

// adopt takes over the variables of the config (the key env): commands that run
// from now on have them. Those that name a proxy are this process's own too, where
// it has none, since sudo and systemd hand none down: registries, downloads, git
// and the keys of forges are reached through it.
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

// proxies are the variables, NAME=VALUE, by which curl(1) and Go's HTTP client find a
// proxy, without those that the process has in either spelling.
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
