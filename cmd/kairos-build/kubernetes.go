// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// kubernetesFlags choose the Kubernetes of an image.
type kubernetesFlags struct {
	k3s, k0s string
	airgap   bool
}

func (k *kubernetesFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&k.k3s, "k3s", "", "add k3s: a `version` such as v1.34, v1.34.1, v1.34.1+k3s1, stable or latest")
	flags.StringVar(&k.k0s, "k0s", "", "add k0s: a `version` such as v1.34, v1.34.1, v1.34.1+k0s.0, stable or latest")
	flags.BoolVar(&k.airgap, "airgap", false, "with --k3s or --k0s: add the publisher's container images, for nodes without a registry")
}

// takeDefaults uses the Kubernetes of a flavor, unless flags choose one.
func (k *kubernetesFlags) takeDefaults(d flavors.Defaults) {
	if k.k3s != "" || k.k0s != "" {
		return
	}
	k.k3s, k.k0s, k.airgap = d.K3s, d.K0s, d.Airgap || k.airgap
}

// chosen is the distribution and its version, or nothing.
func (k *kubernetesFlags) chosen() (release.Distribution, string, error) {
	switch {
	case k.k3s != "" && k.k0s != "":
		return "", "", errors.New("--k3s and --k0s: an image has one Kubernetes; leave one of them out")
	case k.k3s != "":
		return release.K3s, k.k3s, nil
	case k.k0s != "":
		return release.K0s, k.k0s, nil
	case k.airgap:
		return "", "", errors.New("--airgap: there are no images to add without --k3s or --k0s")
	}
	return "", "", nil
}

// finder finds the release of the chosen Kubernetes. It is nil if none is chosen.
func (k *kubernetesFlags) finder(state string, flags, env mirrors, log *slog.Logger) (factory.Kubernetes, error) {
	d, wanted, err := k.chosen()
	if err == nil {
		err = flags.check(d)
	}
	if err != nil || d == "" {
		return nil, err
	}
	return finders(state, flags, env, log)(factory.WantedKubernetes{Distribution: d, Wanted: wanted, Airgap: k.airgap})
}

// all are the releases to lock: k3s and k0s may be in one lock.
func (k *kubernetesFlags) all() (list []factory.WantedKubernetes, err error) {
	for _, w := range []factory.WantedKubernetes{{Distribution: release.K3s, Wanted: k.k3s}, {Distribution: release.K0s, Wanted: k.k0s}} {
		if w.Wanted != "" {
			w.Airgap = k.airgap
			list = append(list, w)
		}
	}
	if k.airgap && len(list) == 0 {
		_, _, err = k.chosen()
	}
	return list, err
}

// finders returns a function that makes finders of releases.
func finders(state string, flags, env mirrors, log *slog.Logger) func(factory.WantedKubernetes) (factory.Kubernetes, error) {
	return func(w factory.WantedKubernetes) (factory.Kubernetes, error) {
		return kubernetes.New(kubernetes.Options{
			Distribution: w.Distribution, Wanted: w.Wanted, Airgap: w.Airgap,
			Mirror: cmp.Or(flags.kubernetes[w.Distribution], env.kubernetes[w.Distribution]),
			Cache:  filepath.Join(state, "kubernetes"), Log: log,
		})
	}
}

// mirrors are values of --mirror, or of the environment.
type mirrors struct {
	archive      []string // as archive.ChooseMirrors reads them
	repositories []string // ID=URL, of repositories of rpm packages
	kubernetes   map[release.Distribution]string
}

// sortMirrors tells mirrors of a Kubernetes (k3s=URL) from those of archives. The last
// of a kind counts.
func sortMirrors(values []string) mirrors {
	m := mirrors{kubernetes: map[release.Distribution]string{}}
	for _, value := range values {
		kind, address, _ := strings.Cut(value, "=")
		if d := release.Distribution(kind); slices.Contains(release.Distributions(), d) {
			m.kubernetes[d] = cmp.Or(address, value) // an empty address is refused, not ignored
			continue
		}
		if named := kind != value && !strings.Contains(kind, "/"); named && !slices.Contains([]string{"security", "snapshot", "security-snapshot"}, kind) {
			m.repositories = append(m.repositories, value)
			continue
		}
		m.archive = append(m.archive, value)
	}
	return m
}

// check refuses mirrors that would have no effect on an image with d.
func (m mirrors) check(d release.Distribution) error {
	for other := range m.kubernetes {
		if other != d {
			return fmt.Errorf("--mirror %s=URL: the image has no %s; add --%s, or leave the mirror out", other, other, other)
		}
	}
	return nil
}
