// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigVerb(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "hostname: one\nusers: [{name: ada, passwd: '*', groups: [a]}]\n")
	put(t, dir, "oem/20.yaml", "hostname: two\nusers: [{name: ada, groups: [b]}]\n")
	put(t, dir, "oem/30.yaml", "hostname: three\nusers: [\n")
	put(t, dir, "proc/cmdline", "kairos.slot=a kairos.config=nothing kairos.config=strict=true\n")
	other := filepath.Join(dir, "other.yaml")
	put(t, dir, "other.yaml", "hostname: other\n")
	const unused = "/oem/30.yaml: not used, because of its errors; type: kairos-agent validate /oem/30.yaml\n"
	const line = "kernel command line: not used, because of its errors; type: kairos-agent validate\n"
	for _, c := range []struct {
		name string
		args []string
		want result
	}{
		{"get", []string{"get", "hostname"}, result{0, "two\n", unused + line}},
		{"get json", []string{"get", "users.ada.groups", "--json"}, result{0, "[\n  \"a\",\n  \"b\"\n]\n", unused + line}},
		{"explain", []string{"explain", "hostname"}, result{0, "hostname = \"two\"  (/oem/20.yaml:1:11)\n  instead of \"one\"  (/oem/10.yaml:1:11)\n", unused + line}},
		{"items", []string{"explain", "users.ada"}, result{0, "users[0].name = \"ada\"  (/oem/20.yaml:2:16)\nusers[0].passwd = (secret)  (/oem/10.yaml:2:29)\nusers[0].groups[0] = \"a\"  (/oem/10.yaml:2:43)\nusers[0].groups[1] = \"b\"  (/oem/20.yaml:2:30)\n", unused + line}},
		{"files", []string{"explain", "hostname", other}, result{0, "hostname = \"other\"  (" + other + ":1:11)\n", ""}},
		{"file flag", []string{"get", "--file", other, "hostname"}, result{0, "other\n", ""}},
		{"typo", []string{"--file", other, "get", "hostnam"}, result{1, "", "kairos-agent: no config gives the key \"hostnam\"; did you mean \"hostname\"?\n"}},
		{"usage", []string{"put"}, result{2, "", "kairos-agent: unknown command \"put\" (see `kairos-agent config --help`)\n"}},
		{"no verb", nil, result{2, "", "kairos-agent: kairos-agent config does nothing alone: it has the commands explain, get (see `kairos-agent config --help`)\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, dir, "", append([]string{"config"}, c.args...)...)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrintSchema(t *testing.T) {
	want, err := os.ReadFile("../../docs/cloud-config.schema.json")
	if got := call(t, t.TempDir(), "", "print-schema"); err != nil || got.code != 0 || got.stdout != string(want) {
		t.Errorf("%v, status %d, %d bytes, want %d", err, got.code, len(got.stdout), len(want))
	}
}
