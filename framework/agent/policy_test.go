// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestPolicyVerbs: a policy is made, put into /oem, shown and checked. Each message says what
// to do.
func TestPolicyVerbs(t *testing.T) {
	signer, err := testimage.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := signer.PEM()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "release.pub")
	if err := os.WriteFile(key, pem, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := newNode(t)
	plain := call(t, dir, "", "policy", "new", "--plain", "--key", key, "--repository", "registry.example.org/edge/*", "--tested")
	typo := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(typo, []byte(strings.Replace(plain.stdout, "require:", "requires:", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, policy string
		args         []string
		code         int
		says         string
	}{
		{"a new one", "", []string{"new", "--key", key}, 0, "#cloud-config\nwrite_files:\n  - path: /etc/kairos/policy.yaml\n    permissions: \"0644\"\n    content: |\n      format: 1\n      keys:\n        - name: release.pub\n"},
		{"a new one for nobody", "", []string{"new"}, 2, "whose images are trusted? Give --key FILE"},
		{"a new one of no key", "", []string{"new", "--key", typo}, 1, "not a public key"},
		{"none", "", []string{"show"}, 1, "this node trusts no image: there is no policy (/etc/kairos/policy.yaml); build the image with `kairos-build flavor NAME --sign KEY`"},
		{"none to check", "", []string{"check"}, 1, "or make one with `kairos-agent policy new --key FILE` and put it into /oem"},
		{"one", plain.stdout, []string{"show"}, 0, "registry.example.org/edge/*\nrequires  tested"},
		{"one that trusts nobody", "format: 1\n", []string{"show"}, 0, "nobody  is trusted: no image is installed"},
		{"a correct one", plain.stdout, []string{"check"}, 0, "the policy is correct"},
		{"a typo", "", []string{"check", typo}, 1, "requires: unknown key; did you mean \"require\"?"},
		{"a typo of this node", "format: 1\nkeys: [{nam: x}]\n", []string{"check"}, 1, "/etc/kairos/policy.yaml:2:9: keys[0].nam: unknown key; did you mean \"name\"?"},
		{"a typo, and no policy of before", "format: 1\nkeys: [{nam: x}]\n", []string{"show"}, 1, "there is no policy of before, so no image is trusted"},
		{"a file and an image", "", []string{"check", typo, "--source", "oci:x/y"}, 2, "not both"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.RemoveAll(filepath.Join(dir, layout.ImagePolicy)); err != nil {
				t.Fatal(err)
			}
			if tt.policy != "" {
				put(t, dir, layout.ImagePolicy, tt.policy)
			}
			got := call(t, dir, "", append([]string{"policy"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.says) {
				t.Errorf("got %+v, want %d, %q", got, tt.code, tt.says)
			}
		})
	}
}
