// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func TestReadFacts(t *testing.T) {
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	for name, data := range map[string]string{
		"etc/machine-id":                     "0123456789abcdef0123456789abcdef\n",
		"etc/hostname":                       "edge\n",
		"etc/os-release":                     "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n",
		"proc/sys/kernel/osrelease":          "6.12.1-amd64\n",
		"proc/cpuinfo":                       "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\n",
		"proc/meminfo":                       "MemTotal:        2097152 kB\nMemFree:  1 kB\n",
		"sys/class/dmi/id/product_uuid":      "5f0c0a1e\n",
		"sys/class/dmi/id/chassis_type":      "1\n",
		"sys/class/net/eth0/address":         "52:54:00:ab:cd:01\n",
		"sys/class/net/eth0/device/vendor":   "0x1af4\n",
		"sys/class/net/lo/address":           "00:00:00:00:00:00\n",
		"sys/block/vda/size":                 "4000000\n",
		"sys/block/vda/device/vendor":        "0x1af4\n",
		"sys/block/vda/serial":               "disk-1\n",
		"sys/block/loop0/size":               "8\n",
		"usr/share/zoneinfo/Europe/Berlin":   "TZif",
		"sys/class/net/eth0/device/driver_x": "",
	} {
		host := filepath.Join(root.Dir, name)
		if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(host, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range [][2]string{{"../usr/share/zoneinfo/Europe/Berlin", "etc/localtime"}, {"../../../bus/virtio_net", "sys/class/net/eth0/device/driver"}} {
		if err := os.Symlink(link[0], filepath.Join(root.Dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"{{ .Values.node.hostname }} {{ .Values.node.machineid }} {{ .Values.node.timezone }}": "edge 0123456789abcdef0123456789abcdef Europe/Berlin",
		"{{ .Values.os.vendor }} {{ .Values.os.version }} {{ .Values.os.name }}":               "debian 13 Debian GNU/Linux 13",
		"{{ .Values.product.uuid }} {{ .Values.chassis.type }}{{ .Values.product.serial }}":    "5f0c0a1e 1",
		"{{ .Values.kernel.release }} {{ .Values.cpu.vendor }} {{ .Values.cpu.threads }}":      "6.12.1-amd64 GenuineIntel 2",
		"{{ .Values.memory.size }}": "2048",
		"{{ range .Values.network }}{{ .name }} {{ .macaddress }} {{ .driver }};{{ end }}":                     "eth0 52:54:00:ab:cd:01 virtio_net;",
		"{{ range .Values.storage }}{{ .name }} {{ .vendor }} {{ .serial }} {{ .size }}{{ .model }};{{ end }}": "vda 0x1af4 disk-1 2;",
	} {
		if got, err := template.Render(text, ReadFacts(root)); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}
