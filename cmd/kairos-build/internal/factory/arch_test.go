// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
)

// TestProgramsByArchitecture: nodes get programs for their own processor, and the steps run one
// for the builder's, or the nodes' where there is none for the builder.
func TestProgramsByArchitecture(t *testing.T) {
	for _, tt := range []struct {
		name, builder, image string
		has, want            []string
	}{
		{"the same", "amd64", "amd64", []string{"amd64"}, []string{"amd64 init", "amd64 kairos-agent", "amd64 kairos-assemble"}},
		{"an image for another processor", "amd64", "arm64", []string{"amd64", "arm64"}, []string{"amd64 kairos-assemble", "arm64 init", "arm64 kairos-agent"}},
		{"a builder of another processor", "riscv64", "arm64", []string{"arm64"}, []string{"arm64 init", "arm64 kairos-agent", "arm64 kairos-assemble"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.builder.native, w.options.Arch, w.options.Artifacts = tt.builder, tt.image, []string{"image"}
			var got []string
			w.options.Program = func(arch, name string) ([]byte, error) {
				if !slices.Contains(tt.has, arch) {
					return nil, fmt.Errorf("%s: %w", arch, payload.ErrNotBuilt)
				}
				got = append(got, arch+" "+name)
				return []byte(arch + " program " + name), nil
			}
			if r, _ := w.build(t); r.Architecture != tt.image {
				t.Errorf("the image is for %s", r.Architecture)
			}
			slices.Sort(got)
			got = slices.Compact(got) // it is looked for before anything is downloaded, too
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
		})
	}
}
