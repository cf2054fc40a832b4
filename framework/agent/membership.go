// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/jointoken"
	releases "github.com/kairos-build/kairos-build/framework/source/release"
)

// A membership is what a node can be in Kubernetes, as a person chooses it.
type membership struct {
	key   string // of the cloud-config; empty: the node runs no Kubernetes
	title string
	args  []string // that it always has
	// joins says that it needs the token of a cluster, and address that it needs the
	// address of a server, too: a token of k0s has it.
	joins, address bool
	checkToken     func(string) error
	tokenFrom      string // where a person finds the token
}

// memberships are what a node can be that has the Kubernetes of an image, with the one that
// nobody has to think about first. An image without Kubernetes has none.
func memberships(d releases.Distribution) []membership {
	none := membership{title: "no Kubernetes"}
	switch d {
	case releases.K3s:
		return []membership{
			none,
			{key: "k3s", title: "k3s server: the first of a cluster, also runs pods"},
			{key: "k3s-agent", title: "k3s agent: joins a server, runs pods", joins: true, address: true, checkToken: jointoken.CheckK3s, tokenFrom: "a server has it in /var/lib/rancher/k3s/server/token"},
		}
	case releases.K0s:
		return []membership{
			none,
			{key: "k0s", title: "k0s controller: the first of a cluster, also runs pods", args: []string{"--enable-worker", "--no-taints"}},
			{key: "k0s-worker", title: "k0s worker: joins a controller, runs pods", joins: true, checkToken: checkWorkerToken, tokenFrom: "`k0s token create --role=worker` on a controller prints it"},
		}
	}
	return nil
}

func checkWorkerToken(text string) error {
	t, err := jointoken.Parse(text)
	if err != nil {
		return err
	}
	return t.For(jointoken.Worker)
}

// check says what is wrong with the token of a cluster.
func (m membership) check(token string) error {
	if token == "" {
		return errors.New("a node joins with the token of its cluster: " + m.tokenFrom)
	}
	return m.checkToken(token)
}

// checkServer says what is wrong with the address of a server.
func checkServer(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("%q is no address of a server: write it such as https://192.0.2.10:6443", text)
	}
	return nil
}

// A roleAnswer is the value of the key of a membership.
type roleAnswer struct {
	Enabled bool              `yaml:"enabled"`
	Args    []string          `yaml:"args,omitempty"`
	Env     map[string]string `yaml:"env,omitempty"`
	Token   string            `yaml:"token,omitempty"`
}

// answer is the part of the config for a node that joins with a token at an address, if
// it joins.
func (m membership) answer(server, token string) map[string]roleAnswer {
	if m.key == "" {
		return nil
	}
	a := roleAnswer{Enabled: true, Args: m.args}
	switch {
	case m.address:
		a.Args, a.Env = append(a.Args, "--server="+server), map[string]string{"K3S_TOKEN": token}
	case m.joins:
		a.Token = token
	}
	return map[string]roleAnswer{m.key: a}
}
