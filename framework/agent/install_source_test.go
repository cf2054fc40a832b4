// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/install/disks"
)

// imageFolder is an OCI layout with an image of that version, with the boot loader of the
// live node's medium.
func imageFolder(t *testing.T, dir, version string) string {
	t.Helper()
	entries := []testimage.Entry{
		testimage.File("boot/vmlinuz", "kernel"), testimage.File("boot/initrd", "initrd"), testimage.File("usr/lib/large", strings.Repeat("x", 1<<20)),
		testimage.File("etc/kairos-release", testimage.ReleaseText(testimage.Release("KAIROS_VERSION", version))),
	}
	for _, name := range []string{"grub-dir", "grub.cfg", "bios/boot.img", "bios/core.img"} {
		data, err := os.ReadFile(filepath.Join(dir, "run/initramfs/live/kairos/bootloader", name))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, testimage.File("usr/lib/kairos/bootloader/"+name, string(data)))
	}
	layer, err := testimage.Layer(entries...)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err == nil {
		image, err = testimage.For(image, "amd64")
	}
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	path, err := ocilayout.Write(folder, empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestInstallFromSource: an image that is fetched goes to all slots, under the rules of an
// upgrade.
func TestInstallFromSource(t *testing.T) {
	dir := liveNode(t)
	newer, older := imageFolder(t, dir, "v1.3.0"), imageFolder(t, dir, "v1.0.0")
	for source, say := range map[string]string{"dir:" + newer: "the image is not trusted", "dir:" + older + " --insecure-skip-verify": "version v1.0.0, the running system has v1.2.3"} {
		if got := call(t, dir, "", append([]string{"install", "--source"}, strings.Fields(source)...)...); got.code != 1 || !strings.Contains(got.stderr, say) {
			t.Errorf("%s: %+v", source, got)
		}
	}
	got := call(t, dir, "", "install", "--source", "dir:"+newer, "--insecure-skip-verify", "--json")
	var r installResult
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || r.Version != "v1.3.0" || got.code != 0 {
		t.Fatalf("%v %+v", err, got)
	}
	f, err := os.Open(filepath.Join(dir, "dev/sda"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := disks.Read(f, 6<<30)
	if err != nil || c.Recovery.RootHash != r.RootHash || c.Recovery.Trust != "NOT VERIFIED" || c.Recovery.Version != "v1.3.0" {
		t.Errorf("%+v, %v", c, err)
	}
}
