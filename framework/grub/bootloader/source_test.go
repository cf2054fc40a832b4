// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSource: a build step puts into an image the files that New and NewMedium take from it.
func TestSource(t *testing.T) {
	s := Source{Shim: "/s", MokManager: "/m", GRUB: "/g", Dir: "debian", Modules: "/mod", Arch: "x64"}
	files := withCD()
	names := append(slices.Collect(maps.Keys(s.Copies())), BIOSCore, CDCore, DirFile, Config)
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(files)), names); diff != "" {
		t.Errorf("-New's +Source's:\n%s", diff)
	}
	want := map[string]string{"efi/shimx64.efi": "/s", "efi/mmx64.efi": "/m", "efi/grubx64.efi": "/g", "bios/boot.img": "/mod/boot.img", "bios/boot_hybrid.img": "/mod/boot_hybrid.img"}
	if diff := cmp.Diff(want, s.Copies()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	suse := Source{GRUB: "/g", Name: "grub.efi", Arch: "x64"}
	if copies := suse.Copies(); copies["efi/grub.efi"] != "/g" || copies["efi/grubx64.efi"] != "" {
		t.Errorf("with another name: %v", copies)
	}
	arm := Source{Shim: "/s", MokManager: "/m", GRUB: "/g", Dir: "debian", Arch: "aa64"}
	if diff := cmp.Diff(map[string]string{"efi/shimaa64.efi": "/s", "efi/mmaa64.efi": "/m", "efi/grubaa64.efi": "/g"}, arm.Copies()); diff != "" {
		t.Errorf("without a BIOS (-want +got):\n%s", diff)
	}
	const begin = "grub-mkimage --directory /mod --format i386-pc --prefix (,gpt2)/EFI/debian --output /out/core.img biosdisk part_gpt fat "
	if got := strings.Join(s.MakeCore("/out/core.img"), " "); !strings.HasPrefix(got, begin) {
		t.Errorf("got %s, want it to begin with %s", got, begin)
	}
	const beginCD = "grub-mkimage --directory /mod --format i386-pc-eltorito --prefix /boot/grub --output /out/eltorito.img biosdisk iso9660 "
	if got := strings.Join(s.MakeCD("/out/eltorito.img"), " "); !strings.HasPrefix(got, beginCD) {
		t.Errorf("got %s, want it to begin with %s", got, beginCD)
	}
}
