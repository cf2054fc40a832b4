// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package ownmounts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/ownmounts"
)

func TestMain(m *testing.M) { os.Exit(ownmounts.Run(m)) }

// TestUnmounted: a mount namespace that another process of the host makes does not hold what is
// mounted here. The loop device is gone when the last one has unmounted it.
func TestUnmounted(t *testing.T) {
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if err := os.WriteFile(image, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	run("mkfs.ext4", "-q", "-F", image)
	run("mount", "-o", "loop", image, at)
	host := fmt.Sprintf("--mount=/proc/%d/ns/mnt", os.Getppid())
	other := exec.CommandContext(t.Context(), "nsenter", host, "unshare", "--mount", "sh", "-c", "echo made; exec sleep 60")
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	if n, err := said.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("no other mount namespace: %v", err)
	}
	if held := run("losetup", "--associated", image); held == "" {
		t.Fatal("the image has no loop device")
	}
	run("umount", at)
	if held := strings.TrimSpace(run("losetup", "--associated", image)); held != "" {
		t.Errorf("after umount it is still mounted: %s", held)
	}
}
