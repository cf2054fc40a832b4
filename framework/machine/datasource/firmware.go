// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// firmware is the data that a hypervisor passes without disk or network: QEMU's
// fw_cfg, and systemd credentials in SMBIOS strings or fw_cfg
// (https://systemd.io/CREDENTIALS).
type firmware struct{}

func (firmware) Name() string    { return "firmware" }
func (firmware) Local() bool     { return true }
func (firmware) Here(Facts) bool { return true }

const (
	fwCfg = "sys/firmware/qemu_fw_cfg/by_name/opt"
	// fwCfgDevice is the device's name in QEMU's ACPI tables.
	fwCfgDevice = "sys/bus/acpi/devices/QEMU0002:00"
	// fwCfgPrefix is the prefix of our files, such as opt/io.kairos/user-data.
	fwCfgPrefix = "io.kairos"
	// credential is the prefix of our credentials, such as kairos.user-data.
	credential = "kairos."
	// imported is the directory into which systemd imports credentials.
	imported = "run/credentials/@system"
)

func (firmware) Fetch(ctx context.Context, m *Access) (*Data, error) {
	if err := m.loadFwCfg(ctx); err != nil {
		m.log().Warn("QEMU's fw_cfg cannot be read", "error", err)
	}
	found := map[string]string{} // place by file name
	d, err := seedData(func(name string) ([]byte, error) {
		data, place, err := m.firmwareFile(name)
		if data != nil {
			found[name] = place
		}
		return data, err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNone
	}
	for _, name := range []string{"user-data", "meta-data", "network-config"} {
		if d.Place == "" {
			d.Place = found[name]
		}
	}
	return d, nil
}

// loadFwCfg loads the fw_cfg module on a QEMU machine.
func (m *Access) loadFwCfg(ctx context.Context) error {
	if m.LoadModule == nil || !exists(m.FS, fwCfgDevice) || exists(m.FS, path.Dir(fwCfg)) {
		return nil
	}
	return m.LoadModule(ctx, "qemu_fw_cfg")
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// firmwareFile returns one of NoCloud's files and its place; nil if it is
// missing.
func (m *Access) firmwareFile(name string) (data []byte, place string, err error) {
	for _, file := range []struct{ name, place string }{
		{fwCfg + "/" + fwCfgPrefix + "/" + name + "/raw", "fw_cfg"},
		{imported + "/" + credential + name, "credential"},
		{fwCfg + "/io.systemd.credentials/" + credential + name + "/raw", "fw_cfg credential"},
	} {
		data, err := readLimited(m.FS, file.name)
		if err != nil || data != nil {
			return data, file.place, err
		}
	}
	data, err = m.smbios(credential + name)
	return data, "SMBIOS", err
}

// readLimited returns a file of at most MaxSize bytes; nil if it is missing.
func readLimited(fsys fs.FS, name string) (data []byte, err error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		return nil, fmt.Errorf("/%s has more than %d MiB", name, MaxSize>>20)
	}
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// smbios returns a credential from the OEM strings of the SMBIOS tables; nil if it
// is missing.
func (m *Access) smbios(name string) ([]byte, error) {
	list, err := m.oemStrings()
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if value, ok := strings.CutPrefix(s, "io.systemd.credential:"+name+"="); ok {
			return []byte(value), nil
		}
		if value, ok := strings.CutPrefix(s, "io.systemd.credential.binary:"+name+"="); ok {
			data, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("the SMBIOS credential %s is not base64", name)
			}
			return data, nil
		}
	}
	return nil, nil
}

// oemStrings returns the strings of the structures of type 11. The module dmi_sysfs
// provides them one by one; the whole table is always present.
func (m *Access) oemStrings() ([]string, error) {
	entries, err := fs.Glob(m.FS, "sys/firmware/dmi/entries/11-*/raw")
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		entries = []string{"sys/firmware/dmi/tables/DMI"}
	}
	slices.Sort(entries)
	var out []string
	for _, name := range entries {
		table, err := readLimited(m.FS, name)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the SMBIOS strings: %w", err)
		}
		out = append(out, oemStrings(table)...)
	}
	return out, nil
}

const (
	typeOEMStrings = 11
	typeEnd        = 127
)

// oemStrings reads a chain of SMBIOS structures (DSP0134, 6.1): type, length of the
// formatted part, handle; then NUL-terminated strings and one more NUL.
func oemStrings(table []byte) []string {
	var out []string
	for len(table) >= 4 {
		kind, length := table[0], int(table[1])
		if length < 4 || length > len(table) || kind == typeEnd {
			break
		}
		texts, rest, ok := bytes.Cut(table[length:], []byte{0, 0})
		if !ok {
			texts, rest = bytes.TrimRight(table[length:], "\x00"), nil
		}
		if kind == typeOEMStrings && len(texts) > 0 {
			out = append(out, strings.Split(string(texts), "\x00")...)
		}
		table = rest
	}
	return out
}
