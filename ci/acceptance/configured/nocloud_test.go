// SPDX-License-Identifier: Apache-2.0

package configured

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
)

func TestUserDataIsAccepted(t *testing.T) {
	data, err := nocloud.ReadFile("nocloud/user-data")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("SITE", "http://192.0.2.1:8080", "IMAGE", "oci:192.0.2.1:5000/tool:v1").Replace(string(data))
	for _, p := range problemsOf(text) {
		if p.Severity == config.Error {
			t.Error(p)
		}
	}
}

func TestOldFileIsAccepted(t *testing.T) {
	data, err := nocloud.ReadFile("nocloud/compat.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if problems := problemsOf(string(data)); problems.Failed() || len(problems) != 1 {
		t.Errorf("want one warning, got %v", problems)
	}
}

func TestBrokenFilesAreRefused(t *testing.T) {
	files, err := brokenFiles()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 10 {
		t.Errorf("there are %d broken files, want 10", len(files))
	}
	for name, data := range files {
		problems := problemsOf(string(data))
		if !problems.Failed() {
			t.Errorf("%s is accepted: %v", name, problems)
		}
	}
}

func problemsOf(text string) config.Problems {
	_, problems := config.Decode("/oem/test.yaml", []byte(text))
	return problems
}
