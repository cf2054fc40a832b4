// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/kairos-build/kairos-build/ci/dagger/pipeline"
)

func TestVerbs(t *testing.T) {
	for _, name := range []string{"build", "test", "release"} {
		cmd, _, err := newRoot().Find([]string{name})
		if err != nil || cmd.Name() != name || cmd.Flags().Lookup("flavor") == nil {
			t.Errorf("%s: got %v, %v", name, cmd, err)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	var o pipeline.Options
	if err := (files{key: "/no/such/key"}).read(&o); err == nil || err.Error() != "open /no/such/key: no such file or directory" {
		t.Errorf("got %v", err)
	}
	if err := (files{key: "main_test.go"}).read(&o); err != nil || len(o.Key) < 100 {
		t.Errorf("got %v, %d bytes", err, len(o.Key))
	}
}
