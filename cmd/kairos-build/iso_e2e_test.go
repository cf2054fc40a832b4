// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/iso"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
)

// liveConfig reports the state of the live system on its console.
const liveConfig = `#cloud-config
hostname: from-the-medium
stages:
  boot:
    - name: report
      commands:
        - kairos-agent status | sed 's/^/status-/' >/dev/ttyS0
        - findmnt -rno TARGET,SOURCE,FSTYPE | sed 's/^/mounts-/' >/dev/ttyS0
        - hostname | sed 's/^/host-/' >/dev/ttyS0
        - ls /usr/local | sed 's/^/persistent-/' >/dev/ttyS0
        - touch /usr/local/kept && sync
`

// An isoLab has an ISO of the image that the environment names.
type isoLab struct {
	host qemu.Host
	iso  string
	dir  string
}

func newISOLab(t *testing.T, args ...string) isoLab {
	t.Helper()
	image := os.Getenv("KAIROS_E2E_IMAGE")
	if image == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_IMAGE")
	}
	host, err := qemu.Find(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l := isoLab{host: host, dir: t.TempDir()}
	l.iso = filepath.Join(l.dir, "live.iso")
	config := filepath.Join(l.dir, "site.yaml")
	if err := os.WriteFile(config, []byte(liveConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if status := run(t.Context(), append([]string{"iso", image, "-o", l.iso}, args...), io.Discard, &stderr); status != 0 {
		t.Fatalf("kairos-build iso: %s", stderr.Bytes())
	}
	if status := run(t.Context(), []string{"iso", "add-config", l.iso, config}, io.Discard, &stderr); status != 0 {
		t.Fatalf("kairos-build iso add-config: %s", stderr.Bytes())
	}
	return l
}

// boot starts a machine and returns its console up to the line want. A person at its first
// menu chooses the entry, if there is one.
func (l isoLab) boot(t *testing.T, want string, c qemu.Config, choose ...qemu.MenuEntry) string {
	t.Helper()
	ctx, cancel := qemu.WithTimeout(t.Context(), 20*time.Minute) // QEMU writes 6 MB/s to an SD card
	defer cancel()
	c.Host, c.Accel, c.NoReboot = l.host, qemu.TCG(l.host), true
	c.ConsoleLog, c.Faults = filepath.Join(t.TempDir(), "console.log"), []qemu.Fault{}
	begin := time.Now()
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range choose {
		err = errors.Join(err, vm.Choose(ctx, entry))
	}
	if err == nil {
		_, err = vm.WaitFor(ctx, regexp.MustCompile(want))
	}
	took := time.Since(begin)
	err = errors.Join(err, vm.Close())
	console, readErr := os.ReadFile(c.ConsoleLog)
	if err := errors.Join(err, readErr); err != nil {
		t.Fatalf("waiting for %q: %v\n%s", want, err, console)
	}
	t.Logf("%.1f s from power-on to %q", took.Seconds(), want)
	return string(console)
}

func expectAll(t *testing.T, console string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(console) {
			t.Errorf("the console does not say %q:\n%s", w, console)
		}
	}
}

const liveReady = `kairos: ready slot=none mode=live`

// TestISO starts the ISO in each of its roles. The menu's first entry starts by itself.
func TestISO(t *testing.T) {
	l := newISOLab(t)
	cd := func(b qemu.Boot) qemu.Config { return qemu.Config{Boot: b, CDROMs: []string{l.iso}} }
	disk := func(b qemu.Boot, bus qemu.Bus) qemu.Config { return qemu.Config{Boot: b, Disk: l.iso, Bus: bus} }
	for _, test := range []struct {
		name   string
		short  bool // make test boots it, too
		config qemu.Config
		medium string
		also   []string
	}{
		{"CD-ROM, BIOS", false, cd(qemu.BIOS), "/dev/sr0", nil},
		{"CD-ROM, UEFI", false, cd(qemu.UEFI), "/dev/sr0", nil},
		{"CD-ROM, Secure Boot", false, cd(qemu.SecureBoot), "/dev/sr0", []string{`[Ss]ecure boot enabled`}},
		{"stick, BIOS", false, disk(qemu.BIOS, qemu.USB3), "/dev/sda1", nil},
		{"stick, UEFI", false, disk(qemu.UEFI, qemu.USB3), "/dev/sda1", nil},
		{"stick, Secure Boot", true, disk(qemu.SecureBoot, qemu.USB3), "/dev/sda1", []string{`[Ss]ecure boot enabled`}},
		{"disk, UEFI", false, disk(qemu.UEFI, qemu.VirtioBlk), "/dev/vda1", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && !test.short {
				t.Skip("make prove boots it")
			}
			console := l.boot(t, liveReady, test.config)
			expectAll(t, console, append(test.also,
				`the live system is on `+test.medium, `mounts-/run/initramfs/live +`+test.medium+` +iso9660`, `mounts-/usr/local +tmpfs`,
				`status-slot +none: a live system, from `+test.medium, `status-problems +none`, `host-from-the-medium`)...)
		})
	}
}

