// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// toolImage has one file.
func toolImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := testimage.Image([]testimage.Entry{testimage.File("bin/tool", "a tool\n")})
	if err == nil {
		image, err = testimage.For(image, "amd64")
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestConfigImages: an image of a config goes by the policy before anything is written.
func TestConfigImages(t *testing.T) {
	s := newSigners(t, "k", "stranger")
	n := newDisked(t, imageWith(t, "v1.0.0", ""))
	image := toolImage(t)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	unsigned, signed := n.push("unsigned", image), ""
	pinned := strings.TrimSuffix(unsigned, ":unsigned") + "@" + digest.String()
	trusts := s.policy(t, "k") + "require: [{type: tested}]\nmax_age: 1d\n" // which are about images that boot
	for _, tt := range []struct {
		name, policy, source, more, refusal, remark string
	}{
		{"no policy", "", unsigned, "", "", remarkNoPolicy},
		{"unsigned", trusts, unsigned, "", "the image is not signed", ""},
		{"unsigned, and wanted nevertheless", trusts, unsigned, ", insecure_skip_verify: true", "", remarkUnverified},
		{"unsigned, and named by its digest", trusts, pinned, "", "", remarkPinned},
		{"a policy that trusts nobody", "format: 1\nkeys: []\n", unsigned, "", "lists no keys and no identities", ""},
		{"a policy with a mistake", "format: 1\nkyes: []\n", unsigned, "", `kyes: unknown key`, ""},
		{"signed by a stranger", s.policy(t, "stranger"), "signed", "", notTrusted, ""},
		{"signed", trusts, "signed", "", "", `signed by key "k"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.source == "signed" {
				if signed == "" {
					signed = n.push("signed", image, s["k"])
				}
				tt.source = signed
			}
			target := "/usr/local/" + strings.NewReplacer(" ", "-", ",", "").Replace(tt.name)
			put(t, n.Root.Dir, layout.ImagePolicy, tt.policy)
			if tt.policy == "" {
				if err := os.Remove(filepath.Join(n.Root.Dir, layout.ImagePolicy)); err != nil {
					t.Fatal(err)
				}
			}
			put(t, n.Root.Dir, "oem/90.yaml", fmt.Sprintf("#cloud-config\nstages:\n  network:\n    - unpack_images: [{source: %q, target: %s%s}]\n", tt.source, target, tt.more))
			reports, err := n.RunStage(t.Context(), "network")
			if err != nil || len(reports) != 1 || len(reports[0].Steps) != 1 || len(reports[0].Steps[0].Items) != 1 {
				t.Fatalf("got %+v, %v", reports, err)
			}
			item := reports[0].Steps[0].Items[0]
			if want := tt.refusal + tt.remark; !strings.Contains(item.Message, want) || (tt.refusal != "") != (item.Outcome == "failed") {
				t.Errorf("got %+v, want %q", item, want)
			}
			_, err = os.Stat(filepath.Join(n.Root.Dir, target))
			if (tt.refusal != "") != os.IsNotExist(err) {
				t.Errorf("refused %v, and the target: %v", tt.refusal != "", err)
			}
			problems := strings.Join(n.Status(t.Context()).Problems, "\n")
			if want := tt.remark == remarkUnverified; strings.Contains(problems, remarkUnverified) != want {
				t.Errorf("loud: must be %v: %s", want, problems)
			}
		})
	}
}
