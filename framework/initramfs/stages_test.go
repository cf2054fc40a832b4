// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
)

func TestNamedStages(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no files", nil, nil},
		{"no stages", map[string]string{"oem/90.yaml": "hostname: a\n"}, nil},
		{"later stages", map[string]string{"oem/90.yaml": "stages: {boot: []}\n"}, nil},
		{"one", map[string]string{"oem/90.yaml": "stages: {initramfs: []}\n"}, []string{"initramfs"}},
		{"both, in the order of a boot", map[string]string{"system/oem/1.yml": "stages: {initramfs.after: []}\n", "usr/local/cloud-config/a.yaml": "stages:\n  \"rootfs\":\n"}, []string{"rootfs", "initramfs"}},
		{"no config file", map[string]string{"oem/README": "rootfs", "oem/sub/a.yaml": "rootfs", "etc/a.yaml": "rootfs"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got := namedStages(root, layout.ConfigDirs(), ownStages())
			if diff := cmp.Diff(c.want, got, cmp.Transformer("", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestConfigText: a pipe would block the boot, and a huge file its memory.
func TestConfigText(t *testing.T) {
	large := func(size int) *fstest.MapFile {
		return &fstest.MapFile{Data: append(make([]byte, size-len("rootfs")), "rootfs"...)}
	}
	for name, c := range map[string]struct {
		file *fstest.MapFile
		want []string
	}{
		"a pipe":    {&fstest.MapFile{Data: []byte("rootfs"), Mode: fs.ModeNamedPipe}, []string{}},
		"the limit": {large(maxConfig), []string{"rootfs"}},
		"too large": {large(maxConfig + 1), []string{}},
	} {
		got := namedStages(fstest.MapFS{"oem/90.yaml": c.file}, layout.ConfigDirs(), ownStages())
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLineLog: a long line is cut, and no byte is lost.
func TestLineLog(t *testing.T) {
	x := strings.Repeat("x", maxLogLine)
	var got []string
	l := &lineLog{say: func(s string) { got = append(got, s) }}
	for _, p := range []string{"a", "b\n\nc\r\nrest", x, "\n" + x + "yz\n"} {
		if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if diff := cmp.Diff([]string{"ab", "c", "rest" + x[4:], "xxxx", x, "yz"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
