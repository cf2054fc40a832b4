// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/recipes"
)

// TestDependencies: a source of the graph that is no input, or has no digest, is refused, and
// a step with a network is noticed.
func TestDependencies(t *testing.T) {
	const known, base = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	b := &build{origins: origins{inputs: []evidence.Resource{evidence.Named("input base", known)}, base: &recipes.BaseImage{Digest: base}}}
	stored := func(digest string) llb.State { return llb.OCILayout("inputs/x@"+digest, llb.OCIStore("", "s")) }
	run := func(in llb.State, mode llb.RunOption) llb.State { return in.Run(llb.Args([]string{"/x"}), mode).Root() }
	for name, tt := range map[string]struct {
		state    llb.State
		hermetic bool
		want     string // of the error
	}{
		"an input":     {run(stored(known), llb.Network(llb.NetModeNone)), true, ""},
		"a base":       {run(stored(base), llb.Network(llb.NetModeNone)), true, ""},
		"a network":    {run(stored(known), llb.Network(llb.NetModeSandbox)), false, ""},
		"another blob": {stored("sha256:" + strings.Repeat("3", 64)), false, "which is none of the inputs"},
		"a tag":        {llb.Image("registry.example.org/edge/debian:v1"), false, "which is none of the inputs"},
	} {
		definition, err := tt.state.Marshal(t.Context(), llb.LinuxAmd64)
		if err != nil {
			t.Fatal(err)
		}
		hermetic, err := b.check(definition)
		switch {
		case tt.want == "" && (err != nil || hermetic != tt.hermetic):
			t.Errorf("%s: got %v, %v", name, hermetic, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
