// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Firmware is one UEFI build: its code, and the template of its variables. Every machine
// gets a copy of the template.
type Firmware struct {
	Code, Vars Flash
	// SMM says that the code needs System Management Mode, which keeps a guest from
	// writing the Secure Boot variables.
	SMM bool
}

// A Flash is the image of a flash chip.
type Flash struct {
	Path   string
	Format string // raw or qcow2
}

// Firmware finds the firmware for b. BIOS needs none, as SeaBIOS comes with QEMU.
// Firmware reads descriptors first (QEMU's docs/interop/firmware.json), in
// /etc/qemu/firmware and /usr/share/qemu/firmware. Then it tries the usual paths of
// Debian, Fedora, openSUSE and Arch. If there is none, the error is ErrNoFirmware.
func (h Host) Firmware(b Boot) (Firmware, error) {
	if b == BIOS {
		return Firmware{}, nil
	}
	found, err := h.descriptors()
	if err != nil {
		return Firmware{}, err
	}
	for _, d := range found {
		if fw, ok := d.firmware(h.board(), b); ok && h.exists(fw) {
			return h.rooted(fw), nil
		}
	}
	for _, fw := range h.board().usual(b) {
		if h.exists(fw) {
			return h.rooted(fw), nil
		}
	}
	return Firmware{}, h.board().noFirmware(b)
}

func (b board) noFirmware(boot Boot) error {
	if boot == SecureBoot {
		best := b.usual(boot)[0]
		return fmt.Errorf("%w: none with Secure Boot and enrolled keys (Debian's are %s and %s): %s", ErrNoFirmware, filepath.Base(best.Code.Path), filepath.Base(best.Vars.Path), b.install())
	}
	return fmt.Errorf("%w: %s", ErrNoFirmware, b.install())
}

func (h Host) path(p string) string { return filepath.Join("/", h.Root, p) }

func (h Host) exists(fw Firmware) bool {
	for _, f := range []Flash{fw.Code, fw.Vars} {
		if info, err := os.Stat(h.path(f.Path)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

func (h Host) rooted(fw Firmware) Firmware {
	fw.Code.Path, fw.Vars.Path = h.path(fw.Code.Path), h.path(fw.Vars.Path)
	return fw
}

func pair(dir, code, vars string, smm bool) Firmware {
	return Firmware{Code: Flash{dir + "/" + code, "raw"}, Vars: Flash{dir + "/" + vars, "raw"}, SMM: smm}
}

// usualARMFirmware returns the paths that packages use on arm64, best first.
func usualARMFirmware(b Boot) []Firmware {
	if b == SecureBoot {
		return []Firmware{pair("/usr/share/AAVMF", "AAVMF_CODE.ms.fd", "AAVMF_VARS.ms.fd", false)} // Debian, Ubuntu
	}
	return []Firmware{
		pair("/usr/share/AAVMF", "AAVMF_CODE.no-secboot.fd", "AAVMF_VARS.fd", false),              // Debian, Ubuntu
		pair("/usr/share/AAVMF", "AAVMF_CODE.fd", "AAVMF_VARS.fd", false),                         // Debian 12
		pair("/usr/share/edk2/aarch64", "QEMU_EFI-pflash.raw", "vars-template-pflash.raw", false), // Fedora, RHEL family
		pair("/usr/share/qemu", "aavmf-aarch64-code.bin", "aavmf-aarch64-vars.bin", false),        // openSUSE
	}
}

// usualFirmware returns the paths that packages use, best first.
func usualFirmware(b Boot) []Firmware {
	if b == SecureBoot {
		return []Firmware{
			pair("/usr/share/OVMF", "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd", true),              // Debian, Ubuntu
			pair("/usr/share/OVMF", "OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd", true),                   // Debian, Ubuntu
			pair("/usr/share/OVMF", "OVMF_CODE.secboot.fd", "OVMF_VARS.ms.fd", true),                    // Debian 11
			pair("/usr/share/edk2/ovmf", "OVMF_CODE.secboot.fd", "OVMF_VARS.secboot.fd", true),          // Fedora, RHEL family
			pair("/usr/share/qemu", "ovmf-x86_64-smm-ms-code.bin", "ovmf-x86_64-smm-ms-vars.bin", true), // openSUSE
		}
	}
	return []Firmware{
		pair("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", false),           // Debian, Ubuntu
		pair("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd", false),                 // Debian 11
		pair("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd", false),            // Fedora, RHEL family
		pair("/usr/share/qemu", "ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin", false), // openSUSE
		pair("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd", false),       // Arch
		pair("/usr/share/edk2-ovmf/x64", "OVMF_CODE.fd", "OVMF_VARS.fd", false),        // Arch until 2024
	}
}

// A descriptor holds the parts of a firmware descriptor file that are used.
type descriptor struct {
	InterfaceTypes []string `json:"interface-types"`
	Mapping        struct {
		Device     string    `json:"device"`
		Mode       string    `json:"mode"`
		Executable flashFile `json:"executable"`
		NVRAM      flashFile `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Architecture string   `json:"architecture"`
		Machines     []string `json:"machines"`
	} `json:"targets"`
	Features []string `json:"features"`
}

type flashFile struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

// firmware returns the code and variables of a descriptor if they can boot b on the board.
func (d descriptor) firmware(on board, b Boot) (Firmware, bool) {
	has := func(f string) bool { return slices.Contains(d.Features, f) }
	secure := has("secure-boot") && has("enrolled-keys")
	usable := slices.Contains(d.InterfaceTypes, "uefi") && d.Mapping.Device == "flash" &&
		(d.Mapping.Mode == "" || d.Mapping.Mode == "split") && d.runsOn(on)
	if !usable || secure != (b == SecureBoot) || b == UEFI && has("secure-boot") {
		return Firmware{}, false
	}
	return Firmware{
		Code: Flash{d.Mapping.Executable.Filename, d.Mapping.Executable.Format},
		Vars: Flash{d.Mapping.NVRAM.Filename, d.Mapping.NVRAM.Format},
		SMM:  has("requires-smm"),
	}, true
}

func (d descriptor) runsOn(b board) bool {
	for _, t := range d.Targets {
		for _, m := range t.Machines {
			if t.Architecture == b.machine && strings.HasPrefix(m, b.family) {
				return true
			}
		}
	}
	return false
}

// descriptors reads all descriptor files in order of precedence, which is the order of
// file names. A file in /etc hides the file of the same name in /usr.
func (h Host) descriptors() ([]descriptor, error) {
	files := map[string]string{}
	for _, dir := range []string{"/usr/share/qemu/firmware", "/etc/qemu/firmware"} {
		names, err := filepath.Glob(h.path(dir) + "/*.json")
		if err != nil {
			return nil, fmt.Errorf("listing firmware descriptors in %s: %w", dir, err)
		}
		for _, name := range names {
			files[filepath.Base(name)] = name
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	return readDescriptors(names, files)
}

// readDescriptors skips files that are no descriptors, and empty files: an administrator
// turns a descriptor off with an empty file.
func readDescriptors(names []string, files map[string]string) ([]descriptor, error) {
	var out []descriptor
	for _, name := range names {
		data, err := os.ReadFile(files[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading a firmware descriptor: %w", err)
		}
		if d, err := parseDescriptor(data); err == nil {
			out = append(out, d)
		}
	}
	return out, nil
}

func parseDescriptor(data []byte) (descriptor, error) {
	var d descriptor
	err := json.Unmarshal(data, &d)
	return d, err
}
