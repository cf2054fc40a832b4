// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/upgrade"
)

const bootJSON = `{"version": 1, "slot": "a", "mode": "MODE", "disk": {"device": "/dev/vda"}, "partitions": [PARTS]}`

func TestUpgradeRefuses(t *testing.T) {
	efi := `{"number": 2, "name": "efi", "device": "/dev/nosuch2"}`
	state := func(mode, parts string) string {
		return strings.NewReplacer("MODE", mode, "PARTS", parts).Replace(bootJSON)
	}
	for _, tt := range []struct {
		name   string
		boot   string // content of boot.json; empty: no file
		args   []string
		code   int
		stderr string
	}{
		{"no source", state("active", efi), nil, 2, "which image? Give --source oci:REF"},
		{"an argument", state("active", efi), []string{"oci:registry.example.org/node:v1"}, 2, "takes no arguments"},
		{"bad mirror", state("active", efi), []string{"--source", "dir:/x", "--mirror", "here"}, 2, "want HOST=URL"},
		{"no node", "", []string{"--source", "dir:/x"}, 1, "no boot state: this system was not started by the kairos initramfs"},
		{"live", state("live", efi), []string{"--source", "dir:/x"}, 1, "install it first"},
		{"no boot environment", state("active", efi), []string{"--source", "dir:/x"}, 1, "boot environment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := newNode(t)
			if tt.boot != "" {
				put(t, dir, "run/cos/boot.json", tt.boot)
			}
			got := call(t, dir, "", append([]string{"upgrade"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stderr, tt.stderr) || got.stdout != "" {
				t.Errorf("got %+v, want status %d and %q", got, tt.code, tt.stderr)
			}
		})
	}
}

func TestPrintUpgrade(t *testing.T) {
	r := upgrade.Result{Slot: "b", Version: "v1.1.0", From: "v1.0.0", Digest: "sha256:1", RootHash: "2", Bytes: 3 << 20, Seconds: 4.25, Tries: 3}
	same := r
	same.SameVersion = true
	for _, tt := range []struct {
		name  string
		r     upgrade.Result
		flags upgradeFlags
		want  string
	}{
		{"newer", r, upgradeFlags{}, "slot     b\nversion  v1.1.0, was v1.0.0\nimage    sha256:1\nroot     2\ntrust    NOT VERIFIED: nobody vouches for this image\n3 MiB written and read back in 4.2 s\nslot b is tried at the next boot: reboot when it suits\n"},
		{"same", same, upgradeFlags{reboot: true}, "version  v1.1.0, the same version as before\n"},
		{"json", r, upgradeFlags{json: true}, `"rootHash": "2"`},
	} {
		var out bytes.Buffer
		if err := printUpgrade(&out, tt.r, tt.flags); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: error %v, got %q, want %q", tt.name, err, out.String(), tt.want)
		}
	}
}

func TestProgressView(t *testing.T) {
	for _, tt := range []struct {
		live bool
		want string
	}{
		{false, "checking\nwriting\nwriting   50%  10 of 20 MiB  1.9 MiB/s\nword\nreading back\n"},
		{true, clearLine + "checking" + clearLine + "writing" + clearLine + "writing   25%  5 of 20 MiB" + clearLine + "writing   50%  10 of 20 MiB  1.9 MiB/s" +
			clearLine + "word\n" + clearLine + "reading back" + clearLine},
	} {
		var out bytes.Buffer
		at := time.Unix(0, 0)
		v := &progressView{out: &out, live: tt.live, now: func() time.Time { return at }}
		for _, p := range []struct {
			after time.Duration
			upgrade.Progress
		}{
			{0, upgrade.Progress{Step: upgrade.StepCheck}},
			{0, upgrade.Progress{Step: upgrade.StepWrite, Total: 20 << 20}},
			{200 * time.Millisecond, upgrade.Progress{Step: upgrade.StepWrite, Done: 5 << 20, Total: 20 << 20}},
			{time.Millisecond, upgrade.Progress{Step: upgrade.StepWrite, Done: 6 << 20, Total: 20 << 20}},
			{5 * time.Second, upgrade.Progress{Step: upgrade.StepWrite, Done: 10 << 20, Total: 20 << 20}},
		} {
			at = at.Add(p.after)
			v.show(p.Progress)
		}
		if _, err := v.Write([]byte("word\n")); err != nil {
			t.Fatal(err)
		}
		v.show(upgrade.Progress{Step: upgrade.StepReadBack, Total: 1})
		v.end()
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("live %v: -want +got\n%s", tt.live, diff)
		}
	}
}
