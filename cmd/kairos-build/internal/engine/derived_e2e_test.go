// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv/bootenvtest"
	nodelayout "github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// TestDerivedImageIsAnUpgrade builds on a node's image as a Dockerfile does (FROM, RUN
// apt-get install, RUN cp), keeps the annotations of the base, which are about other layers,
// and upgrades a node to the result with the agent's own code.
func TestDerivedImageIsAnUpgrade(t *testing.T) {
	dir, base := builtImage(t)
	id, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := base.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	packages := llb.Scratch().File(llb.Mkfile("/hello.deb", 0o644, testDeb(t)))
	install := llb.OCILayout("node/image@"+id.String(), llb.OCIStore("", "node"), llb.WithCustomName("FROM")).
		AddEnv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").
		Run(llb.Args([]string{"apt-get", "install", "--yes", "/packages/hello.deb"}), llb.Network(llb.NetModeNone), llb.WithCustomName("RUN apt-get install"))
	install.AddMount("/packages", packages, llb.Readonly)
	graph := install.Root().
		Run(llb.Args([]string{"cp", "/etc/hello", "/usr/share/hello"}), llb.Network(llb.NetModeNone), llb.WithCustomName("RUN cp")).Root()
	def, err := graph.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "image")
	of := image(out)
	of.Annotations = manifest.Annotations
	result, err := open(t, Options{StateDir: t.TempDir()}).Solve(t.Context(), Request{Definition: def, Stores: map[string]content.Store{"node": storeOf(t, dir)}, Image: of})
	if err != nil {
		t.Fatalf("%v\n%+v", err, result.Steps)
	}
	made := onlyImage(t, out)
	wantOnTop(t, base, made)
	stale := manifest.Annotations[nodelayout.AnnotationRootHash]
	if now, err := made.Manifest(); err != nil || stale == "" || now.Annotations[nodelayout.AnnotationRootHash] != stale {
		t.Fatalf("the image does not have the annotation of its base, %q: %v", stale, err)
	}
	wantUpgrade(t, base, out, stale)
}

// testDeb is a package with one file, made by dpkg-deb.
func testDeb(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: hello-kairos\nVersion: 1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: test\n",
		"etc/hello":      "hello\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	deb := filepath.Join(t.TempDir(), "hello.deb")
	if text, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "--build", dir, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, text)
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantUpgrade upgrades a node that runs an older version of base to the image in dir.
func wantUpgrade(t *testing.T, base v1.Image, dir, stale string) {
	t.Helper()
	name := nodelayout.ImageRelease[1:]
	files, err := source.Files(base, name)
	if err != nil {
		t.Fatal(err)
	}
	release, err := osrelease.Parse(files[name])
	if err != nil {
		t.Fatal(err)
	}
	release["KAIROS_VERSION"] = "v0.0.0-0"
	disk := t.TempDir()
	node := upgrade.Installation{
		Booted: nodelayout.SlotA, Release: release, Store: bootenvtest.Open(t, bootenvtest.Partition(t, slot.Initial())),
		Lock: filepath.Join(disk, "lock"), BootLoader: quietLoader{}, Verifier: anybody{},
		Open: func(name string) (upgrade.Device, error) {
			path := filepath.Join(disk, name)
			f, err := os.Create(path)
			if err == nil {
				err = errors.Join(f.Truncate(2<<30), f.Close())
			}
			if err != nil {
				return nil, err
			}
			return upgrade.OpenPartition(path)
		},
	}
	r, err := upgrade.Run(t.Context(), node, upgrade.Options{Source: "dir:" + dir, Registry: source.Options{Arch: "amd64"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.RootHash == "" || r.RootHash == stale {
		t.Errorf("the root hash is %q, and that of the base %q: the record of other layers was believed", r.RootHash, stale)
	}
}

type anybody struct{}

func (anybody) Verify(context.Context, *source.Image) ([]string, error) {
	return []string{"trusted by a test"}, nil
}

type quietLoader struct{ bootconf.Loader }

func (quietLoader) Stage(map[string][]byte) ([]string, error) { return nil, nil }
