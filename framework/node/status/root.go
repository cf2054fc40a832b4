// SPDX-License-Identifier: Apache-2.0

package status

import (
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// mountPoint is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type mountPoint struct {
	device   string // major:minor
	path     string
	readOnly bool
	fs       string
	source   string
}

// parseMountInfo parses the lines and leaves out malformed ones.
func parseMountInfo(text string) []mountPoint {
	var out []mountPoint
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+4 {
			continue
		}
		options := strings.Split(f[5], ",")
		super := strings.Split(f[dash+3], ",")
		out = append(out, mountPoint{
			device: f[2], path: unescape(f[4]), fs: f[dash+1], source: unescape(f[dash+2]),
			readOnly: slices.Contains(options, "ro") || slices.Contains(super, "ro"),
		})
	}
	return out
}

// unescape replaces the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// byPath returns the topmost mount at path: the last of several.
func byPath(mounted []mountPoint, path string) (mountPoint, bool) {
	for _, m := range slices.Backward(mounted) {
		if m.path == path {
			return m, true
		}
	}
	return mountPoint{}, false
}

func bySource(mounted []mountPoint, source string) (mountPoint, bool) {
	i := slices.IndexFunc(mounted, func(m mountPoint) bool { return m.source == source })
	if i < 0 {
		return mountPoint{}, false
	}
	return mounted[i], true
}

// rootOf describes the mount at /.
func rootOf(root tree.Root, mounted []mountPoint) Root {
	m, ok := byPath(mounted, "/")
	if !ok {
		return Root{Verity: Verity{State: Unmapped}}
	}
	return Root{Device: m.source, FS: m.fs, ReadOnly: m.readOnly, Verity: verityOf(root, m.device)}
}

// verityOf looks for the device-mapper device with the number device (major:minor). It
// recognizes dm-verity by a UUID that begins with CRYPT-VERITY-, as veritysetup and
// systemd set it.
func verityOf(root tree.Root, device string) Verity {
	none := Verity{State: Unmapped}
	entries, err := root.List("/sys/block")
	if err != nil {
		return none
	}
	for _, e := range entries {
		dir := path.Join("/sys/block", e.Name())
		if !strings.HasPrefix(e.Name(), "dm-") || line(root, dir+"/dev") != device {
			continue
		}
		v := Verity{State: Mapped, Device: e.Name(), Name: line(root, dir+"/dm/name"), UUID: line(root, dir+"/dm/uuid")}
		if strings.HasPrefix(v.UUID, "CRYPT-VERITY-") {
			return v
		}
	}
	return none
}

func line(root tree.Root, path string) string { return strings.TrimSpace(read(root, path)) }
