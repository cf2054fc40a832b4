// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"os/exec"
	"strings"
	"testing"
)

func TestShellQuote(t *testing.T) {
	argv := []string{"printf", `%s|`, "a b", "it's", `"$HOME"`, "`id`", "", "new\nline", "*"}
	out, err := exec.Command("/bin/sh", "-c", shellQuote(argv)).Output()
	if want := strings.Join(argv[2:], "|") + "|"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

func TestKey(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.Authorized(), "ssh-ed25519 ") || strings.Contains(key.Authorized(), "\n") {
		t.Errorf("got %q", key.Authorized())
	}
}
