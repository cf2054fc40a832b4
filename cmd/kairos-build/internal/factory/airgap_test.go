// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
)

// publishers is the archive that --airgap adds, and users one that a user adds.
const (
	publishers = "usr/lib/kairos/kubernetes-images/k3s-airgap-images-amd64.tar.zst"
	users      = "usr/lib/kairos/kubernetes-images/shop.tar"
)

// TestAirGap: an image with archives of container images takes them everywhere. The root
// image on the ISO has them, its bytes are those of every slot of the disk, and a node with
// that root image hands each archive to k3s, without a network. Another image that is built
// on it adds its own.
func TestAirGap(t *testing.T) {
	w := newWorld(t)
	w.builder.files = []testimage.Entry{testimage.File(layout.ImageKubernetes[1:], "v1.34.1+k3s1\n"), testimage.File(publishers, "of the publisher")}
	w.options.Artifacts = []string{"image", "raw", "iso"}
	r, _ := w.build(t)
	root := fileOfISO(t, filepath.Join(r.Dir, ISOName), layout.LiveRoot)
	wantInEverySlot(t, r, root)
	wantArchives(t, root, publishers)

	path := filepath.Join(t.TempDir(), "shop.iso")
	_, err := MakeISO(t.Context(), ISOOptions{
		Image: builtOn(t, filepath.Join(r.Dir, imageName), testimage.File(users, "of a user")), Arch: "amd64", Path: path,
		State: t.TempDir(), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantArchives(t, fileOfISO(t, path, layout.LiveRoot), publishers, users)
}

// builtOn makes an image with one more layer, as a Dockerfile does, and returns its folder.
func builtOn(t *testing.T, base string, files ...testimage.Entry) string {
	t.Helper()
	image, err := testimage.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	more, err := testimage.Image(files)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := more.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := ocilayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantArchives checks that a node with a root image hands these archives, and no others, to
// k3s.
func wantArchives(t *testing.T, root []byte, want ...string) {
	t.Helper()
	files, err := rootimage.Open(bytes.NewReader(root))
	if err != nil {
		t.Fatal(err)
	}
	image, err := kubernetes.ReadImage(files)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := config.Decode("site.yaml", []byte("k3s: {enabled: true}\n"))
	plan, problems := kubernetes.Make(c, image)
	var got []string
	for _, l := range plan.Links {
		if strings.HasPrefix(l.Path, "/var/lib/rancher/k3s/agent/images/") {
			got = append(got, l.Target[1:])
		}
	}
	if slices.Sort(got); len(problems) > 0 || !slices.Equal(got, want) {
		t.Errorf("k3s gets %s, want %s; %v", got, want, problems)
	}
	for _, name := range want {
		if data, err := fs.ReadFile(files, name); err != nil || !strings.HasPrefix(string(data), "of ") {
			t.Errorf("%s is %q, %v", name, data, err)
		}
	}
}

func fileOfISO(t *testing.T, path, name string) []byte {
	t.Helper()
	data := read(t, path)
	image, err := iso9660.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := image.File(name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// wantInEverySlot checks that each slot of the disk has a root image.
func wantInEverySlot(t *testing.T, r *Result, root []byte) {
	t.Helper()
	sum := sha256.Sum256(root)
	want, slots := hex.EncodeToString(sum[:]), 0
	for _, e := range r.Disks[0].Extents {
		if strings.HasPrefix(e.Partition, "root") || e.Partition == layout.SlotRecovery.Root() {
			slots++
			if e.SHA256 != want {
				t.Errorf("%s has another root image than the ISO", e.Partition)
			}
		}
	}
	if slots != len(layout.Slots()) {
		t.Errorf("%d slots have a root image", slots)
	}
}
