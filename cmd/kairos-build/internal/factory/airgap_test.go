// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/erofs/go-erofs"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
)

// TestAirGap: an image with archives of container images takes them everywhere. The root
// image on the ISO has them, its bytes are those of every slot of the disk, and a node with
// that root image hands each archive to k3s, without a network.
func TestAirGap(t *testing.T) {
	w := newWorld(t)
	dir := layout.ImageKubernetesImages[1:] + "/"
	archives := map[string]string{dir + "k3s-airgap-images-amd64.tar.zst": "of the publisher", dir + "shop.tar": "of a user"}
	w.builder.files = []testimage.Entry{testimage.File(layout.ImageKubernetes[1:], "v1.34.1+k3s1\n")}
	for name, text := range archives {
		w.builder.files = append(w.builder.files, testimage.File(name, text))
	}
	w.options.Artifacts = []string{"image", "raw", "iso"}
	r, _ := w.build(t)
	root := fileOfISO(t, filepath.Join(r.Dir, ISOName), layout.LiveRoot)
	wantInEverySlot(t, r, root)
	files, err := erofs.Open(bytes.NewReader(root))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range archives {
		if got, err := fs.ReadFile(files, name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	image, err := kubernetes.ReadImage(files)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := config.Decode("site.yaml", []byte("k3s: {enabled: true}\n"))
	plan, problems := kubernetes.Make(c, image)
	var targets []string
	for _, l := range plan.Links {
		if strings.HasPrefix(l.Path, "/var/lib/rancher/k3s/agent/images/") {
			targets = append(targets, l.Target[1:])
		}
	}
	if slices.Sort(targets); len(problems) > 0 || !slices.Equal(targets, []string{dir + "k3s-airgap-images-amd64.tar.zst", dir + "shop.tar"}) {
		t.Errorf("k3s gets %s; %v", targets, problems)
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
