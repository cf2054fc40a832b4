// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/config"
)

// TestMediumName: the tests look for the medium where a build puts it.
func TestMediumName(t *testing.T) {
	if lab.MediumName != factory.ISOName {
		t.Errorf("a build writes %s, and the tests look for %s", factory.ISOName, lab.MediumName)
	}
}

// TestInstallConfig: the config asks for an installation afterwards, or says why it cannot.
func TestInstallConfig(t *testing.T) {
	for _, test := range []struct{ name, config, want string }{
		{"no install", "#cloud-config\nhostname: a", ""},
		{"its own", "#cloud-config\ninstall: {auto: true, device: /dev/vda}\n", ""},
		{"half of it", "#cloud-config\ninstall: {device: /dev/vda}\n", "write it into the file"},
		{"a typo", "#cloud-config\nhostnam: a\n", `did you mean "hostname"?`},
	} {
		path := filepath.Join(t.TempDir(), "site.yaml")
		if err := os.WriteFile(path, []byte(test.config), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := installConfig(path)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.name, err, test.want)
			}
			continue
		}
		if c, problems := config.Decode(path, data); err != nil || problems.Failed() || !c.Install.Asks() {
			t.Errorf("%s: %v, %v, %q", test.name, err, problems, data)
		}
	}
}

func TestNoMedium(t *testing.T) {
	if _, err := openMedium(t.TempDir(), false, ""); err == nil || !strings.Contains(err.Error(), "make it with `kairos-build iso ") {
		t.Errorf("got %v", err)
	}
}
