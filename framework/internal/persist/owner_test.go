// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// netRaw is cap_net_raw=ep as security.capability holds it, see
// include/uapi/linux/capability.h: revision 2, effective.
var netRaw = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func TestOwnersAndCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: owners and file capabilities can be set by root only")
	}
	l := newLab(t, files{"d": "d", "e": "d", "f": "1", "g": "1", "h": "1"})
	l.setImage(t, "B", files{"d": "d", "e": "d", "f": "1", "g": "1", "h": "1"})
	image, store := l.path().Image, l.path().Store
	must(t, os.Chown(filepath.Join(image, "d"), 7, 8)) // the image's change
	must(t, os.Chown(filepath.Join(image, "e"), 7, 8)) // in both
	must(t, os.Chown(filepath.Join(store, "e"), 9, 9))
	must(t, os.Chown(filepath.Join(image, "f"), 7, 8))
	must(t, os.Chown(filepath.Join(store, "g"), 9, 9)) // here only
	must(t, unix.Setxattr(filepath.Join(image, "h"), "security.capability", netRaw, 0))

	r := l.run(t)
	if diff := cmp.Diff([]Kept{{"/p/e", whyMode}}, r.Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/p/g"}, r.Local); diff != "" {
		t.Errorf("local (-want +got):\n%s", diff)
	}
	for name, want := range map[string]uint32{"d": 7, "e": 9, "f": 7, "g": 9, "h": 0} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(store, name), &st))
		if st.Uid != want {
			t.Errorf("%s has owner %d, want %d", name, st.Uid, want)
		}
	}
	if got, err := capability(filepath.Join(store, "h")); err != nil || got != "0100000200200000000000000000000000000000" {
		t.Errorf("capability of h: %q, %v", got, err)
	}
	if r := l.run(t); r.Changed != 0 {
		t.Errorf("the next boot changed %d files", r.Changed)
	}
}

func TestDevicesAndSocketsStay(t *testing.T) {
	l := newLab(t, files{"a": "1"})
	must(t, os.Remove(filepath.Join(l.path().Store, "a")))
	must(t, unix.Mkfifo(filepath.Join(l.path().Store, "a"), 0o600))
	must(t, unix.Mkfifo(filepath.Join(l.path().Store, "mine"), 0o600))
	l.setImage(t, "B", files{"a": "2", "mine": "3"})
	want := []Kept{{"/p/a", whyBoth}, {"/p/mine", whyMade}}
	if diff := cmp.Diff(want, l.run(t).Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}
