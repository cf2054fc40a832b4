// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"maps"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
)

const (
	runDir  = "/run/kairos/kubernetes"
	envFile = runDir + "/env"
	// unitDir holds drop-ins of this boot.
	unitDir    = "/run/systemd/system"
	dropInName = "50-kairos.conf"
)

// dropIn adds the drop-in of a unit. It starts after the config and what it mounts:
// After= lets kairos-kubernetes.service end the containers at a shutdown, when the unit
// has stopped. mounts are paths that must be mounted; line is the command line, or nil
// for that of the image. Machine.Files runs behind the mounts.
func (p *Plan) dropIn(unit string, mounts, line []string) {
	text := head + "[Unit]\nAfter=kairos-kubernetes.service network-online.target\nWants=network-online.target\n"
	if p.isServer() {
		text += "Requires=" + DatastoreUnit + "\nAfter=" + DatastoreUnit + "\n"
	}
	text += "RequiresMountsFor=" + words(mounts) + "\n\n[Service]\nEnvironmentFile=-" + envFile + "\nExecStartPre=/usr/bin/kairos-agent kubernetes --files\n"
	if line != nil {
		text += "ExecStart=\nExecStart=" + commandLine(line) + "\n"
	}
	p.Files = append(p.Files, File{unitDir + "/" + unit + ".d/" + dropInName, []byte(text), 0o644, true})
}

// DatastoreUnit prepares the datastore of a control plane. The service is not started if
// it fails.
const DatastoreUnit = "kairos-kubernetes-datastore.service"

// isServer tells whether the role has a control plane.
func (p *Plan) isServer() bool { return p.Role == config.K3s || p.Role == config.K0s }

// datastore adds the drop-in of DatastoreUnit, which needs the disk that holds the data.
func (p *Plan) datastore() {
	if p.isServer() {
		text := head + "[Unit]\nRequiresMountsFor=" + words([]string{p.data}) + "\n"
		p.Files = append(p.Files, File{unitDir + "/" + DatastoreUnit + ".d/" + dropInName, []byte(text), 0o644, false})
	}
}

// commandLine quotes words for ExecStart=, as systemd.service(5) and systemd.unit(5)
// say: $ is doubled, and so is %.
func commandLine(line []string) string { return strings.ReplaceAll(words(line), "$", "$$") }

// words quotes a list of words for a unit, see systemd.syntax(7).
func words(list []string) string {
	quoted := make([]string, len(list))
	for i, word := range list {
		word = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(word)
		if word == "" || strings.ContainsAny(word, " \t\"'\\;") {
			word = `"` + word + `"`
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}

// env adds the file of variables: the proxy that the config has for the whole node,
// unless replace_env says no, and the variables of the role.
func (p *Plan) env(c *config.Config, r role) {
	k := r.of(c)
	var lines []string
	for _, variable := range c.Env {
		name, value, _ := strings.Cut(variable, "=")
		given := slices.ContainsFunc(k.Env, func(s config.Setting) bool { return strings.EqualFold(s.Name, name) })
		if isProxy(name) && !given && (k.ReplaceEnv == nil || !*k.ReplaceEnv) {
			lines = append(lines, envLine(name, value))
		}
	}
	for _, s := range k.Env {
		lines = append(lines, envLine(s.Name, s.Value.Text))
	}
	if lines != nil {
		p.secret(envFile, []byte(head+strings.Join(lines, "")), true)
	}
}

func isProxy(name string) bool {
	return slices.Contains([]string{"http_proxy", "https_proxy", "no_proxy"}, strings.ToLower(name))
}

// envLine is a line of a file for EnvironmentFile=, see systemd.exec(5).
func envLine(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value) + "\"\n"
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
