// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// TestARM64 chooses every package of debian-13 for arm64 in Debian's signed archive, and starts
// the kernel that it chose on a machine of arm64. It builds no image, which takes minutes in
// emulation: `make prove-arm64` does.
func TestARM64(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{Arch: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	families, err := families(familyOptions{state: t.TempDir(), log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	set, err := families["apt"].Resolve(t.Context(), choice)
	if err != nil {
		t.Fatal(err)
	}
	c := qemu.Config{NoReboot: true, Faults: []qemu.Fault{}, Append: "console=ttyAMA0 panic=-1", Kernel: filepath.Join(t.TempDir(), "vmlinuz")}
	if err := os.WriteFile(c.Kernel, kernelIn(t, set), 0o600); err != nil {
		t.Fatal(err)
	}
	if c.Host, err = qemu.Find(t.Context(), "arm64", ""); err != nil {
		t.Fatal(err)
	}
	c.Accel = qemu.TCG(c.Host)
	vm, err := qemu.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, line := range []string{`Linux version \S+-arm64 `, `Kernel command line: console=ttyAMA0`, `not syncing: VFS: Unable to mount root fs`} {
		if _, err := vm.WaitFor(t.Context(), regexp.MustCompile(line)); err != nil {
			t.Fatal(err)
		}
	}
}

// kernelIn takes the kernel out of the packages of a set.
func kernelIn(t *testing.T, set *packages.Set) []byte {
	t.Helper()
	var input bytes.Buffer
	for _, in := range set.Inputs {
		if in.Name != recipes.InputKernel {
			continue
		}
		if err := in.Write(t.Context(), &input, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	for r := tar.NewReader(&input); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			t.Fatal("no package has a kernel")
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(h.Name, "linux-image-") {
			continue
		}
		deb := filepath.Join(t.TempDir(), "kernel.deb")
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(deb, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		into := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--extract", deb, into).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		found, err := filepath.Glob(filepath.Join(into, "boot/vmlinuz-*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s has the kernels %q: %v", h.Name, found, err)
		}
		kernel, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		return kernel
	}
}
