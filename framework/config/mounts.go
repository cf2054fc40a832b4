// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// storageFields are about disks.
var storageFields = []field[Config]{
	{name: "mounts", about: "File systems to mount, each a list as a line of fstab(5). They are systemd units; no boot waits for them.", shape: listOf(listOf(either(scalarShape, nullShape))).joined(appended), decode: decodeMounts},
	{name: "mount_default_fields", about: "What stands in for fields that a mount leaves out.", shape: listOf(either(scalarShape, nullShape)), decode: decodeMountDefaults},
	idle[Config]("swap", "A swap file.", object(swapFields)),
	{name: "growpart", about: "Accepted, and without effect: the data partition grows to the end of the disk by itself.", shape: mapping(growpartFields), decode: func(v value, _ *Config) {
		object(growpartFields).get(v)
		v.Report(Warning, growsByItself, "remove the key")
	}},
	{name: "resize_rootfs", about: "Accepted, and without effect: the root is read-only, and the data partition grows by itself.", shape: either(boolShape, wordsOf("noblock")), decode: func(v value, _ *Config) {
		if v.Node.Value != "noblock" {
			v.Boolean()
		}
		v.Report(Warning, growsByItself, "remove the key")
	}},
	idle[Config]("power_state", "What happens to the machine after the first boot.", object(powerFields)),
}

const growsByItself = "has no effect: the data partition grows to the end of the disk by itself"

var swapFields = []field[checked]{
	check("filename", "Where the swap file is.", aPath),
	check("size", "Its size: bytes, with K, M, G or T behind, or auto.", aScalar),
	check("maxsize", "Its largest size.", aScalar),
}

var growpartFields = []field[checked]{
	check("mode", "How to grow.", anything),
	check("devices", "What to grow.", many("devices", aGiven)),
	check("ignore_growroot_disabled", "Whether a file that forbids it is ignored.", aBool),
}

var powerFields = []field[checked]{
	check("mode", "What to do.", oneOf("poweroff", "reboot", "halt")),
	check("delay", "When: now, or +MINUTES.", aScalar),
	check("message", "What users are told.", aText),
	check("timeout", "Seconds to wait for the end of the first boot.", anInt),
	check("condition", "A command that decides.", anything),
}

// mount is a line of fstab(5).
type mount struct {
	at     value
	fields []string // "" is one that is left out
}

// mountDefaults are default fields; standardMount has those of cloud-init, with nofail.
type mountDefaults []string

var standardMount = mountDefaults{"", "", "auto", "defaults,nofail"}

func decodeMounts(v value, _ *Config) {
	for _, item := range v.list("mounts, each a list") {
		if fields, ok := item.mountFields(); ok {
			v.d.cloud.mounts = append(v.d.cloud.mounts, mount{item, fields})
		}
	}
}

func decodeMountDefaults(v value, _ *Config) {
	if fields, ok := v.mountFields(); ok {
		v.d.cloud.defaults = fields
	}
}

func (v value) mountFields() ([]string, bool) {
	var out []string
	for _, item := range v.places("fields, as in a line of fstab(5)") {
		if item.Node.Kind == yaml.ScalarNode && item.Node.ShortTag() == "!!null" {
			out = append(out, "")
			continue
		}
		t, ok := item.scalar()
		if !ok || !item.oneLine(t.Text) {
			return nil, false
		}
		out = append(out, t.Text)
	}
	if len(out) > 6 {
		v.Fail(fmt.Sprintf("%d fields are too many", len(out)), "a line of fstab(5) has device, path, type, options and two numbers")
		return nil, false
	}
	return out, len(out) > 0
}

// addMounts makes a step of each mount.
func (d *decoder) addMounts() {
	for _, m := range d.cloud.mounts {
		get := func(i int) string {
			for _, from := range []mountDefaults{m.fields, d.cloud.defaults, standardMount} {
				if i < len(from) && from[i] != "" {
					return from[i]
				}
			}
			return ""
		}
		if len(m.fields) < 2 || m.fields[1] == "" {
			m.at.Later("a mount without a path, which takes one of the image back")
			continue
		}
		m.at.mount(deviceName(get(0)), get(1), get(2), get(3))
	}
}

