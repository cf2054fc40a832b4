// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/kairos-build/kairos-build/flavors"
)

var at = time.Unix(1700000000, 0)

// module is the text "\x7fELF module", as xz compresses it.
const module = "/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAKf0VMRiBtb2R1bGUAAFNewdsAAR8LPWIOepBCmQ0BAAAAAAFZWg=="

const ubuntu = "ubuntu-24.04"

func needDpkg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("SKIPPED: no dpkg-deb here; Debian and Ubuntu have it")
	}
}

func ubuntuPlan(t *testing.T) *plan {
	t.Helper()
	p, err := readPlan(ubuntu)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// oldDeb writes a package of the old distribution; files have their paths and contents.
func oldDeb(t *testing.T, text string, files ...string) string {
	t.Helper()
	data, err := newTarball()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: "." + files[i], Mode: 0o644, ModTime: at}
		if err := data.add(file{h, []byte(files[i+1])}); err != nil {
			t.Fatal(err)
		}
	}
	sums := file{&tar.Header{Typeflag: tar.TypeReg, Name: "md5sums", Mode: 0o644, ModTime: at}, []byte("x")}
	deb, err := writeDeb(control{text, []file{sums}}, data, at)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "old.deb")
	if err := os.WriteFile(path, deb, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// filesOf are the paths, modes and contents of a new package, read by dpkg-deb.
func filesOf(t *testing.T, made pkg) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new.deb")
	if err := os.WriteFile(path, made.deb, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := readControl(t.Context(), path)
	if err != nil || c.text != made.text || len(c.files) > 0 {
		t.Errorf("%s: its control archive has %q and %d more files, %v; want %q", made.name, c.text, len(c.files), err, made.text)
	}
	found := map[string]string{}
	err = each(t.Context(), path, "--fsys-tarfile", func(f file) error {
		if f.header.Typeflag != tar.TypeDir {
			found[f.header.Name] = fmt.Sprintf("%o %s", f.header.Mode, f.data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSourceFlavor: the plan fits the flavors of this repository.
func TestSourceFlavor(t *testing.T) {
	text, err := (maker{name: ubuntu, flavors: "../../flavors"}).sourceFlavor(ubuntuPlan(t))
	if err != nil {
		t.Fatal(err)
	}
	f, err := flavors.Parse("source.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(f.Packages, " ")
	for _, name := range []string{"netplan.io", "apparmor", "firmware-linux-free"} {
		if !strings.Contains(got, name) {
			t.Errorf("the source flavor has no %s: %s", name, got)
		}
	}
	if f.Models["generic"].Kernel[0] != "linux-image-amd64" || strings.Contains(got, "linux-firmware") {
		t.Errorf("the source flavor has names of Ubuntu: %+v", f)
	}
}

// TestWithKey: nothing but the key of the flavor changes.
func TestWithKey(t *testing.T) {
	text, err := os.ReadFile("../../flavors/" + ubuntu + "/flavor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const mine = "0123456789ABCDEF0123456789ABCDEF01234567"
	own, keyring, err := withKey(text, mine)
	if err != nil || keyring != "ubuntu-archive.pgp" {
		t.Fatalf("keyring %s, %v", keyring, err)
	}
	if got := strings.Replace(string(own), mine, "F6ECB3762474EDA9D21B7022871920D1991BC93C", 1); got != string(text) {
		t.Errorf("more than the key differs: %s", cmp.Diff(string(text), got))
	}
	a, err := flavors.Parse("a.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	b := *a
	b.Packages = b.Packages[1:]
	if err := sameButKeys(*a, b); err == nil || !strings.Contains(err.Error(), "differs in Packages") {
		t.Errorf("another package list: %v", err)
	}
}

func TestRepack(t *testing.T) {
	needDpkg(t)
	p := ubuntuPlan(t)
	base, err := p.repack(t.Context(), []string{oldDeb(t, "Package: base-files\nVersion: 13\nArchitecture: amd64\nDepends: awk\n", "/usr/lib/os-release", "ID=debian\n", "/etc/host.conf", "multi on\n")}, at)
	if err != nil {
		t.Fatal(err)
	}
	got := filesOf(t, base[0])
	if text := got["./usr/lib/os-release"]; !strings.Contains(text, "\nID=ubuntu\n") || !strings.HasSuffix(text, "\nVARIANT_ID=stand-in\n") {
		t.Errorf("os-release: %s", text)
	}
	if got["./etc/host.conf"] != "644 multi on\n" || !strings.Contains(got["./etc/lsb-release"], "DISTRIB_ID=Ubuntu") {
		t.Errorf("base-files has %v", got)
	}
	const grub = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
	shim, err := p.repack(t.Context(), []string{
		oldDeb(t, "Package: shim-signed\nVersion: 1\nArchitecture: amd64\nDepends: debian-archive-keyring (>= 1) | a, firmware-linux-free\n X\nProvides: p\n", "/usr/lib/shim/shimx64.efi.signed", "shim", grub, "x/EFI/debian\x00"),
		oldDeb(t, "Package: shim-helpers-amd64-signed\nVersion: 1\nArchitecture: amd64\n", "/usr/lib/shim/mmx64.efi.signed", "mok"),
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"./usr/lib/shim/shimx64.efi.signed.latest": "644 shim", "./usr/lib/shim/mmx64.efi": "644 mok", "." + grub: "644 x/EFI/ubuntu\x00"}
	if diff := cmp.Diff(want, filesOf(t, shim[0])); diff != "" {
		t.Errorf("shim-signed (-want +got):\n%s", diff)
	}
	if want := "Package: shim-signed\nVersion: 1\nArchitecture: amd64\nDepends: ubuntu-keyring (>= 1) | a, linux-firmware\n X\nProvides: p\n"; shim[0].text != want {
		t.Errorf("control: got %q, want %q", shim[0].text, want)
	}
	if _, err := p.repack(t.Context(), []string{oldDeb(t, "Package: g\n", grub, "no folder")}, at); err == nil || !strings.Contains(err.Error(), "does not have the text /EFI/debian") {
		t.Errorf("a GRUB without the text: %v", err)
	}
}

func TestSplitKernel(t *testing.T) {
	needDpkg(t)
	packed, err := base64.StdEncoding.DecodeString(module)
	if err != nil {
		t.Fatal(err)
	}
	const lib = "/usr/lib/modules/6.12/"
	all, err := ubuntuPlan(t).splitKernel(t.Context(), oldDeb(t, "Package: linux-image-6.12\nVersion: 6.12-1\nArchitecture: amd64\n",
		"/boot/vmlinuz-6.12", "kernel", "/boot/config-6.12", "config", lib+"modules.builtin", "", lib+"kernel/fs/ext4/ext4.ko.xz", string(packed), lib+"kernel/fs/erofs/erofs.ko.xz", string(packed)), at)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, made := range all {
		for name, text := range filesOf(t, made) {
			got[made.name+" "+name] = plain(t, text)
		}
		got[made.name] = field(made.text, "Depends")
	}
	want := map[string]string{
		"linux-image-6.12": "kmod, linux-base, linux-modules-6.12", "linux-image-6.12 ./boot/vmlinuz-6.12": "600 kernel",
		"linux-modules-6.12": "linux-base", "linux-modules-6.12 ./boot/config-6.12": "644 config", "linux-modules-6.12 ./lib/modules/6.12/modules.builtin": "644 ",
		"linux-modules-6.12 ./lib/modules/6.12/kernel/fs/ext4/ext4.ko.zst": "644 \x7fELF module",
		"linux-modules-extra-6.12": "linux-image-6.12 | linux-image-unsigned-6.12", "linux-modules-extra-6.12 ./lib/modules/6.12/kernel/fs/erofs/erofs.ko.zst": "644 \x7fELF module",
		"linux-image-generic": "linux-image-6.12, linux-modules-extra-6.12, linux-firmware", "linux-image-virtual": "linux-image-6.12",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// plain is a mode and a text without zstd.
func plain(t *testing.T, text string) string {
	t.Helper()
	mode, data, _ := strings.Cut(text, " ")
	if !strings.HasPrefix(data, "\x28\xb5\x2f\xfd") {
		return text
	}
	var header zstd.Header
	if err := header.Decode([]byte(data)); err != nil || !header.HasFCS {
		t.Errorf("libkmod cannot read a frame without its size: %+v, %v", header, err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.DecodeAll([]byte(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return mode + " " + string(out)
}

// TestPublish: each package is in the suite and the component of the plan, and the suites
// are signed by the key.
func TestPublish(t *testing.T) {
	dir := t.TempDir()
	key, err := openKey(filepath.Join(dir, "key.pgp"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKey(filepath.Join(dir, "key.pgp"))
	if err != nil || again.fingerprint() != key.fingerprint() {
		t.Errorf("the key of a second run is another one: %v", err)
	}
	var all []pkg
	for name, source := range map[string]string{"dash": "dash", "jq": "jq", "linux-image-6.12": "kernel", "openssl": "openssl"} {
		all = append(all, pkg{name, source, "Package: " + name + "\nVersion: 1:2+x\nArchitecture: amd64\n", []byte(name)})
	}
	if err := ubuntuPlan(t).publish(dir, all, key, at); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"main/dists/noble/main/binary-amd64/Packages":                    "dash",
		"main/dists/noble/universe/binary-amd64/Packages":                "jq",
		"main/dists/noble-updates/main/binary-amd64/Packages":            "linux-image-6.12",
		"security/dists/noble-security/main/binary-amd64/Packages":       "openssl",
		"security/dists/noble-security/multiverse/binary-amd64/Packages": "",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || field(string(text), "Package") != want || strings.Count(string(text), "Package:") > 1 {
			t.Errorf("%s: got %q, %v, want %s alone", file, text, err, want)
		}
		if want == "" {
			continue
		}
		mirror, _, _ := strings.Cut(file, "/")
		if name := filepath.Base(field(string(text), "Filename")); name != want+"_2+x_amd64.deb" {
			t.Errorf("%s is in the file %s", want, name)
		}
		if data, err := os.ReadFile(filepath.Join(dir, mirror, field(string(text), "Filename"))); err != nil || string(data) != want {
			t.Errorf("%s: the pool has %q, %v", want, data, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "security/dists/noble-security/InRelease"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := clearsign.Decode(raw)
	if block == nil || !strings.Contains(string(block.Plaintext), "Suite: noble-security\n") {
		t.Fatalf("InRelease is %s", raw)
	}
	if _, err := openpgp.CheckDetachedSignature(openpgp.EntityList{key.entity}, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, nil); err != nil {
		t.Error(err)
	}
}
