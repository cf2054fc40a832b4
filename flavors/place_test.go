// SPDX-License-Identifier: Apache-2.0

package flavors

import "testing"

func TestPlace(t *testing.T) {
	f, err := Parse("edge.yaml", []byte(`name: edge
title: shim
family: apt
id: debian
release: "13"
base: {archive: {mirror: "http://a.example", security: "http://a.example", keyring: k, suites: [s], components: [main]}}
packages:
  - jq
  # a comment
  - less
models: {generic: {kernel: [linux, jq], cmdline: x}}
boot: {amd64: {packages: [shim], shim: /a, mok_manager: /b, grub: /c, grub_dir: d, efi_arch: x64}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"less": "edge.yaml:10:5", "jq": "edge.yaml:8:5", "linux": "edge.yaml:11:29", "shim": "edge.yaml:12:27", "debian": "", "nosuch": "",
	} {
		if got := f.Place(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
