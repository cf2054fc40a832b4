// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/flavors"
)

func rpmPlans(t *testing.T) map[string]*rpmPlan {
	t.Helper()
	all := map[string]*rpmPlan{}
	for _, name := range []string{"rocky-9", "opensuse-leap-16.0"} {
		p, err := readRPMPlan(name)
		if err != nil || p == nil {
			t.Fatalf("%s: %v, %v", name, p, err)
		}
		all[name] = p
	}
	return all
}

// TestRPMPlans: the plans fit the flavors of this repository, whose files and packages they
// make.
func TestRPMPlans(t *testing.T) {
	for name, p := range rpmPlans(t) {
		text, err := (maker{name: name, flavors: "../../flavors"}).sourceFlavor(p)
		if err != nil {
			t.Fatal(err)
		}
		source, err := flavors.Parse("source.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		if source.Models["generic"].Kernel[0] != "linux-image-amd64" || !slices.Contains(source.Packages, "openssh-server") || slices.Contains(source.Packages, "selinux-policy-targeted") {
			t.Errorf("%s: the source flavor is %+v", name, source)
		}
		f, err := flavors.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		boot := f.Boot["amd64"]
		made := []string{p.moved("/usr/lib/shim/shimx64.efi.signed"), p.moved("/usr/lib/shim/mmx64.efi.signed"), p.moved("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"), p.moved("/usr/lib/grub/i386-pc/boot.img")}
		for _, links := range p.Links {
			for at := range links {
				made = append(made, at)
			}
		}
		for _, want := range []string{boot.Shim, boot.MokManager, boot.Grub, boot.BIOSModules + "/boot.img"} {
			if !slices.Contains(made, want) {
				t.Errorf("%s: no file becomes %s", name, want)
			}
		}
		for _, kernel := range f.Models["generic"].Kernel {
			if !slices.ContainsFunc(p.Kernel.Packages, func(k rpmKernelPart) bool { return k.Name == kernel }) {
				t.Errorf("%s: the kernel has no package %s", name, kernel)
			}
		}
	}
	if p, err := readRPMPlan(ubuntu); p != nil || err != nil {
		t.Errorf("a plan of deb packages: %v, %v", p, err)
	}
}

// TestRPMKeys: the keys of a flavor are replaced, also where they are on several lines.
func TestRPMKeys(t *testing.T) {
	const mine = "0123456789ABCDEF0123456789ABCDEF01234567"
	for name := range rpmPlans(t) {
		text, err := os.ReadFile("../../flavors/" + name + "/flavor.yaml")
		if err != nil {
			t.Fatal(err)
		}
		own, _, err := withKey(text, mine)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := flavors.Parse("own.yaml", own)
		if err != nil || len(f.Base.Archive.Keys) != 1 || f.Base.Archive.Keys[0] != mine {
			t.Errorf("%s: keys %v, %v", name, f, err)
		}
	}
}

