// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"strings"
	"testing"
)

// TestDiskFiles: the name of -o, --artifact and --compress say what is written, and where.
func TestDiskFiles(t *testing.T) {
	for _, c := range []struct {
		path, artifacts, compress string
		want                      string // KIND PATH, … or a part of the error
	}{
		{"", "", "", "raw disk.raw"},
		{"", "vmdk", "", "vmdk disk.vmdk"},
		{"", "", "zst", "raw.zst disk.raw.zst"},
		{"node.raw", "", "", "raw node.raw"},
		{"node.img", "", "", "raw node.img"},
		{"node", "", "", "raw node"},
		{"node.v1.4", "", "", "raw node.v1.4"},
		{"a.b/node", "", "", "raw a.b/node"},
		{"node.qcow2", "", "", "qcow2 node.qcow2"},
		{"node.vhd", "", "", "vhd node.vhd"},
		{"node.azure.vhd", "", "", "azure node.azure.vhd"},
		{"node.gce.tar.gz", "", "", "gce node.gce.tar.gz"},
		{"node.raw.zst", "", "", "raw.zst node.raw.zst"},
		{"node.img.xz", "", "", "raw.xz node.img.xz"},
		{"node.vhdx.gz", "", "", "vhdx.gz node.vhdx.gz"},
		{"node", "qcow2", "", "qcow2 node"},
		{"node", "vmdk,raw,qcow2", "", "raw node.raw, qcow2 node.qcow2, vmdk node.vmdk"},
		{"node.img", "raw,qcow2", "", "raw node.raw, qcow2 node.qcow2"},
		{"node", "raw,vhd", "gz", "raw.gz node.raw.gz, vhd.gz node.vhd.gz"},
		{"node.qcow2", "vmdk", "", "-o node.qcow2 is the name of a qcow2 disk, and vmdk is asked for: name it node.vmdk"},
		{"node.raw", "", "zst", "-o node.raw is the name of a raw disk, and raw.zst is asked for: name it node.raw.zst"},
		{"node.qcow", "", "", `-o node.qcow: no disk ends in ".qcow": did you mean ".qcow2"? To write a raw disk with this name, say --artifact raw`},
		{"node.qcow", "raw", "", "raw node.qcow"},
		{"node", "qcwo2", "", `unknown artifact "qcwo2": did you mean "qcow2"? There are raw, qcow2, vmdk, vhd, vhdx, gce, azure`},
		{"node", "image", "", `unknown artifact "image": there are raw`},
		{"node", "raw", "zip", `unknown compression "zip": there are zst, gz, xz`},
		{"node.vmdk.gz", "", "", "the artifact vmdk is compressed already"},
		{"node", "gce", "xz", "the artifact gce is compressed already"},
	} {
		var artifacts []string
		if c.artifacts != "" {
			artifacts = strings.Split(c.artifacts, ",")
		}
		files, err := diskFiles(c.path, artifacts, c.compress)
		var got []string
		for _, f := range files {
			got = append(got, f.Name()+" "+f.path)
		}
		if err != nil && strings.Contains(err.Error(), c.want) {
			continue
		}
		if text := strings.Join(got, ", "); err != nil || text != c.want {
			t.Errorf("-o %q --artifact %q --compress %q: got %q, %v, want %q", c.path, c.artifacts, c.compress, text, err, c.want)
		}
	}
}
