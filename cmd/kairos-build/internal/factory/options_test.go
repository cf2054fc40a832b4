// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/framework/config"
)

// TestCompatOnTheDisk: the node, which is strict, must take what was let through.
func TestCompatOnTheDisk(t *testing.T) {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const good, old = "hostname: a\n", "hostname: a\nhostnam: b\n"
	paths := []string{write("good.yaml", good), write("old.yaml", old)}
	if _, err := readConfigs(paths, config.Options{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an unknown key is let through without --compat")
	}
	configs, err := readConfigs(paths, config.Options{Compat: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(configs[0].data); got != good {
		t.Errorf("a file without unknown keys is changed: %q", got)
	}
	want := []Input{{Name: "cloud-config good.yaml", Digest: digest.FromString(good).String()}, {Name: "cloud-config old.yaml", Digest: digest.FromBytes(configs[1].data).String()}}
	if diff := cmp.Diff(want, configInputs(configs)); diff != "" {
		t.Errorf("inputs in build.json: -want +got\n%s", diff)
	}
	c, problems := config.Decode("/oem/91_custom.yaml", configs[1].data)
	if problems.Failed() || c.Hostname != "a" {
		t.Errorf("the node refuses %q: %v", configs[1].data, problems)
	}
}
