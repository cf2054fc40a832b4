// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpgrades(t *testing.T) {
	const standard, core = "13-standard-amd64-generic-", "13-core-amd64-generic-"
	registry := []string{
		"latest", "sha256-0123.sig",
		standard + "v1.10.0-k3s-v1.34.2-k3s1",
		standard + "v1.2.0-k3s-v1.34.1-k3s1",
		standard + "v1.2.0-k3s-v1.34.1-k3s2",
		standard + "v1.2.0-k3s-v1.34.1-k3s10",
		standard + "v1.2.0-k3s-v1.35.0-rc1-k3s1",
		standard + "v1.2.0-k3s-v1.33.9-k3s1",
		standard + "v1.1.0-k3s-v1.34.1-k3s1",
		standard + "v1.3.0-k3s-v1.34.1-k3s1",
		standard + "v1.3.0-k3s-v1.33.9-k3s1", // its Kubernetes is older
		standard + "v1.3.0-rc.1-k3s-v1.34.1-k3s1",
		standard + "v1.3.0-k3s-v1.34.1-k3s1", // again
		standard + "v1.3.0-k0s-v1.34.1-k0s.0",
		"12-standard-amd64-generic-v1.3.0-k3s-v1.34.1-k3s1",
		"13-standard-arm64-generic-v1.3.0-k3s-v1.34.1-k3s1",
		"13-standard-amd64-rpi4-v1.3.0-k3s-v1.34.1-k3s1",
		core + "v1.3.0-k3s-v1.34.1-k3s1",
		core + "v1.1.0", core + "v1.2.0", core + "v1.2.0-rc.1", core + "v1.3.0",
	}
	for _, tt := range []struct {
		name, have string
		choice     Choice
		want       []string
	}{
		{"newer", standard + "v1.2.0-k3s-v1.34.1-k3s1", Choice{}, []string{
			standard + "v1.10.0-k3s-v1.34.2-k3s1", standard + "v1.3.0-k3s-v1.34.1-k3s1",
			standard + "v1.2.0-k3s-v1.34.1-k3s10", standard + "v1.2.0-k3s-v1.34.1-k3s2",
		}},
		{"pre-releases", standard + "v1.2.0-k3s-v1.34.1-k3s2", Choice{Pre: true}, []string{
			standard + "v1.10.0-k3s-v1.34.2-k3s1",
			standard + "v1.2.0-k3s-v1.35.0-rc1-k3s1", standard + "v1.2.0-k3s-v1.34.1-k3s10",
		}},
		{"all", standard + "v1.10.0-k3s-v1.34.2-k3s1", Choice{All: true}, []string{
			standard + "v1.10.0-k3s-v1.34.2-k3s1", standard + "v1.3.0-k3s-v1.34.1-k3s1", standard + "v1.3.0-k3s-v1.33.9-k3s1",
			standard + "v1.2.0-k3s-v1.34.1-k3s10", standard + "v1.2.0-k3s-v1.34.1-k3s2", standard + "v1.2.0-k3s-v1.34.1-k3s1", standard + "v1.2.0-k3s-v1.33.9-k3s1",
			standard + "v1.1.0-k3s-v1.34.1-k3s1",
		}},
		{"the newest", standard + "v1.10.0-k3s-v1.34.2-k3s1", Choice{}, nil},
		{"without Kubernetes", core + "v1.2.0", Choice{}, []string{core + "v1.3.0"}},
		{"from a pre-release", core + "v1.2.0-rc.1", Choice{}, []string{core + "v1.3.0", core + "v1.2.0"}},
		{"all, without Kubernetes", core + "v1.2.0", Choice{All: true, Pre: true}, []string{core + "v1.3.0", core + "v1.2.0", core + "v1.2.0-rc.1", core + "v1.1.0"}},
		{"of a node that no tag fits", "14-core-amd64-generic-v1.0.0", Choice{All: true, Pre: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			have, err := ParseTag(tt.have)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, image := range Upgrades(registry, have, tt.choice) {
				got = append(got, image.Tag())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
