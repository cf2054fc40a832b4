// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// withKubernetes is the recipe of debian-13 with a release.
func withKubernetes(t *testing.T, version string) Recipe {
	t.Helper()
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	v, err := release.Parse(version)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Resolve(flavor, Lock{Epoch: time.Unix(1700000000, 0), Kubernetes: v}, Options{Version: "v1.2.3", Kubernetes: v.Distribution()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// partInputs are testInputs and those of Kubernetes; content stands for its digest.
func partInputs(content string) Inputs {
	in := testInputs("1")
	in[InputKubernetes] = llb.OCILayout("kairos-build/kubernetes-" + content + "@sha256:" + strings.Repeat("0", 64))
	in[InputUsers] = llb.OCILayout("kairos-build/users@sha256:" + strings.Repeat("0", 64))
	return in
}

// TestGraphWithKubernetes compares the graphs with listings that a person can review.
func TestGraphWithKubernetes(t *testing.T) {
	for _, version := range []string{"v1.34.1+k3s1", "v1.34.1+k0s.0"} {
		r := withKubernetes(t, version)
		got := listing(t, marshal(t, r, partInputs("1")))
		golden.Check(t, filepath.Join("testdata", "debian-13-"+string(r.Kubernetes.Distribution())+".golden"), string(got))
	}
}

// TestNewKubernetesRerunsItsCompletion changes Kubernetes alone: no other step runs
// again.
func TestNewKubernetesRerunsItsCompletion(t *testing.T) {
	for _, versions := range [][2]string{{"v1.34.1+k3s1", "v1.34.2+k3s1"}, {"v1.34.1+k0s.0", "v1.35.0+k0s.0"}} {
		before := steps(t, marshal(t, withKubernetes(t, versions[0]), partInputs("1")))
		after := steps(t, marshal(t, withKubernetes(t, versions[1]), partInputs("2")))
		var changed []string
		for digest, args := range after {
			if _, same := before[digest]; !same {
				changed = append(changed, args)
			}
		}
		if len(changed) != 1 || !strings.Contains(changed[0], " completion ") {
			t.Errorf("%s runs again: %q, want completion alone", versions[1], changed)
		}
	}
}

// TestPartsChangeNothingBelow: k3s adds layers, and leaves those of an image without it
// as they are.
func TestPartsChangeNothingBelow(t *testing.T) {
	plain, with := resolve(t, "debian-13").Layers, withKubernetes(t, "v1.34.1+k3s1").Layers
	last := len(plain) - 1
	if diff := cmp.Diff(plain[:last], with[:last]); diff != "" {
		t.Errorf("other layers (-without +with):\n%s", diff)
	}
	var names []string
	for _, l := range with[last:] {
		names = append(names, l.Name)
	}
	if want := []string{"completion", "kubernetes", "image"}; !slices.Equal(names, want) {
		t.Errorf("got the layers %v, want %v", names, want)
	}
	if again := resolve(t, "debian-13").Layers; cmp.Diff(plain, again) != "" {
		t.Error("the layers of an image without Kubernetes changed")
	}
}

// TestReleaseNamesTheKubernetes: with Kubernetes, Kairos calls the variant standard.
func TestReleaseNamesTheKubernetes(t *testing.T) {
	r := withKubernetes(t, "v1.34.1+k3s1")
	for _, want := range []string{
		`KAIROS_VARIANT="standard"`, `KAIROS_NAME="kairos-standard-debian-13"`, `KAIROS_ID_LIKE="kairos-standard-debian-13"`,
		`KAIROS_SOFTWARE_VERSION="v1.34.1+k3s1"`, `KAIROS_SOFTWARE_VERSION_PREFIX="k3s"`,
	} {
		key, _, _ := strings.Cut(want, "=")
		if got := lineWith(r.Release(), key+"="); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := r.Labels()[layout.LabelKubernetes]; got != "v1.34.1+k3s1" {
		t.Errorf("the label says %q", got)
	}
	plain := resolve(t, "debian-13")
	if text := plain.Release(); strings.Contains(text, "SOFTWARE") || !strings.Contains(text, "KAIROS_VARIANT=\"core\"\n") || plain.Labels()[layout.LabelKubernetes] != "" {
		t.Errorf("without Kubernetes:\n%s", text)
	}
}

// TestLockOfAnotherKubernetes: the lock and the options are about the same one.
func TestLockOfAnotherKubernetes(t *testing.T) {
	r := withKubernetes(t, "v1.34.1+k3s1")
	for _, d := range []release.Distribution{"", release.K0s} {
		o := r.Options
		o.Kubernetes = d
		if _, err := Resolve(r.Flavor, r.Lock, o); err == nil || !strings.Contains(err.Error(), `"v1.34.1+k3s1" of the lock is not the`) {
			t.Errorf("%q: got %v", d, err)
		}
	}
}
