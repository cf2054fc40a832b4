// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
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
			got := namedStages(root, ownStages())
			if diff := cmp.Diff(c.want, got, cmp.Transformer("", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLineLog(t *testing.T) {
	var got []string
	l := &lineLog{say: func(s string) { got = append(got, s) }}
	for _, p := range []string{"a", "b\n\nc\r\nrest", strings.Repeat("x", maxLogLine)} {
		if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if diff := cmp.Diff([]string{"ab", "c", "rest" + strings.Repeat("x", maxLogLine-4)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
