// SPDX-License-Identifier: Apache-2.0

package arguments

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name    string
		files   map[string]string
		env     map[string]string
		args    []string
		flag    string
		want    []string
		warning string
		err     string
	}{
		{name: "default", flag: "https-listen-port", want: []string{"6443"}},
		{name: "argument", args: []string{"--tls-san", "a", "--tls-san=b"}, flag: "tls-san", want: []string{"a", "b"}},
		{name: "short argument", args: []string{"-t", "secret"}, flag: "token", want: []string{"secret"}},
		{name: "variable", env: map[string]string{"K3S_TOKEN": "secret"}, flag: "token", want: []string{"secret"}},
		{name: "argument over variable", env: map[string]string{"K3S_TOKEN": "a"}, args: []string{"--token=b"}, flag: "token", want: []string{"b"}},
		{name: "file", files: map[string]string{"config.yaml": "node-label:\n- a=b\n- c=d\n"}, flag: "node-label", want: []string{"a=b", "c=d"}},
		{name: "number in a file", files: map[string]string{"config.yaml": "https-listen-port: 7443\n"}, flag: "https-listen-port", want: []string{"7443"}},
		{name: "a later file replaces", files: map[string]string{"config.yaml": "tls-san: [a]\n", "config.yaml.d/1.yaml": "tls-san: [b]\n"}, flag: "tls-san", want: []string{"b"}},
		{name: "a later file appends", files: map[string]string{"config.yaml": "tls-san: [a]\n", "config.yaml.d/1.yaml": "tls-san+: [b]\n"}, flag: "tls-san", want: []string{"a", "b"}},
		{
			name:  "a third file without plus replaces all",
			files: map[string]string{"config.yaml": "tls-san: [a]\n", "config.yaml.d/1.yaml": "tls-san+: [b]\n", "config.yaml.d/2.yaml": "tls-san: [c]\n"},
			flag:  "tls-san", want: []string{"c"},
		},
		{
			name:  "an unknown key is skipped",
			files: map[string]string{"config.yaml": "tls-sans: [a]\ntoken: secret\n"}, flag: "token", want: []string{"secret"},
			warning: "Unknown flag --tls-sans found in config.yaml, skipping",
		},
		{name: "an unknown argument stops", args: []string{"--tls-sans=a"}, err: "flag provided but not defined: -tls-sans"},
		{name: "a wrong number", args: []string{"--https-listen-port=high"}, err: `invalid value "high" for flag -https-listen-port`},
		{name: "a wrong boolean in a file", files: map[string]string{"config.yaml": "cluster-init: perhaps\n"}, err: `invalid boolean value "perhaps" for -cluster-init`},
		{name: "a chosen file must exist", env: map[string]string{"K3S_CONFIG_FILE": "/nowhere/config.yaml"}, err: "no such file"},
		{name: "a file that is a list", files: map[string]string{"config.yaml": "- a\n"}, err: "is not a mapping"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range test.files {
				writeFile(t, filepath.Join(root, "etc/rancher/k3s", name), text)
			}
			var warnings []string
			command, _ := Find("server")
			values, err := command.Parse(Input{
				Args: test.args, Root: root,
				Getenv: func(name string) string { return test.env[name] },
				Warn:   func(message string) { warnings = append(warnings, message) },
			})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := values.List(test.flag); !slices.Equal(got, test.want) {
				t.Errorf("--%s is %q, want %q", test.flag, got, test.want)
			}
			if got := strings.Join(warnings, "\n"); got != test.warning {
				t.Errorf("got warning %q, want %q", got, test.warning)
			}
		})
	}
}

func TestWithout(t *testing.T) {
	command, _ := Find("server")
	older := command.Without([]string{"embedded-registry"})
	if _, err := older.Parse(Input{Args: []string{"--embedded-registry"}, Root: t.TempDir(), Getenv: func(string) string { return "" }}); err == nil {
		t.Error("a version without a flag takes it")
	}
	if strings.Contains(older.Help(), "--embedded-registry") || !strings.Contains(command.Help(), "--embedded-registry") {
		t.Error("the help does not say which flags a version has")
	}
}

func TestFlagNamesAreUnique(t *testing.T) {
	for _, command := range Commands() {
		seen := map[string]bool{}
		for _, f := range command.Flags {
			for _, name := range f.names() {
				if seen[name] {
					t.Errorf("k3s %s has --%s twice", command.Name, name)
				}
				seen[name] = true
			}
		}
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
