// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"io/fs"
	gopath "path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// firmwareFiles maps the facts of the firmware to files of the kernel; see
// Documentation/ABI/testing/sysfs-firmware-dmi-tables.
var firmwareFiles = map[string]map[string]string{
	"product": {"name": "product_name", "vendor": "sys_vendor", "version": "product_version", "serial": "product_serial", "uuid": "product_uuid", "sku": "product_sku"},
	"board":   {"name": "board_name", "vendor": "board_vendor", "version": "board_version", "serial": "board_serial", "assettag": "board_asset_tag"},
	"chassis": {"type": "chassis_type", "vendor": "chassis_vendor", "version": "chassis_version", "serial": "chassis_serial", "assettag": "chassis_asset_tag"},
	"bios":    {"vendor": "bios_vendor", "version": "bios_version", "date": "bios_date"},
}

// readHardware reads the facts of the machine, by their names in templates.
func readHardware(root tree.Root) map[string]any {
	out := map[string]any{
		"node":    map[string]any{"timezone": zoneOf(root)},
		"kernel":  map[string]any{"release": line(root, "/proc/sys/kernel/osrelease"), "version": line(root, "/proc/sys/kernel/version"), "architecture": machineName()},
		"cpu":     processor(root),
		"memory":  map[string]any{"size": mebibytes(root)},
		"network": devices(root, "/sys/class/net", networkCard),
		"storage": devices(root, "/sys/block", disk),
	}
	for group, files := range firmwareFiles {
		values := map[string]any{}
		for name, file := range files {
			values[name] = line(root, "/sys/class/dmi/id/"+file)
		}
		out[group] = values
	}
	chassis := out["chassis"].(map[string]any)
	chassis["type"] = number(chassis["type"].(string))
	return out
}

// machineName is the architecture in the words of uname(2).
func machineName() string {
	if name, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}

func zoneOf(root tree.Root) string {
	if zone := line(root, "/etc/timezone"); zone != "" {
		return zone
	}
	w := &work{Engine: &Engine{Root: root}}
	zone, err := w.timezone("/etc/localtime")
	if err != nil {
		return ""
	}
	return zone
}

// processor reads /proc/cpuinfo: vendor and model of the first entry, and the
// number of entries.
func processor(root tree.Root) map[string]any {
	out := map[string]any{}
	data, err := root.Read("/proc/cpuinfo")
	if err != nil {
		return out
	}
	threads := 0.0
	for l := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(l, ":")
		switch key = strings.TrimSpace(key); key {
		case "processor":
			threads++
		case "vendor_id", "model name":
			name := map[string]string{"vendor_id": "vendor", "model name": "model"}[key]
			if out[name] == nil {
				out[name] = strings.TrimSpace(value)
			}
		}
	}
	out["threads"] = threads
	return out
}

// mebibytes returns the memory of the kernel, in MiB.
func mebibytes(root tree.Root) float64 {
	data, err := root.Read("/proc/meminfo")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(data)) {
		if words := strings.Fields(l); len(words) > 1 && words[0] == "MemTotal:" {
			return float64(int(number(words[1])) / 1024)
		}
	}
	return 0
}

func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return n
}

// devices reads the devices in a directory of sysfs, sorted by name.
func devices(root tree.Root, dir string, read func(root tree.Root, path string) map[string]any) []any {
	entries, err := root.List(dir)
	if err != nil {
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	var out []any
	for _, e := range entries {
		if one := read(root, dir+"/"+e.Name()); one != nil {
			one["name"] = e.Name()
			out = append(out, one)
		}
	}
	return out
}

// networkCard returns nil for a device without hardware, such as lo and bridges.
func networkCard(root tree.Root, path string) map[string]any {
	if !root.Exists(path + "/device") {
		return nil
	}
	return map[string]any{"macaddress": line(root, path+"/address"), "driver": driver(root, path)}
}

func driver(root tree.Root, path string) string {
	target, err := root.Readlink(path + "/device/driver")
	if err != nil {
		return ""
	}
	return gopath.Base(target)
}

// disk returns nil for a device without hardware, such as a loop device. The size
// is in GB, as in Kairos.
func disk(root tree.Root, path string) map[string]any {
	if !root.Exists(path + "/device") {
		return nil
	}
	first := func(names ...string) string {
		i := slices.IndexFunc(names, func(name string) bool { return line(root, path+"/"+name) != "" })
		if i < 0 {
			return ""
		}
		return line(root, path+"/"+names[i])
	}
	return map[string]any{
		"vendor": first("device/vendor"), "model": first("device/model", "device/name"), "serial": first("serial", "device/serial"),
		"size": float64(int(number(line(root, path+"/size"))) * 512 / 1e9),
	}
}
