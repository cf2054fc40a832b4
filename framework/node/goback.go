// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/datastore"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// datastoreBoot says why the release of the image runs in this boot.
func (n *Node) datastoreBoot() datastore.Boot {
	b, err := n.thisBoot()
	for i := 1; b != nil && err != nil && n.OpenStore != nil && i < updateTries; i++ {
		time.Sleep(updatePause)
		b, err = n.thisBoot()
	}
	if b == nil || err != nil {
		return datastore.Boot{NoRestore: fmt.Sprintf("why this image runs is not known: %v", err)}
	}
	return datastoreBootOf(b.state, b.boot)
}

func datastoreBootOf(s slot.State, b settle.Boot) datastore.Boot {
	d := datastore.Boot{Slot: string(b.Slot)}
	switch situation := settle.Judge(s, b); {
	case b.Mode == layout.ModeRecovery, b.Mode == layout.ModeLive:
		d.NoRestore = fmt.Sprintf("this is %s; start slot %s, the good one", b.Mode, s.Good)
	case situation == settle.Stuck:
		d.NoRestore = fmt.Sprintf("slot %s runs in the place of slot %s, which did not come up; restart into slot %s, or upgrade to an image with its Kubernetes", b.Slot, s.Good, s.Good)
	case situation == settle.Elsewhere:
		d.NoRestore = fmt.Sprintf("slot %s runs, and slot %s is the good one; restart into slot %s, or go back for good with `kairos-agent rollback --force`", b.Slot, s.Good, s.Good)
	case situation == settle.OnTrial:
		d.Asked = true // an older image is on trial only if a person forced it
	default:
		d.Good = b.Slot == s.Good
	}
	return d
}

// proveDatastore records that the release in this slot is good with the datastore.
func (n *Node) proveDatastore() error {
	s, err := n.ownDatastore()
	if err != nil || s == nil {
		return err
	}
	return s.Prove()
}

// ownDatastore is the datastore of this node, or nil if it has none.
func (n *Node) ownDatastore() (*datastore.Store, error) {
	merged, _ := n.configNow()
	m, err := n.applied(merged)
	if errors.Is(err, kubernetes.ErrNoRole) || err == nil && (!m.Server || m.External) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := n.datastore(m)
	return &s, err
}

// ErrDataLoss says that going back may cost what a cluster was told.
var ErrDataLoss = errors.New("going back may lose data of the cluster")

// mayLose says what the datastore may lose when a slot starts; empty: nothing.
func (n *Node) mayLose(to layout.Slot) (string, error) {
	s, err := n.ownDatastore()
	if err != nil || s == nil {
		return "", err
	}
	c, err := s.Foresee(string(to))
	if c == nil || err != nil {
		return "", err
	}
	if c.Members > 1 {
		return fmt.Sprintf("%s in slot %s may not be able to read the datastore, and its etcd has other members: then Kubernetes is not started there", c.Release, to), nil
	}
	return fmt.Sprintf("if the Kubernetes in slot %s cannot read the datastore, the copy of %s is put back, which %s left: what the cluster was told since is lost to it", to, c.Time.Format(time.RFC3339), c.Release), nil
}

// checkLoss returns what going back may cost the datastore. With an old slot that is put
// on trial, and without force, that is an error. When a trial is given up, only the trial
// is lost.
func (n *Node) checkLoss(s slot.State, force bool) (string, error) {
	to := slot.Other(s.Good)
	if s.Try != "" {
		to = s.Good
	}
	loss, err := n.mayLose(to)
	switch {
	case force && err != nil, s.Try != "" && err != nil:
		n.warn("asking what going back may cost the datastore", err)
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%w: whether is not known: %w; give --force to go back nevertheless", ErrDataLoss, err)
	case loss != "" && s.Try == "" && !force:
		return "", fmt.Errorf("%w: %s; give --force to go back nevertheless", ErrDataLoss, loss)
	}
	return loss, nil
}
