// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

// envImage is the environment variable that names the folder of a built image.
const envImage = "KAIROS_E2E_IMAGE"

// builtImage opens that image.
func builtImage(t *testing.T) (dir string, image v1.Image) {
	t.Helper()
	dir = os.Getenv(envImage)
	if dir == "" {
		t.Skipf("SKIPPED, NOT PROVEN: set %s, as `make e2e` does", envImage)
	}
	return dir, onlyImage(t, dir)
}

// onlyImage is the one image in a layout.
func onlyImage(t *testing.T, dir string) v1.Image {
	t.Helper()
	image, err := testimage.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestImageRunsInAContainer unpacks a node's image and runs programs in it as a
// container runtime does: with runc, in namespaces of their own, on a read-only
// root without network.
func TestImageRunsInAContainer(t *testing.T) {
	_, image := builtImage(t)
	bundle := t.TempDir()
	unpackTo(t, image, filepath.Join(bundle, "rootfs"))
	for _, tt := range []struct {
		name string
		args []string
		want string // in the output
		fail bool
	}{
		{name: "true", args: []string{"/bin/true"}},
		{name: "false", args: []string{"/bin/false"}, fail: true},
		{name: "the agent", args: []string{"/usr/bin/kairos-agent", "version"}, want: "kairos-agent "},
		{name: "its release", args: []string{"/bin/cat", "/etc/kairos-release"}, want: `KAIROS_FLAVOR="debian"`},
		{name: "the package manager", args: []string{"/usr/bin/dpkg", "--status", "systemd"}, want: "Status: install ok installed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runIn(t, bundle, tt.args)
			if (err != nil) != tt.fail || !strings.Contains(out, tt.want) {
				t.Errorf("%q: %v, says %q, want %q and an error: %v", tt.args, err, out, tt.want, tt.fail)
			}
		})
	}
}

// unpackTo writes what a container sees of the image to dir.
func unpackTo(t *testing.T, image v1.Image, dir string) {
	t.Helper()
	stream := mutate.Extract(image)
	tar := exec.CommandContext(t.Context(), "tar", "--extract", "--numeric-owner", "--same-permissions", "--directory", dir)
	tar.Stdin = stream
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if err := stream.Close(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
}

// runIn runs args in a container with bundle's root file system.
func runIn(t *testing.T, bundle string, args []string) (string, error) {
	t.Helper()
	runc, err := findRunc(t.Context(), Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	writeConfig(t, runc, bundle, args)
	id := fmt.Sprintf("kairos-e2e-%d", os.Getpid())
	out, err := exec.CommandContext(t.Context(), runc, "--root", t.TempDir(), "run", "--bundle", bundle, id).CombinedOutput()
	return string(out), err
}

// writeConfig is runc's own default configuration with other arguments and no
// terminal.
func writeConfig(t *testing.T, runc, bundle string, args []string) {
	t.Helper()
	path := filepath.Join(bundle, "config.json")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), runc, "spec", "--bundle", bundle).CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v\n%s", err, out)
	}
	var config map[string]any
	readJSON(t, path, &config)
	process := config["process"].(map[string]any)
	process["args"], process["terminal"] = args, false
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImageIsABase builds on a node's image, as a Dockerfile with FROM and RUN
// does, and checks the result.
func TestImageIsABase(t *testing.T) {
	dir, base := builtImage(t)
	id, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	graph := llb.OCILayout("node/image@"+id.String(), llb.OCIStore("", "node"), llb.WithCustomName("FROM")).
		AddEnv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").
		Run(llb.Args([]string{"apt-get", "check"}), llb.Network(llb.NetModeNone), llb.WithCustomName("RUN apt-get check")).
		Run(llb.Args([]string{"cp", "/etc/kairos-release", "/usr/share/mine"}), llb.Network(llb.NetModeNone), llb.WithCustomName("RUN cp")).Root()
	def, err := graph.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "image")
	result, err := open(t, Options{StateDir: t.TempDir()}).Solve(t.Context(), Request{
		Definition: def, Stores: map[string]content.Store{"node": storeOf(t, dir)}, Image: image(out),
	})
	if err != nil {
		t.Fatalf("%v\n%+v", err, result.Steps)
	}
	wantOnTop(t, base, onlyImage(t, out))
}

// storeOf opens a layout's blobs as a store. Nothing writes to it.
func storeOf(t *testing.T, dir string) content.Store {
	t.Helper()
	store := t.TempDir()
	blobs, err := filepath.Abs(filepath.Join(dir, ocispec.ImageBlobsDir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(blobs, filepath.Join(store, ocispec.ImageBlobsDir)); err != nil {
		t.Fatal(err)
	}
	s, err := Store(store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantOnTop fails unless made is base with more layers.
func wantOnTop(t *testing.T, base, made v1.Image) {
	t.Helper()
	var ids [2][]v1.Hash
	for i, image := range []v1.Image{base, made} {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = config.RootFS.DiffIDs
	}
	if len(ids[1]) != len(ids[0])+2 {
		t.Fatalf("%d layers on a base of %d, want two more", len(ids[1]), len(ids[0]))
	}
	for i, id := range ids[0] {
		if ids[1][i] != id {
			t.Errorf("layer %d is %s, the base's is %s", i, ids[1][i], id)
		}
	}
}
