// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/jointoken"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Check returns what is wrong with the roles of a config, beside what the decoder
// finds. image is nil if the image of the node is not known. A role with an error is
// not started.
func Check(c *config.Config, image *Image) config.Problems {
	on := enabled(c)
	problems := conflicts(c, on)
	for _, r := range on {
		problems = append(problems, r.check(c, image)...)
	}
	problems = append(problems, checkHealth(c, on, image)...)
	return append(problems, checkKubeVIP(c, on)...).Sorted()
}

// noRole says that nothing of Kubernetes is enabled.
const noRole = "the config enables no k3s or k0s"

// checkHealth finds a health check of Kubernetes on a node that has none. If the image is
// not known, nor is it known whether another file of the node enables a role.
func checkHealth(c *config.Config, on []role, image *Image) config.Problems {
	at := c.Health.Kubernetes
	if at.Text == "" || len(on) > 0 {
		return nil
	}
	p := config.Problem{Position: at.Origin, Path: at.Path, Message: noRole, Suggestion: "enable a role, such as k3s, or remove the key", Severity: config.Error, Costs: []string{at.Path}}
	if image == nil {
		p.Severity, p.Costs = config.Warning, nil
	}
	return config.Problems{p}
}

// conflicts are roles that a node cannot have together.
func conflicts(c *config.Config, on []role) (problems config.Problems) {
	for i, r := range on {
		if len(on) < 2 {
			break
		}
		other := on[(i+1)%len(on)]
		message := fmt.Sprintf("%s is enabled too (%s): a node has one role in a cluster", other.key, other.of(c).Origin)
		if r.distribution != other.distribution {
			message = fmt.Sprintf("%s is enabled too (%s): a node runs either k3s or k0s", other.key, other.of(c).Origin)
		}
		problems = append(problems, r.problem(r.at(c, "enabled"), message, "disable one of them"))
	}
	return problems
}

// at is the place of a key of the role.
func (r role) at(c *config.Config, key string) config.Text {
	at := config.Text{Origin: c.Origins[r.key+"."+key], Path: r.key + "." + key}
	if key == "enabled" {
		at.Origin = r.of(c).Origin
	}
	return at
}

func (r role) check(c *config.Config, image *Image) (problems config.Problems) {
	if image != nil && image.Version.Distribution() != r.distribution {
		return config.Problems{r.problem(r.at(c, "enabled"), r.lacking(*image), "")}
	}
	args, problems := r.arguments(c, image)
	if k := r.of(c); r.distribution == release.K0s && k.EmbeddedRegistry != nil && *k.EmbeddedRegistry {
		problems = append(problems, r.problem(r.at(c, "embedded_registry"), "k0s has no embedded registry", "remove the key"))
	}
	problems = append(problems, r.checkRegistries(c, args, image)...)
	problems = append(problems, r.checkTokens(c, args)...)
	return append(problems, r.checkJoin(c, args)...)
}

// lacking says what the image does not have.
func (r role) lacking(image Image) string {
	if have := image.Version; have.Distribution() != "" {
		return fmt.Sprintf("this image has %s %s and not %s: enable a role of %s, or build the image with --%s VERSION", have.Distribution(), have, r.distribution, have.Distribution(), r.distribution)
	}
	return fmt.Sprintf("this image has no Kubernetes: build it with --%s VERSION, such as kairos-build flavor debian-13 --%s v1.34", r.distribution, r.distribution)
}

// A secret is a token of the config and its place.
type secret struct {
	token string
	at    config.Text
}

// tokens are the join tokens of a role, wherever they are.
func (r role) tokens(c *config.Config, args []given) (found []secret) {
	k := r.of(c)
	if k.Token.Text != "" {
		found = append(found, secret{k.Token.Text, k.Token})
	}
	for _, g := range args {
		if g.name == "token" || g.name == "t" || g.name == "agent-token" {
			found = append(found, secret{g.value, g.at})
		}
	}
	for _, s := range k.Env {
		if slices.Contains([]string{"K3S_TOKEN", "K3S_AGENT_TOKEN", "K0S_TOKEN"}, s.Name) {
			found = append(found, secret{s.Value.Text, s.Value})
		}
	}
	return found
}

