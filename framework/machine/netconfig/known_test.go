// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"os"
	"testing"
)

func TestIs(t *testing.T) {
	for _, name := range []string{"v1", "v2"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !Is(data) {
			t.Errorf("%s is not known", name)
		}
	}
	for text, want := range map[string]bool{
		"version: 1\nconfig: []\n": true, "version: 2\nethernets: {}\n": true, "ethernets: {}\n": true,
		"network: {version: 2, ethernets: {}}\n": true, "network: {ethernets: {}}\n": true,
		"# a comment\nversion: 2\nethernets: {}\nethernet: {}\n": true, // a slip in it
		"#cloud-config\nversion: 2\nethernets: {}\n":             true,
		"#cloud-config\nnetwork: {version: 2, ethernets: {}}\n":  false,
		"network: {version: 2, ethernets: {}}\nhostname: a\n":    false,
		"hostname: a\n": false, "version: 2\n": false, "": false, "[a]\n": false, "a: [\n": false, "stages: {network: []}\n": false,
	} {
		if got := Is([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzIs(f *testing.F) {
	f.Add([]byte("network: {version: 2, ethernets: {}}\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { Is(data) })
}
