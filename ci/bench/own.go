// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// ownUnits are the framework's units that run before a node is ready.
var ownUnits = []string{"kairos-boot.service", "kairos-ready.service"}

const ownNote = "First boots as above, with a cloud-config that lets root in. The CPU time that systemd counted for `kairos-boot.service` and `kairos-ready.service`, " +
	"which are all that the framework runs between the switch to the root and the line `kairos: ready`. The health checks come after it."

// own measures the CPU time that the framework's own processes take on a node.
func (b *bench) own(ctx context.Context) ([]Result, error) {
	c, err := b.machine(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: "CPU time of the framework's own processes, from the switch of root to ready, in emulation", Unit: "s", Goal: 3, Note: ownNote}
	for range b.n {
		seconds, err := survived(b, "ours", func() (float64, error) { return b.ownOnce(ctx, c) })
		if err != nil {
			return nil, err
		}
		r.Ours = append(r.Ours, seconds)
	}
	return []Result{r}, nil
}

func (b *bench) ownOnce(ctx context.Context, c qemu.Config) (seconds float64, err error) {
	ctx, stop := context.WithTimeout(ctx, bootLimit)
	defer stop()
	key, err := qemu.NewKey()
	if err != nil {
		return 0, err
	}
	patch, err := lab.RootAccess(c.Disk, key)
	if err != nil {
		return 0, err
	}
	c.Patches = append(c.Patches, patch)
	vm, end, err := b.startVM(ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err := vm.WaitFor(ctx, readyLine); err != nil {
		return 0, err
	}
	client, err := vm.SSH(ctx, qemu.Login{User: "root", Signer: key.Signer()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	text, err := lab.Output(ctx, client, "", append([]string{"systemctl", "show", "--property=CPUUsageNSec", "--value"}, ownUnits...)...)
	if err != nil {
		return 0, err
	}
	return sumOfCPU(text)
}

// sumOfCPU returns the sum of the CPU times, in nanoseconds, that systemd printed for
// ownUnits.
func sumOfCPU(text string) (seconds float64, err error) {
	words := strings.Fields(text)
	if len(words) != len(ownUnits) {
		return 0, fmt.Errorf("systemd says %q of %v", text, ownUnits)
	}
	for _, word := range words {
		ns, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("CPU time of %v: %w", ownUnits, err)
		}
		seconds += float64(ns) / 1e9
	}
	return seconds, nil
}
