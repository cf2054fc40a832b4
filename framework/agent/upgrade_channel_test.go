// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// TestChannelRefused reads what is refused, and what a node that upgrades itself leaves.
func TestChannelRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config string
		args   []string
		code   int
		stderr string
	}{
		{"a wrong name", "", []string{"--channel", "Stable"}, 2, `--channel: not a channel: "Stable": want a name of small letters and digits`},
		{"recovery", "", []string{"--channel", "stable", "--recovery"}, 2, "--channel is for a verified image in the passive slot"},
		{"unverified", "", []string{"--channel", "stable", "--insecure-skip-verify"}, 2, "--channel is for a verified image in the passive slot"},
		{"no channel", "", []string{"--scheduled"}, 0, "no upgrade now: the config names no channel"},
		{"no node", "upgrade: {channel: stable}", []string{"--scheduled"}, 1, "no boot state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := newNode(t)
			if tt.config != "" {
				put(t, dir, "oem/90-x.yaml", "#cloud-config\n"+tt.config+"\n")
			}
			got := call(t, dir, "", append([]string{"upgrade"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got %+v, want status %d and %q", got, tt.code, tt.stderr)
			}
		})
	}
}
