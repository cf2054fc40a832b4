// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/reset"
)

// PlanReset is the reset of the node, with every reason against it.
func (n *Node) PlanReset(o reset.Options) (reset.Plan, error) {
	booted, err := status.ThisBoot(n.Root)
	if err != nil {
		return reset.Plan{}, err
	}
	return reset.New(booted, o)
}

// Reset carries a plan out, with the hooks of the config around it.
func (n *Node) Reset(ctx context.Context, plan reset.Plan) error {
	merged, _ := n.configNow()
	hooks := n.hooksOf("reset", merged)
	if err := hooks.Before(ctx); err != nil {
		return err
	}
	if err := n.runReset(ctx, plan); err != nil {
		return err
	}
	hooks.After(ctx)
	return nil
}

func (n *Node) runReset(ctx context.Context, plan reset.Plan) (err error) {
	if n.OpenStore == nil {
		return errors.New("slots are reset on a running node only")
	}
	booted, err := status.ThisBoot(n.Root)
	if err != nil {
		return err
	}
	s, err := n.OpenStore(booted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return plan.Run(ctx, reset.Installation{
		Disk: reset.Partitions(booted.Partitions), Store: s, Root: n.Root, Now: time.Now(), UUID: newUUID(), Log: n.Log,
	})
}

// newUUID is a random UUID, version 4.
func newUUID() (id [16]byte) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
