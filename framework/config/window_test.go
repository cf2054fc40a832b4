// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	at := func(text string) time.Time {
		at, err := time.Parse("Mon 2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		window, at string
		open       bool
	}{
		{"02:00-05:00", "Mon 2026-11-30 01:59", false},
		{"02:00-05:00", "Mon 2026-11-30 02:00", true},
		{"02:00-05:00", "Mon 2026-11-30 05:00", false},
		{"22:00-04:00", "Mon 2026-11-30 23:00", true},
		{"22:00-04:00", "Mon 2026-11-30 03:59", true},
		{"22:00-04:00", "Mon 2026-11-30 12:00", false},
		{"Sun 22:00-04:00", "Mon 2026-11-30 03:00", true}, // it began on Sunday
		{"Sun 22:00-04:00", "Mon 2026-11-30 23:00", false},
		{"Sat,Sun 02:00-05:00", "Sun 2026-11-29 03:00", true},
		{"Sat,Sun 02:00-05:00", "Mon 2026-11-30 03:00", false},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Contains(at(c.at)); got != c.open || w.String() != c.window {
			t.Errorf("%s (%s) at %s: %v", c.window, w, c.at, got)
		}
	}
	if !(Window{}).Contains(at("Mon 2026-11-30 12:00")) {
		t.Error("the zero window is closed")
	}
}

func FuzzParseWindow(f *testing.F) {
	f.Add("Sat,Sun 22:00-04:00")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWindow(text)
		if err != nil {
			return
		}
		if again, err := ParseWindow(w.String()); err != nil || again.String() != w.String() {
			t.Errorf("%q is read as %q: %v", text, w, err)
		}
	})
}

func TestUpgradeKeys(t *testing.T) {
	for text, want := range map[string]string{
		"upgrade: {channel: Stable}":                    `"Stable" is no channel; write a name of small letters and digits`,
		"upgrade: {channel: edge, window: 2-5}":         `"2-5" is no window: want hours such as 02:00-05:00`,
		"upgrade: {channel: edge, window: 02:00-02:30}": "the window 02:00-02:30 is 30m0s long",
		"upgrade: {channel: edge, repository: debian}":  `"debian" is no repository; write REGISTRY/NAME`,
	} {
		_, problems := Decode("c.yaml", []byte("#cloud-config\n"+text+"\n"))
		if !problems.Failed() || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: got %v\nwant %s", text, problems, want)
		}
	}
	c, problems := Decode("c.yaml", []byte("#cloud-config\nupgrade: {channel: stable, window: \"Sat 02:00-05:00\", repository: \"registry.example.org:5000/edge/debian-13\"}\n"))
	if problems.Failed() || c.Upgrade.Channel != "stable" || c.Upgrade.Window.String() != "Sat 02:00-05:00" || c.Upgrade.Repository != "registry.example.org:5000/edge/debian-13" {
		t.Errorf("got %+v, %v", c.Upgrade, problems)
	}
}
