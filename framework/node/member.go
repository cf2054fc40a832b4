// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/node/cluster"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// member returns what a config makes of this node in its cluster.
func (n *Node) member(c *config.Config) (kubernetes.Member, error) {
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	if err != nil {
		return kubernetes.Member{}, err
	}
	return kubernetes.MemberOf(c, image)
}

// role is member for the config that was merged from files: a mistake in them may hide the
// role. A mistake hides nothing if no role is enabled and the last correct versions of the
// files enable none.
func (n *Node) role(c *config.Config, files []config.File) (kubernetes.Member, error) {
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	if err != nil {
		return kubernetes.Member{}, err
	}
	m, err := n.kubernetesMachine(nil).Member(c, files, image)
	if errors.Is(err, kubernetes.ErrLost) && kubernetes.Role(c) == "" && !n.hadRole(files) {
		return kubernetes.Member{}, kubernetes.ErrNoRole
	}
	return m, err
}

// hadRole tells whether the last correct version of a file with mistakes enables a role.
func (n *Node) hadRole(files []config.File) bool {
	return slices.ContainsFunc(files, func(f config.File) bool {
		if f.Whole() {
			return false
		}
		data, err := n.Root.Read(lastGoodDir + "/" + copyName(f.Name))
		if err != nil {
			return false
		}
		c, _ := config.Options{Compat: true}.Decode(f.Name, data)
		return c != nil && kubernetes.Role(c) != ""
	})
}

// applied is the role that runs in this boot; if none was started, that of the config.
func (n *Node) applied(c *config.Config) (kubernetes.Member, error) {
	m, err := kubernetes.Applied(n.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return n.member(c)
	}
	return m, err
}

// inCluster is this boot of the node, as its cluster is asked about it.
func (n *Node) inCluster(m kubernetes.Member) cluster.This {
	hostname, err := n.Root.Read("/proc/sys/kernel/hostname")
	n.warn("reading the host name", err)
	return cluster.This{Root: n.Root, Member: m, BootID: n.bootID(), Hostname: strings.TrimSpace(string(hostname))}
}

// prober makes attempts of checks. That of Kubernetes needs to know the node.
func (n *Node) prober(s standard) health.Prober {
	probe := n.Probe
	if probe == nil {
		probe = health.Probe
	}
	return func(ctx context.Context, check config.Check) error {
		if check.Kubernetes == "" {
			return probe(ctx, check)
		}
		m, err := n.role(s.config, s.files)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", err, health.ErrFinal)
		case check.Kubernetes == datastoreReady:
			return n.isPrepared()
		}
		return n.inCluster(m).Ready(ctx)
	}
}

// statusTime is how long the API may take to answer for the status, which a person waits
// for.
const statusTime = 2 * time.Second

// addKubernetes adds the node's part in a cluster to the status. What only root can read
// is named as hidden.
func (n *Node) addKubernetes(ctx context.Context, s *status.Status) {
	merged, loaded := n.configNow()
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return
	}
	if image.Version.Distribution() == "" && !kubernetes.Wanted(merged) {
		return
	}
	k := &status.Kubernetes{Distribution: string(image.Version.Distribution()), Version: image.Version.String(), Role: kubernetes.Role(merged)}
	s.Kubernetes = k
	if slices.ContainsFunc(loaded.Files, func(f config.File) bool { return errors.Is(f.Err, fs.ErrPermission) }) {
		k.Role, k.Hidden = "", true
		s.Hidden = append(s.Hidden, "kubernetes")
		return
	}
	m, err := n.role(merged, loaded.Files)
	if errors.Is(err, kubernetes.ErrNoRole) {
		return
	}
	if err == nil {
		err = n.whyNotReady(ctx, m)
		for _, problem := range []error{err, n.addDatastore(k, m)} {
			if errors.Is(problem, fs.ErrPermission) {
				s.Hidden = append(s.Hidden, "kubernetes")
				return
			}
		}
	}
	if k.Ready = err == nil; !k.Ready {
		k.NotReady = strings.ReplaceAll(err.Error(), "\n", "; ")
		s.Problems = append(s.Problems, cmp.Or(k.Role, k.Distribution, "Kubernetes")+" is not ready: "+k.NotReady)
	}
}

// whyNotReady asks first what became of the datastore: if that failed, the service was not
// started, and no API answers.
func (n *Node) whyNotReady(ctx context.Context, m kubernetes.Member) error {
	if m.Server {
		if err := n.isPrepared(); errors.Is(err, health.ErrFinal) {
			return err
		}
	}
	return n.askCluster(ctx, m)
}

func (n *Node) askCluster(ctx context.Context, m kubernetes.Member) error {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	return n.inCluster(m).Ready(ctx)
}

// addDatastore adds the copies of the datastore and the last restore.
func (n *Node) addDatastore(k *status.Kubernetes, m kubernetes.Member) error {
	if !m.Server {
		return nil
	}
	d, err := n.datastore(m)
	if err == nil {
		k.Copies, err = d.Copies()
	}
	if err == nil {
		k.Restored, err = d.Last()
	}
	n.warn("listing the copies of the datastore", err)
	return err
}
