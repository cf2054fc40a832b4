// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// bootFiles is the environment variable that names a folder with the files of an
// image's layout.ImageBoot and a signed kernel, vmlinuz.
const bootFiles = "KAIROS_E2E_BOOT"

// bootTimeout allows for a busy machine without KVM.
const bootTimeout = 4 * time.Minute

// A firmware is a way to start the virtual machine.
type firmware struct {
	name string
	args func(t *testing.T) []string
	says string // what the kernel prints on the console
	// kernel is booted in place of Linux; nil means Linux.
	kernel []byte
	// steps are the boots. BIOS with the small kernel runs all of them, because its
	// boots are the shortest. Secure Boot, where GRUB is locked down, runs the trial
	// of a slot and its fallback. UEFI without Secure Boot runs the same GRUB.
	steps []step
	// short is the part of the steps that stands for all.
	short []step
}

func firmwares() []firmware {
	return []firmware{
		{"grub", bios, echoSays, echoKernel(), append(append(trial(), more()...), rare()...), append(trial(), rare()...)},
		{"bios", bios, "Linux version", nil, trial()[:2], trial()[:2]},
		{"uefi", func(t *testing.T) []string { return ovmf(t, "q35", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd") }, "efi: EFI v", nil, trial()[:2], nil},
		{"secureboot", func(t *testing.T) []string {
			return append(ovmf(t, "q35,smm=on", "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"), "-global", "driver=cfi.pflash01,property=secure,value=on")
		}, "secureboot: Secure boot enabled", nil, trial()[:4], trial()[:2]},
	}
}

func bios(*testing.T) []string { return []string{"-machine", "q35"} }

func ovmf(t *testing.T, machine, code, vars string) []string {
	own := filepath.Join(t.TempDir(), vars)
	if err := os.WriteFile(own, mustRead(t, "/usr/share/OVMF/"+vars), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-machine", machine,
		"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/" + code,
		"-drive", "if=pflash,format=raw,file=" + own}
}

// A step is one boot: the environment before it, the broken partitions, and the
// expected choice. If nothing is broken, State.Choose gives the expected choice.
type step struct {
	vars   map[string]string // nil: as the last boot left it
	broken []string          // boot partitions without a file system
	says   string
	slot   layout.Slot // with broken
	mode   layout.Mode
}

func trial() []step {
	return []step{
		{},
		{vars: map[string]string{"good": "a", "try": "b", "tries": "2"}},
		{},
		{says: "slot b did not become good in its tries; falling back to slot a"},
		{},
		{vars: map[string]string{"good": "b"}},
	}
}

func more() []step {
	return []step{
		{vars: map[string]string{"good": "b", "try": "a", "tries": "3"}},
		{}, {}, {},
		{vars: map[string]string{"good": "a", "next": "passive"}},
		{},
		{vars: map[string]string{"good": "b", "try": "a", "tries": "1", "next": "recovery"}},
		{}, {},
		{vars: map[string]string{"good": "a", "try": "b", "tries": "1", "next": "active"}},
		{vars: map[string]string{"good": "x", "try": "y", "tries": "7", "next": "z"}},
	}
}

// rare are boots of a node in trouble.
func rare() []step {
	return []step{
		{vars: map[string]string{}},
		{vars: map[string]string{"good": "b", "unproven": "4"}},
		{says: "slot b did not come up in 5 boots; slot a has its turn"},
		{says: "slot b did not come up in 5 boots; slot recovery has its turn"},
		{},
		{vars: map[string]string{"good": "a", "bad": "b", "badrec": "1", "unproven": "5"}},
		{vars: map[string]string{"good": "a", "try": "b", "tries": "0", "unproven": "5"}},
		{vars: map[string]string{"good": "a", "try": "b", "tries": "2"}, broken: []string{"boot-b"}, says: "slot b cannot be loaded from (hd0,gpt5)", slot: "a", mode: "passive"},
		{vars: map[string]string{"good": "a"}, broken: []string{"boot-a"}, says: "slot a cannot be loaded", slot: "b", mode: "passive"},
		{broken: []string{"boot-a", "boot-b"}, says: "slot b cannot be loaded", slot: "recovery", mode: "recovery"},
	}
}

// TestBoot starts kernels through real firmware, shim and GRUB.
func TestBoot(t *testing.T) {
	for _, f := range firmwares() {
		t.Run(f.name, func(t *testing.T) {
			s := bootSpec(t)
			if f.kernel != nil {
				s.Image.Kernel = f.kernel
			}
			if testing.Short() {
				f.steps = f.short
			}
			path, _ := write(t, s)
			for i, st := range f.steps {
				name := fmt.Sprintf("%d", i)
				if !t.Run(name, func(t *testing.T) { boot(t, f, s, path, st) }) {
					return
				}
			}
		})
	}
}

// TestLongestLine boots an image with the longest arguments that it may have. The
// last of them must reach the kernel, and so must those that every boot needs. The
// kernel prints only the first thousand bytes of its command line, so the last
// argument has an effect that shows on the console.
func TestLongestLine(t *testing.T) {
	s := bootSpec(t)
	const last = " mem=500M"
	s.Image.Cmdline += " pad="
	s.Image.Cmdline += strings.Repeat("x", bootconf.MaxCmdline-len(s.Image.Cmdline+last)) + last
	for _, f := range firmwares() {
		if f.kernel != nil || testing.Short() && f.short == nil {
			continue // only Linux obeys the last argument
		}
		t.Run(f.name, func(t *testing.T) {
			path, _ := write(t, s)
			setEnv(t, path, map[string]string{"good": "a", "bad": "b", "badrec": "1", "next": "active"})
			console := start(t, f, path)
			for _, want := range []string{"user-defined physical RAM map", " kairos.slot=a kairos.mode=active kairos.disk="} {
				if !strings.Contains(console, want) {
					t.Errorf("the console does not say %q:\n%s", want, console)
				}
			}
		})
	}
}

func boot(t *testing.T, f firmware, s disk.Spec, path string, st step) {
	if st.vars != nil {
		setEnv(t, path, st.vars)
	}
	state, _ := slot.ParseVars(env(t, path))
	want, after := state.Boot()
	if st.broken != nil {
		want = slot.Choice{Slot: st.slot, Mode: st.mode}
		defer breakPartitions(t, path, s, st.broken)()
	}
	console := start(t, f, path)
	for _, text := range []string{f.says, st.says, fmt.Sprintf("kairos: starting slot %s (%s)", want.Slot, want.Mode)} {
		if !strings.Contains(console, text) {
			t.Errorf("the console does not say %q", text)
		}
	}
	found := cmdline.FindStringSubmatch(console)
	if found == nil {
		t.Fatalf("no command line on the console:\n%s", console)
	}
	if diff := cmp.Diff(wantArgs(s, want, env(t, path)), strings.Fields(found[1])[1:]); diff != "" {
		t.Errorf("arguments (-want +got)\n%s", diff)
	}
	if got, err := slot.ParseVars(env(t, path)); state != got && after != got {
		t.Errorf("environment afterwards: %+v, want %+v (%v)", got, after, err)
	} else if st.broken == nil && got != after {
		t.Errorf("environment afterwards: %+v, want %+v", got, after)
	}
}

var cmdline = regexp.MustCompile(`Kernel command line: (.*)`)

// wantArgs are the kernel's arguments in a boot that left vars in the environment.
// The arguments that every boot needs come first.
func wantArgs(s disk.Spec, c slot.Choice, vars map[string]string) []string {
	if vars["good"] != "b" {
		vars["good"] = "a"
	}
	var env []string
	for _, name := range []string{"good", "try", "tries", "bad", "badrec", "next", "unproven"} {
		env = append(env, name+"="+vars[name])
	}
	return append([]string{
		"kairos.slot=" + string(c.Slot), "kairos.mode=" + string(c.Mode),
		"kairos.disk=" + disk.PartitionID(s.ID, "efi").String(), "kairos.env=" + strings.Join(env, ","),
		fmt.Sprintf("kairos.roothash=%x", s.Image.Tree.RootHash), fmt.Sprintf("kairos.hashoffset=%d", s.Image.Tree.HashOffset),
	}, strings.Fields(s.Image.Cmdline)...)
}

// start runs the machine until the kernel has printed its command line. Other tests
// cover the rest of the boot; QEMU's emulation is known to crash kernels there.
func start(t *testing.T, f firmware, path string) string {
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	args := append(f.args(t), "-accel", "tcg", "-smp", "1", "-m", "512", "-nodefaults", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-drive", "if=virtio,format=raw,cache=unsafe,file="+path)
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var console strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&console, lines.Text())
		if cmdline.MatchString(lines.Text()) {
			cancel()
		}
	}
	if err := cmd.Wait(); err != nil && !cmdline.MatchString(console.String()) {
		t.Fatalf("qemu: %v after %v\n%s", err, time.Since(began), console.String())
	}
	t.Logf("%s: %.1f s", f.name, time.Since(began).Seconds())
	return console.String()
}

// breakPartitions clears the first sector of partitions, so that GRUB sees no file
// system there. It returns a function that repairs them.
func breakPartitions(t *testing.T, path string, s disk.Spec, names []string) func() {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, result := write(t, s) // for its table
	var repairs []func()
	for _, name := range names {
		p, _ := result.Table.Partition(name)
		sector := make([]byte, 512)
		if _, err := f.ReadAt(sector, p.Offset()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 512), p.Offset()); err != nil {
			t.Fatal(err)
		}
		repairs = append(repairs, func() { _, _ = f.WriteAt(sector, p.Offset()) })
	}
	return func() {
		for _, repair := range repairs {
			repair()
		}
		f.Close()
	}
}

// envOffset finds the environment block on the EFI partition.
func envOffset(t *testing.T, path string) (block []byte, offset int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 40<<20)
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 512 { // the text is in grubx64.efi too, but not at a sector's start
		if bytes.HasPrefix(data[at:], []byte("# GRUB Environment Block\n")) {
			return data[at : at+grubenv.Size], int64(at)
		}
	}
	t.Fatal("no environment block")
	return nil, 0
}

func env(t *testing.T, path string) map[string]string {
	t.Helper()
	block, _ := envOffset(t, path)
	if !bytes.Equal(block[512:], bytes.Repeat([]byte{'#'}, 512)) {
		t.Error("the environment's second sector is in use")
	}
	vars, err := grubenv.Decode(block)
	if err != nil {
		t.Fatal(err)
	}
	return vars
}

func setEnv(t *testing.T, path string, vars map[string]string) {
	t.Helper()
	_, at := envOffset(t, path)
	block, err := grubenv.Encode(vars)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(block, at); err != nil {
		t.Fatal(err)
	}
}

func bootSpec(t *testing.T) disk.Spec {
	t.Helper()
	dir := os.Getenv(bootFiles)
	if dir == "" {
		t.Skipf("NOTHING IS BOOTED: set %s to a folder with bios/, efi/, grub-dir and vmlinuz", bootFiles)
	}
	s := spec(t)
	s.Sizes.Boot = 64 * layout.MiB
	s.Image.Bootloader = map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		s.Image.Bootloader[name] = mustRead(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Image.Kernel = s.Image.Bootloader["vmlinuz"]
	s.Image.Cmdline = "console=tty1 console=ttyS0,115200n8 panic=10"
	return s
}