func TestRPMBadPlan(t *testing.T) {
	for text, want := range map[string]string{
		"form: x\n":   "field form not found",
		"from: a\n":   "lacks from, essential, kernel.from or kernel.packages",
		"from: [x]\n": "cannot unmarshal",
		"from: a\nessential: b\nkernel: {from: c, packages: [{name: d}]}\npatches: [{file: /f, old: a, new: bc}]\n": `"bc" of patches is longer than "a"`,
	} {
		if _, err := parseRPMPlan("x", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestVersionOf(t *testing.T) {
	for debian, want := range map[string][3]string{"1:2.40-1+deb13u1": {"1", "2.40", "1+deb13u1"}, "13.8": {"", "13.8", "1"}, "0~2024-01-3": {"", "0~2024.01", "3"}} {
		if e, v, r := versionOf(debian); [3]string{e, v, r} != want {
			t.Errorf("%s: got %q %q %q", debian, e, v, r)
		}
	}
}

// unpacked are the files of packages, by package and path.
func unpacked(t *testing.T, all []rpmPackage) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, p := range all {
		err := filepath.WalkDir(p.Root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, _ := filepath.Rel(p.Root, path)
			if d.Type() == fs.ModeSymlink {
				to, err := os.Readlink(path)
				got[p.Name+" /"+rel] = "-> " + to
				return err
			}
			data, err := os.ReadFile(path)
			got[p.Name+" /"+rel] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// TestUnpack: packages of Debian become those of openSUSE: names, requirements, places of
// files, and what maintainer scripts do.
func TestUnpack(t *testing.T) {
	needDpkg(t)
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: it gives files their owners, which needs root")
	}
	packed, err := base64.StdEncoding.DecodeString(module)
	if err != nil {
		t.Fatal(err)
	}
	const lib = "/usr/lib/modules/6.12/"
	debs := []string{
		oldDeb(t, "Package: base-files\nVersion: 13\nArchitecture: amd64\nEssential: yes\nPre-Depends: awk\n", "/usr/lib/os-release", "ID=debian\n", "/etc/host.conf", "multi on\n", "/usr/share/base-files/profile", "p", "/usr/share/base-files/dot.bashrc", "b", "/usr/share/base-files/dot.profile", "d"),
		oldDeb(t, "Package: bash\nVersion: 5-1\nArchitecture: amd64\nEssential: yes\nDepends: base-files (>= 2), debianutils | base-files, dpkg (>= 1)\n", "/usr/bin/bash", "bash"),
		oldDeb(t, "Package: dpkg\nVersion: 1\nArchitecture: amd64\n", "/usr/bin/dpkg", "dpkg"),
		oldDeb(t, "Package: linux-image-6.12\nVersion: 6.12-1\nArchitecture: amd64\n", "/boot/vmlinuz-6.12", "kernel", "/boot/config-6.12", "CONFIG_EROFS_FS=m\n", lib+"modules.order", "o", lib+"kernel/fs/erofs/erofs.ko.xz", string(packed)),
		oldDeb(t, "Package: shim-helpers-amd64-signed\nVersion: 1\nArchitecture: amd64\n", "/usr/lib/shim/mmx64.efi.signed", "mok"),
		oldDeb(t, "Package: systemd\nVersion: 257-1\nArchitecture: amd64\n", "/usr/lib/systemd/systemd", "systemd"),
		oldDeb(t, "Package: libpam-systemd\nVersion: 257-1\nArchitecture: amd64\nDepends: systemd\n", "/usr/lib/security/pam_systemd.so", "pam"),
		oldDeb(t, "Package: shim-signed\nVersion: 1+15\nArchitecture: amd64\n", "/usr/lib/shim/shimx64.efi.signed", "x"+string(widened([]byte("\\grubx64.efi\x00")))+"y"),
	}
	c := &choice{kernels: []string{"linux-image-6.12"}}
	for _, name := range []string{"base-files", "bash", "dpkg", "linux-image-6.12", "shim-helpers-amd64-signed", "systemd", "libpam-systemd", "shim-signed"} {
		c.packages = append(c.packages, locked{Name: name})
	}
	all, err := rpmPlans(t)["opensuse-leap-16.0"].unpack(t.Context(), c, debs, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if info, err := os.Stat(filepath.Join(p.Root, "opt")); p.Name == "filesystem" && (err != nil || info.Mode() != fs.ModeDir|0o755) {
			t.Errorf("filesystem has no /opt: %v, %v", info, err)
		}
	}
	got := unpacked(t, all)
	for name, want := range map[string]string{
		"filesystem /etc/host.conf":                                        "multi on\n",
		"filesystem /etc/profile":                                          "p",
		"bash /usr/bin/sh":                                                 "-> bash",
		"shim /usr/share/efi/x86_64/shim.efi":                              "-> shim-opensuse.efi",
		"shim /usr/share/efi/x86_64/shim-opensuse.efi":                     "x" + string(widened([]byte("\\grub.efi\x00\x00\x00\x00"))) + "y",
		"shim /usr/share/efi/x86_64/MokManager.efi":                        "mok",
		"kernel-default /usr/lib/modules/6.12/vmlinuz":                     "kernel",
		"kernel-default /usr/lib/modules/6.12/config":                      "CONFIG_EROFS_FS=m\n",
		"suse-module-tools /usr/lib/modprobe.d/60-blacklist_fs-erofs.conf": "blacklist erofs\ninstall erofs /usr/lib/module-init-tools/unblacklist erofs; /sbin/modprobe --ignore-install erofs\n",
		"filesystem /usr/lib/os-release":                                   "",
		"systemd /usr/lib/security/pam_systemd.so":                         "pam",
		"dpkg /usr/bin/dpkg":                                               "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if text := got["Leap-release /usr/lib/os-release"]; !strings.HasSuffix(text, "\nVARIANT_ID=stand-in\n") {
		t.Errorf("os-release: %s", text)
	}
	if module := got["kernel-default /usr/lib/modules/6.12/kernel/fs/erofs/erofs.ko.zst"]; !strings.HasPrefix(module, "\x28\xb5\x2f\xfd") {
		t.Errorf("the module is %q", module)
	}
	at := slices.IndexFunc(all, func(p rpmPackage) bool { return p.Name == "bash" })
	if diff := cmp.Diff([]string{"filesystem"}, all[at].Requires); diff != "" {
		t.Errorf("bash requires (-want +got):\n%s", diff)
	}
	at = slices.IndexFunc(all, func(p rpmPackage) bool { return p.Name == "basesystem" })
	if diff := cmp.Diff([]string{"filesystem", "system-user-root", "bash", "filesystem"}, all[at].Requires); diff != "" {
		t.Errorf("basesystem requires (-want +got):\n%s", diff)
	}
}

// TestRocky: the kernel of Rocky 9 has no EROFS, and its config says so.
func TestRockyKernel(t *testing.T) {
	p := rpmPlans(t)["rocky-9"]
	k := rpmKernelParts{plan: p.Kernel, version: "6.12"}
	if got := string(k.config([]byte("CONFIG_A=y\nCONFIG_EROFS_FS=m\nCONFIG_B=m\n"))); got != "CONFIG_A=y\n# CONFIG_EROFS_FS is not set\nCONFIG_B=m\n" {
		t.Errorf("config: %q", got)
	}
	for at, want := range map[string]string{"/boot/vmlinuz-6.12": "vmlinuz", "/usr/lib/modules/6.12/kernel/a.ko.xz": "kernel/a.ko.xz", "/lib/modules/6.12/modules.order": "modules.order", "/usr/share/doc/x": ""} {
		if got := k.inModules(at); got != want {
			t.Errorf("%s: got %q, want %q", at, got, want)
		}
	}
	data, err := p.patched("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", []byte("x/EFI/debian\x00\x00y"))
	if err != nil || string(data) != "x/EFI/rocky\x00\x00\x00y" {
		t.Errorf("GRUB: %q, %v", data, err)
	}
	if _, err := p.patched("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", []byte("x")); err == nil || !strings.Contains(err.Error(), `does not have the text "/EFI/debian"`) {
		t.Errorf("another GRUB: %v", err)
	}
}

// TestRPMBuild lets the real rpmbuild, rpmsign and createrepo_c make a repository.
func TestRPMBuild(t *testing.T) {
	for _, program := range []string{"rpmbuild", "rpmsign", "createrepo_c", "gpg", "rpm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: no %s here: apt install rpm createrepo-c gnupg", program)
		}
	}
	dir := t.TempDir()
	key, err := openKey(filepath.Join(dir, "key.pgp"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "unpacked", "a")
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("usr/lib/a [1] 100%.conf", "a")
	put(`usr/lib/a\x2d.slice`, "b")
	all := []rpmPackage{
		{Name: "a", Epoch: "2", Version: "1.0~rc1", Release: "3+deb13u1", Requires: []string{"b", "(b or c)"}, Provides: []string{"/bin/a"}, Scriptlets: map[string]string{"posttrans": "echo 100%\n"}, Root: root},
		{Name: "b", Version: "1", Release: "1", Noarch: true, Root: t.TempDir()},
	}
	p := &rpmPlan{Repositories: map[string][]string{"second": {"b"}}}
	if err := p.publish(t.Context(), dir, all, []string{"first", "second"}, key, at); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "first/Packages/a-1.0~rc1-3+deb13u1.x86_64.rpm")
	out, err := exec.Command("rpm", "-qp", "--nosignature", "--qf", `[%{FILENAMES}|]%{EPOCH} [%{REQUIRENAME}|] [%{PROVIDENAME}|] %{POSTTRANS} %{RSAHEADER:pgpsig}`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"/usr/lib/a [1] 100%.conf|", `/usr/lib/a\x2d.slice|`, "|2 ", "b|", "(b or c)|", "/bin/a|", "echo 100%", "Key ID " + strings.ToLower(key.fingerprint()[24:])} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the package says %s, want %s", out, want)
		}
	}
	for _, file := range []string{"first/repodata/repomd.xml.asc", "second/repodata/repomd.xml.asc", "second/Packages/b-1-1.noarch.rpm"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}