// TestISOKeepsData: what a live system writes is on the stick at the next boot. A CD-ROM
// beside that stick does not use its partition.
func TestISOKeepsData(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t, "--persistent", "256M")
	c := qemu.Config{Boot: qemu.UEFI, Disk: l.iso, Bus: qemu.USB3, Dir: t.TempDir()}
	first := l.boot(t, liveReady, c)
	expectAll(t, first, `what is written to /usr/local is kept on /dev/sda3`, `mounts-/usr/local +/dev/sda3 +ext4`)
	if strings.Contains(first, "persistent-kept") {
		t.Error("the first boot finds what it has not written yet")
	}
	if testing.Short() {
		return
	}
	expectAll(t, l.boot(t, liveReady, c), `persistent-kept`)
	c.CDROMs, c.Disk, c.Dir = []string{newISOLab(t).iso}, "", ""
	c.ExtraDisks = []string{l.iso}
	expectAll(t, l.boot(t, liveReady, c), `the live system is on /dev/sr0`, `mounts-/usr/local +tmpfs`)
}

// TestISOTrouble starts kernel and initrd of the ISO without its boot loader.
func TestISOTrouble(t *testing.T) {
	l := newISOLab(t)
	kernel, initrd, args := l.unpack(t)
	altered := filepath.Join(l.dir, "altered.iso")
	l.alter(t, altered)
	for _, test := range []struct {
		name   string
		config qemu.Config
		end    string
		want   []string
	}{
		{"in memory", qemu.Config{CDROMs: []string{l.iso}, Append: "kairos.live=medium kairos.ram"}, liveReady,
			[]string{`the medium /dev/sr0 can be removed`, `mounts-/run/initramfs/live +tmpfs`, `host-from-the-medium`}},
		{"too little memory", qemu.Config{CDROMs: []string{l.iso}, MemoryMiB: 700, Append: "kairos.live=medium kairos.ram"}, "Restarting in 60 s",
			[]string{`this machine has too little memory for kairos.ram: the medium takes \d+ MiB and the system 512 MiB besides, and \d+ of \d+ MiB are free; it needs \d+ MiB`}},
		{"no medium", qemu.Config{Append: "kairos.live=medium kairos.diskwait=3"}, "Restarting in 60 s",
			[]string{`the medium with the live system did not appear within 3s`}},
		{"altered and in memory", qemu.Config{CDROMs: []string{altered}, Append: "kairos.live=medium kairos.ram"}, "Restarting in 60 s",
			[]string{`the root image on /dev/sr0 is altered or damaged; write the medium again`}},
		{"no tree in the initramfs", qemu.Config{Append: "kairos.live=initramfs"}, "Restarting in 60 s",
			[]string{`the initramfs has no root image`, `MiB of memory`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && test.end == liveReady {
				t.Skip("make prove boots it")
			}
			c := test.config
			c.Kernel, c.Initrd, c.Append = kernel, initrd, args+" "+c.Append
			expectAll(t, l.boot(t, test.end, c), test.want...)
		})
	}
}

// unpack takes kernel, initrd and kernel arguments from the ISO.
func (l isoLab) unpack(t *testing.T) (kernel, initrd, args string) {
	t.Helper()
	image, f := l.open(t, l.iso)
	defer f.Close()
	take := func(name string) (string, []byte) {
		r, err := image.File(layout.LiveTree + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		path := filepath.Join(l.dir, name)
		if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path, data
	}
	kernel, _ = take(layout.BootKernel)
	initrd, _ = take(layout.BootInitrd)
	_, script := take("BOOT.CFG")
	_, quoted, _ := strings.Cut(string(script), `"`)
	args, _, _ = strings.Cut(quoted, `"`)
	return kernel, initrd, args
}

func (l isoLab) open(t *testing.T, path string) (*iso9660.Image, *os.File) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	image, err := iso9660.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return image, f
}

// alter makes a copy of the ISO with one other byte in the middle of its root image.
func (l isoLab) alter(t *testing.T, to string) {
	t.Helper()
	if err := iso.AddConfig(t.Context(), l.iso, to, []byte(iso.DefaultConfig)); err != nil {
		t.Fatal(err)
	}
	image, f := l.open(t, to)
	e, _ := image.Extent(layout.LiveRoot)
	b := make([]byte, 1)
	_, err := f.ReadAt(b, e.Offset+e.Size/2)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b, e.Offset+e.Size/2)
	if err := errors.Join(err, writeErr, f.Close()); err != nil {
		t.Fatal(err)
	}
}
