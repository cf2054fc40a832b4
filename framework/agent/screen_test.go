// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
)

// typist types keys with a pause before each, as a person does: a form takes them one by one.
func typist(t *testing.T, keys ...string) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	go func() {
		for _, k := range keys {
			time.Sleep(80 * time.Millisecond)
			if _, err := io.WriteString(w, k); err != nil {
				return
			}
		}
	}()
	return r
}

func formTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestScreen: the forms ask for a disk, a name, a user with a password, and agreement.
func TestScreen(t *testing.T) {
	const enter, down, erase = "\r", "\x1b[B", "\x15"
	var out bytes.Buffer
	all := []disks.Disk{{Path: "/dev/sda", Size: 1 << 40, Sector: 512}, {Path: "/dev/sdb", Size: 1 << 40, Sector: 512}, {Path: "/dev/sdc", Sector: 4096, BIOS: true}}
	got, err := screen{formTime(t), typist(t, down, enter), &out}.device(all)
	if err != nil || got != "/dev/sdb" || !strings.Contains(out.String(), "its sectors have 4096") {
		t.Errorf("%q, %v, %s", got, err, out.String())
	}
	text, err := screen{formTime(t), typist(t, erase, "edge-3", enter, enter, "geheim", enter, "geheim", enter, enter), &out}.config(nil)
	c, problems := config.Decode("a.yaml", text)
	if err != nil || len(problems) > 0 || c.Hostname != "edge-3" || len(c.Users) != 1 || !crypt.Matches(c.Users[0].Password, "geheim") {
		t.Errorf("%v\n%s\n%s", err, text, problems.Error())
	}
	if err := (screen{formTime(t), typist(t, "y"), &out}).agree([]string{"disk /dev/sdb"}); err != nil {
		t.Errorf("agreed: %v", err)
	}
	if err := (screen{formTime(t), typist(t, "n"), &out}).agree(nil); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("not agreed: %v", err)
	}
	if err := (screen{formTime(t), typist(t, "\x03"), &out}).agree(nil); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("ended: %v", err)
	}
}
