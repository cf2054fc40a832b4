// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rootWith makes a root folder with these files.
func rootWith(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Root: root}
}

func descriptorText(code, vars, format string, features ...string) string {
	return fmt.Sprintf(`{"interface-types":["uefi"],"mapping":{"device":"flash",
		"executable":{"filename":%q,"format":%q},"nvram-template":{"filename":%q,"format":%q}},
		"targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":["%s"]}`,
		code, format, vars, format, strings.Join(features, `","`))
}

func TestFirmware(t *testing.T) {
	debian := map[string]string{
		"usr/share/OVMF/OVMF_CODE_4M.fd": "", "usr/share/OVMF/OVMF_VARS_4M.fd": "",
		"usr/share/OVMF/OVMF_CODE_4M.secboot.fd": "", "usr/share/OVMF/OVMF_VARS_4M.ms.fd": "",
	}
	described := map[string]string{
		"usr/share/qemu/firmware/10-broken.json": "{",
		"usr/share/qemu/firmware/20-gone.json":   descriptorText("/gone", "/gone", "raw"),
		"usr/share/qemu/firmware/25-off.json":    descriptorText("/d/code", "/d/vars", "raw"),
		"etc/qemu/firmware/25-off.json":          "",
		"usr/share/qemu/firmware/30-secure.json": descriptorText("/s/code", "/s/vars", "qcow2", "secure-boot", "enrolled-keys", "requires-smm"),
		"usr/share/qemu/firmware/40-nokeys.json": descriptorText("/n/code", "/n/vars", "raw", "secure-boot", "requires-smm"),
		"usr/share/qemu/firmware/50-plain.json":  descriptorText("/p/code", "/p/vars", "qcow2", "acpi-s3"),
		"usr/share/qemu/firmware/60-later.json":  descriptorText("/d/code", "/d/vars", "raw"),
		"s/code":                                 "", "s/vars": "", "p/code": "", "p/vars": "", "n/code": "", "n/vars": "", "d/code": "", "d/vars": "",
	}
	arm := map[string]string{
		"usr/share/AAVMF/AAVMF_CODE.fd": "", "usr/share/AAVMF/AAVMF_VARS.fd": "",
		"usr/share/AAVMF/AAVMF_CODE.ms.fd": "", "usr/share/AAVMF/AAVMF_VARS.ms.fd": "",
	}
	raw := func(code, vars string, smm bool) Firmware {
		return Firmware{Code: Flash{code, "raw"}, Vars: Flash{vars, "raw"}, SMM: smm}
	}
	tests := []struct {
		name  string
		files map[string]string
		boot  Boot
		want  Firmware
		err   error
	}{
		{"BIOS needs nothing", nil, BIOS, Firmware{}, nil},
		{"Debian", debian, UEFI, raw("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", false), nil},
		{"Debian, Secure Boot", debian, SecureBoot, raw("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd", true), nil},
		{"Arch", map[string]string{"usr/share/edk2/x64/OVMF_CODE.4m.fd": "", "usr/share/edk2/x64/OVMF_VARS.4m.fd": ""}, UEFI,
			raw("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd", false), nil},
		{"openSUSE, Secure Boot", map[string]string{"usr/share/qemu/ovmf-x86_64-smm-ms-code.bin": "", "usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin": ""}, SecureBoot,
			raw("/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin", true), nil},
		{"code without variables", map[string]string{"usr/share/OVMF/OVMF_CODE_4M.fd": ""}, UEFI, Firmware{}, ErrNoFirmware},
		{"nothing", nil, SecureBoot, Firmware{}, ErrNoFirmware},
		{"descriptor", described, UEFI, Firmware{Code: Flash{"/p/code", "qcow2"}, Vars: Flash{"/p/vars", "qcow2"}}, nil},
		{"descriptor, Secure Boot", described, SecureBoot, Firmware{Code: Flash{"/s/code", "qcow2"}, Vars: Flash{"/s/vars", "qcow2"}, SMM: true}, nil},
		{"arm64, Debian 12", arm, UEFI, raw("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", false), nil},
		{"arm64, Secure Boot", arm, SecureBoot, raw("/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd", false), nil},
		{"arm64, descriptors of another architecture", described, UEFI, Firmware{}, ErrNoFirmware},
		{"arm64, descriptor", map[string]string{
			"usr/share/qemu/firmware/60-aarch64.json": strings.NewReplacer("x86_64", "aarch64", "pc-q35-*", "virt-*").Replace(descriptorText("/p/code", "/p/vars", "raw")), "p/code": "", "p/vars": "",
		}, UEFI, raw("/p/code", "/p/vars", false), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := rootWith(t, tt.files)
			if strings.HasPrefix(tt.name, "arm64") {
				h.Arch = "arm64"
			}
			got, err := h.Firmware(tt.boot)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil && !strings.Contains(err.Error(), "apt-get install") {
				t.Errorf("got %v, want what to install", err)
			}
			got.Code.Path = strings.TrimPrefix(got.Code.Path, h.Root)
			got.Vars.Path = strings.TrimPrefix(got.Vars.Path, h.Root)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzDescriptor(f *testing.F) {
	f.Add([]byte(descriptorText("/a", "/b", "raw", "secure-boot")))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if d, err := parseDescriptor(data); err == nil {
			for _, b := range boards() {
				d.firmware(b, UEFI)
				d.firmware(b, SecureBoot)
			}
		}
	})
}
