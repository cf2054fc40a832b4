// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
)

// policyIn is the policy that a node has with a cloud-config.
func policyIn(t *testing.T, cloudConfig []byte) *policy.Policy {
	t.Helper()
	c, problems := config.Decode(AccessFile, cloudConfig)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.WriteFiles {
		if f.Path == layout.ImagePolicy {
			p, err := policy.Parse(f.Path, f.Content, nil)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	return nil
}

// TestSignedRegistry: a node with the lab's cloud-config trusts what the lab pushes, and
// nothing else.
func TestSignedRegistry(t *testing.T) {
	var keys [2]*testimage.Signer
	for i := range keys {
		var err error
		if keys[i], err = testimage.NewSigner(); err != nil {
			t.Fatal(err)
		}
	}
	trusted, err := Policy(map[string]*testimage.Signer{KeyName: keys[0]})
	if err != nil {
		t.Fatal(err)
	}
	key, err := qemu.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	access, err := access(key.Authorized(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	r, err := StartRegistry(t.TempDir(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	image, err := testimage.For(must(t)(testimage.Image([]testimage.Entry{testimage.File("etc/x", "x")})), "amd64")
	if err := errors.Join(err, r.Push(HonestName, "v1", image), r.PushBy(nil, "unsigned", "v1", image), r.PushBy(keys[1], "stranger", "v1", image)); err != nil {
		t.Fatal(err)
	}
	judge := policy.Judge{Policy: policyIn(t, access)}
	for repository, want := range map[string]error{HonestName: nil, "unsigned": policy.ErrUnsigned, "stranger": policy.ErrUntrusted} {
		ref := strings.Replace(r.Ref(repository, "v1"), guestHost, "127.0.0.1", 1)
		found, err := source.Resolve(t.Context(), ref, source.Options{Arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		reasons, err := judge.Verify(t.Context(), found)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", repository, err, want)
		}
		if says := fmt.Sprintf("signed by key %q", KeyName); want == nil && !strings.Contains(strings.Join(reasons, " "), says) {
			t.Errorf("%s: got %q, want %q", repository, reasons, says)
		}
	}
}

// TestAccessWithout: without the lab's policy, that of the image counts.
func TestAccessWithout(t *testing.T) {
	key, err := qemu.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	data, err := access(key.Authorized(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := policyIn(t, data); p != nil {
		t.Errorf("there is a policy: %+v", p)
	}
}

func must(t *testing.T) func(v1.Image, error) v1.Image {
	return func(image v1.Image, err error) v1.Image {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
}
