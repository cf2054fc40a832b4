// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNetworkPrograms: a build step puts into an image the programs that a network boot
// takes from it.
func TestNetworkPrograms(t *testing.T) {
	s := Source{Shim: "/s", MokManager: "/m", GRUB: "/g", NetGRUB: "/n", Dir: "debian", Modules: "/mod", Arch: "x64"}
	files := map[string][]byte{}
	for name, path := range s.Copies() {
		files[name] = []byte(path)
	}
	got, err := NetworkPrograms(files, "x64")
	if err != nil {
		t.Fatal(err)
	}
	want := Network{Shim: []byte("/s"), GRUB: []byte("/n"), MokManager: []byte("/m")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNetworkProgramsWithoutShim(t *testing.T) {
	_, err := NetworkPrograms(map[string][]byte{"efi/shimaa64.efi": {1}}, "x64")
	if !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "has no efi/shimx64.efi") {
		t.Errorf("got %v", err)
	}
}