// shortDevice is a name of the kernel, such as vdb or sda1.
var shortDevice = lazyregexp.New(`^(sd|vd|xvd|hd|nvme|mmcblk|dm-|md)[a-z0-9]+$`)

// tagged is a device named by a label or a UUID, as in fstab(5). udev escapes other
// characters.
var tagged = lazyregexp.New(`^(LABEL|UUID|PARTLABEL|PARTUUID)=([A-Za-z0-9_.-]+)$`)

// deviceName is the device to mount. cloud-init has names without /dev/ too. A tag
// becomes a path, because systemd waits for paths.
func deviceName(s string) string {
	if m := tagged.FindStringSubmatch(s); m != nil {
		return "/dev/disk/by-" + strings.ToLower(m[1]) + "/" + m[2]
	}
	if shortDevice.MatchString(s) {
		return "/dev/" + s
	}
	return s
}

// ownMounts are mount points that belong to the layout of the node.
var ownMounts = []string{"/", "/oem", "/usr", "/usr/local", "/etc", "/var", "/run", "/proc", "/sys", "/dev", "/boot", "/bin", "/sbin", "/lib"}

func (v value) mount(what, where, kind, options string) {
	if kind == "swap" || where == "none" || where == "swap" {
		v.swap(what)
		return
	}
	switch {
	case what == "":
		v.Fail("it is not said what is mounted", "write it such as [/dev/vdb, /srv/data]")
	case strings.ContainsAny(what+where+kind+options, "\"\\%") || strings.ContainsAny(what+where, " \t"):
		v.Fail("a blank, a quote, a backslash or % cannot stand in a mount", "")
	case !path.IsAbs(where) || path.Clean(where) != where:
		v.Fail(fmt.Sprintf("%q is not a clean absolute path", strict.Printable(where)), "begin with /")
	case slices.Contains(ownMounts, where):
		v.Fail(fmt.Sprintf("%s belongs to the layout of the node", where), "mount it somewhere else, such as /srv/data")
	default:
		v.mountPoint(where)
		v.unitStep(unitOf(where)+".mount", "[Mount]\nWhat="+what+"\nWhere="+where+typeLine(kind)+"Options="+withNofail(options)+"\n")
	}
}

func typeLine(kind string) string {
	if kind == "auto" {
		return "\n"
	}
	return "\nType=" + kind + "\n"
}

// withNofail adds nofail: a missing device must not stop a boot.
func withNofail(options string) string {
	if slices.Contains(strings.Split(options, ","), "nofail") {
		return options
	}
	return options + ",nofail"
}

func (v value) swap(what string) {
	if !strings.HasPrefix(what, "/dev/") || strings.ContainsAny(what, " \t\"\\%") {
		v.Fail(fmt.Sprintf("%q is not a device to swap to", strict.Printable(what)), "write it such as /dev/vdb")
		return
	}
	v.unitStep(unitOf(what)+".swap", "[Swap]\nWhat="+what+"\n")
}

// unitStep writes a unit and starts it; the stage fs waits for no unit.
func (v value) unitStep(name, text string) {
	unit := "# From the cloud-config: " + strict.Printable(v.Path) + "\n[Unit]\nDescription=" + strings.TrimSuffix(name, path.Ext(name)) + " of the cloud-config\n\n" + text
	v.step("fs", Step{
		Files:     []StepFile{etcFile(v, "/run/systemd/system/"+name, unit, 0o644)},
		Systemctl: Systemctl{Start: []string{name}},
	})
}

// unitOf is the name of a unit for a path, as systemd-escape --path has it.
func unitOf(name string) string {
	var b strings.Builder
	for i, c := range []byte(strings.Trim(name, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == ':', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
