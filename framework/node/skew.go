// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// apiTime is how long the API may take to tell its version.
const apiTime = 10 * time.Second

// against returns what speaks against an image with a release of k3s or k0s, or without
// one, on this node: a control plane goes from one minor version to the next, and a
// kubelet is never newer than its API server. See
// https://kubernetes.io/releases/version-skew-policy/.
func (n *Node) against(ctx context.Context, c *config.Config, text string) []error {
	m, err := n.applied(c)
	if err != nil {
		return nil // no role runs with this image
	}
	have, err := n.usedBy(m)
	if err != nil {
		return []error{fmt.Errorf("%w: which Kubernetes the data of this node are of is not known: %w", upgrade.ErrUnfit, err)}
	}
	if text == "" {
		return []error{fmt.Errorf("%w: it has no Kubernetes, and this node is a member of a cluster (key %s, %s): build it with --%s %s", upgrade.ErrUnfit, m.Role, have, have.Distribution(), have.Channel())}
	}
	v, err := release.Parse(text)
	if err != nil {
		return []error{fmt.Errorf("%w: its Kubernetes: %w", upgrade.ErrUnfit, err)}
	}
	switch {
	case v.Distribution() != have.Distribution():
		err = fmt.Errorf("%w: it has %s %s, this node runs %s %s (key %s): the data of one are nothing to the other", upgrade.ErrUnfit, v.Distribution(), v, have.Distribution(), have, m.Role)
	case v.Minor() < have.Minor():
		err = fmt.Errorf("%w: its Kubernetes is %s, the node has %s: what a newer minor version has stored may not be readable", upgrade.ErrDowngrade, v, have)
	case v.Minor() > have.Minor()+1:
		err = fmt.Errorf("%w: its Kubernetes is %s, the node has %s: no minor version may be left out, upgrade to an image with v1.%d first", upgrade.ErrUnfit, v, have, have.Minor()+1)
	case v.Minor() > have.Minor() && !m.Server:
		err = n.newerThanAPI(ctx, m, v)
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// usedBy returns the release that used the data of a node last. It need not be that of
// the image: recovery, and a slot in the place of another one, may be much older.
func (n *Node) usedBy(m kubernetes.Member) (release.Version, error) {
	if !m.Server || m.External {
		return m.Version, nil
	}
	s, err := n.datastore(m)
	if err != nil {
		return m.Version, err
	}
	used, err := s.Used()
	if err != nil || used.Distribution() != m.Version.Distribution() {
		return m.Version, err
	}
	return used, nil
}

// newerThanAPI returns an error unless the API server has the minor version of v, or a
// newer one.
func (n *Node) newerThanAPI(ctx context.Context, m kubernetes.Member, v release.Version) error {
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	api, err := n.inCluster(m).APIVersion(ctx)
	if err == nil && !semver.IsValid(api) {
		err = fmt.Errorf("the API says that its version is %q", api)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: its Kubernetes is %s, the node has %s, and whether the servers have %s is not known: %w; servers are upgraded first", upgrade.ErrUnfit, v, m.Version, v.Channel(), err)
	case semver.Compare(v.Channel(), semver.MajorMinor(api)) > 0:
		return fmt.Errorf("%w: its Kubernetes is %s, that of the API server is %s: servers are upgraded first", upgrade.ErrUnfit, v, api)
	}
	return nil
}
