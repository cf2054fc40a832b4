// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// UpgradeTimeout limits one upgrade in an emulated guest.
const UpgradeTimeout = 20 * time.Minute

// upgraded is the part of `kairos-agent upgrade --json` that the tests check.
type upgraded struct {
	Slot     layout.Slot `json:"slot"`
	Version  string      `json:"version"`
	RootHash string      `json:"rootHash"`
	Verified bool        `json:"verified"`
	Trust    []string    `json:"trust"`
	Seconds  float64     `json:"seconds"`
}

// Upgrade upgrades the node, compares its report with the image, and returns a summary.
func (m *Machine) Upgrade(ctx context.Context, want slot.Choice, image v1.Image, ref string, flags ...string) (string, error) {
	ctx, cancel := qemu.WithTimeout(ctx, UpgradeTimeout)
	defer cancel()
	text, err := m.Guest.Output(ctx, append([]string{"kairos-agent", "upgrade", "--json", "--source", ref}, flags...)...)
	if err != nil {
		return "", err
	}
	var got upgraded
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return "", fmt.Errorf("reading the result of the upgrade: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return "", err
	}
	if hash := manifest.Annotations[layout.AnnotationRootHash]; got.RootHash != hash {
		return "", fmt.Errorf("the root hash on the node is %s, the builder's is %s", got.RootHash, hash)
	}
	if got.Slot != want.Slot {
		return "", fmt.Errorf("the upgrade wrote slot %s, must be %s", got.Slot, want.Slot)
	}
	if !got.Verified || len(got.Trust) == 0 {
		return "", fmt.Errorf("the upgrade says that nobody vouches for the image: %s", text)
	}
	return fmt.Sprintf("%s in %.0f s, %s", got.Version, got.Seconds, got.Trust[0]), nil
}