// checkTokens finds tokens of the other distribution, and of another role.
func (r role) checkTokens(c *config.Config, args []given) (problems config.Problems) {
	for _, s := range r.tokens(c, args) {
		if err := r.checkToken(s.token); err != nil {
			problems = append(problems, r.problem(s.at, err.Error(), ""))
		}
	}
	return problems
}

func (r role) checkToken(token string) error {
	if r.distribution == release.K3s {
		return jointoken.CheckK3s(token)
	}
	t, err := jointoken.Parse(token)
	if err != nil {
		return err
	}
	return t.For(jointoken.Role(r.command))
}

// checkJoin finds two tokens, and a role that knows no cluster to join.
func (r role) checkJoin(c *config.Config, args []given) (problems config.Problems) {
	k := r.of(c)
	file := has(args, "token-file")
	if _, err := r.joinToken(c); errors.Is(err, jointoken.ErrServer) {
		problems = append(problems, r.problem(k.Server, err.Error(), ""))
	}
	switch {
	case k.Token.Text != "" && file:
		problems = append(problems, r.problem(k.Token, "args has --token-file, too", "give the token once"))
	case k.Server.Text != "" && k.Token.Text == "":
		problems = append(problems, r.problem(k.Server, "there is no token that the address could be put into", "give the token as "+r.key+".token"))
	case r.key == config.K0s && isOn(args, "single") && (k.Token.Text != "" || file || r.hasEnv(c, "K0S_TOKEN")):
		problems = append(problems, r.problem(r.at(c, "enabled"), "args has --single, and such a controller joins no cluster", "remove --single, or the token"))
	case r.key == config.K0sWorker && k.Token.Text == "" && !file && !r.hasEnv(c, "K0S_TOKEN"):
		problems = append(problems, r.doubt(c, "there is no token: it joins no cluster, unless it did so before", "give it as k0s-worker.token"))
	case r.key == config.K3sAgent && !has(args, "server", "s") && !r.hasEnv(c, "K3S_URL"):
		problems = append(problems, r.doubt(c, "there is no server to join, unless a file below /etc/rancher/k3s names it", "add --server=https://HOST:6443 to args"))
	}
	return problems
}

func (r role) doubt(c *config.Config, message, suggestion string) config.Problem {
	return r.warning(r.at(c, "enabled"), message, suggestion)
}

// warning is a problem with which the role starts nevertheless.
func (r role) warning(at config.Text, message, suggestion string) config.Problem {
	p := r.problem(at, message, suggestion)
	p.Severity, p.Costs = config.Warning, nil
	return p
}

func has(args []given, names ...string) bool {
	return slices.ContainsFunc(args, func(g given) bool { return slices.Contains(names, g.name) })
}

func (r role) hasEnv(c *config.Config, name string) bool {
	return slices.ContainsFunc(r.of(c).Env, func(s config.Setting) bool { return s.Name == name })
}

// checkKubeVIP checks the shared address: only servers of k3s have one.
func checkKubeVIP(c *config.Config, on []role) config.Problems {
	vip := c.KubeVIP
	at := config.Text{Origin: vip.Origin, Path: "kubevip"}
	if !vip.On() || len(on) == 0 {
		return nil
	}
	r := on[0]
	switch {
	case r.distribution == release.K0s:
		return config.Problems{r.problem(at, "it is for k3s", "k0s has spec.network.controlPlaneLoadBalancing in /etc/k0s/k0s.yaml")}
	case r.key == config.K3s && vip.Address.Text == "":
		return config.Problems{r.problem(at, "there is no address that the servers could share", "give it as kubevip.eip")}
	case r.key == config.K3sAgent:
		return config.Problems{r.warning(at, "has no effect on an agent: kube-vip runs on the servers", "remove the key")}
	case vip.Image == "":
		return config.Problems{r.warning(at, "kube-vip does not run: there is no image of it", "give it as kubevip.image, such as registry.example/kube-vip/kube-vip")}
	}
	return nil
}

// joinToken is the token of a node of k0s, with the address of the key server.
func (r role) joinToken(c *config.Config) (string, error) {
	k := r.of(c)
	if k.Server.Text == "" || k.Token.Text == "" {
		return k.Token.Text, nil
	}
	t, err := jointoken.Parse(k.Token.Text)
	if err == nil {
		t, err = t.Rewrite(k.Server.Text)
	}
	return t.Text(), err
}
