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
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// TestCompatOnTheDisk: the node, which is strict, must accept what the build accepted.
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

// TestUserDataOnTheDisk: the build takes what a datasource takes. What a datasource
// would leave out is an error.
func TestUserDataOnTheDisk(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "given")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const script = "#!/bin/sh\necho hi\n"
	message := func(kind, last string) string {
		return "Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/cloud-config\n\nhostname: a\n--B\nContent-Type: " + kind + "\n\n" + last + "\n--B--\n"
	}
	log := slog.New(slog.DiscardHandler)
	configs, err := readConfigs([]string{write(script), write(message("text/x-shellscript", script))}, config.Options{}, log)
	if err != nil || len(configs) != 3 {
		t.Fatalf("%d configs, %v", len(configs), err)
	}
	for i, want := range []int{1, 0, 1} {
		c, problems := config.Decode("f", configs[i].data)
		if problems.Failed() || len(c.Stages["boot"]) != want {
			t.Errorf("config %d has %d steps, want %d; %v", i, len(c.Stages["boot"]), want, problems)
		}
	}
	for _, text := range []string{message("text/jinja2", "x"), "#include\nx\n", "hostname: -\n"} {
		if _, err := readConfigs([]string{write(text)}, config.Options{}, log); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestConfigsOnTheDisk: files keep the order of the command, and only root reads them.
func TestConfigsOnTheDisk(t *testing.T) {
	got := oemEntries([]cloudConfig{{path: "b.yaml", data: []byte("hostname: b\n")}, {path: "a.yaml", data: []byte("hostname: a\n")}})
	want := []ext4.Entry{
		{Path: "90_custom.yaml", Mode: 0o600, Data: []byte("hostname: b\n")},
		{Path: "91_custom.yaml", Mode: 0o600, Data: []byte("hostname: a\n")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
