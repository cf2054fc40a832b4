// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// structure makes a structure of an SMBIOS table.
func structure(kind byte, texts ...string) string {
	out := string([]byte{kind, 5, 1, 0, byte(len(texts))})
	for _, s := range texts {
		out += s + "\x00"
	}
	if len(texts) == 0 {
		out += "\x00"
	}
	return out + "\x00"
}

func TestFirmware(t *testing.T) {
	table := structure(1, "QEMU", "ds=none") + structure(32) + structure(11, "other", "io.systemd.credential:kairos.user-data=#!/bin/sh", "io.systemd.credential.binary:kairos.meta-data=aW5zdGFuY2UtaWQ6IGktNAo=") + structure(127) + structure(11, "io.systemd.credential:kairos.user-data=behind the end")
	for _, c := range []struct {
		name  string
		files map[string]string
		want  *Data
	}{
		{"nothing", nil, nil},
		{"fw_cfg", map[string]string{fwCfg + "/io.kairos/user-data/raw": "#!/bin/sh", fwCfg + "/io.kairos/meta-data/raw": "instance-id: 7\n"}, &Data{Place: "fw_cfg", InstanceID: "7", UserData: []byte("#!/bin/sh")}},
		{"a credential in fw_cfg", map[string]string{fwCfg + "/io.systemd.credentials/kairos.user-data/raw": "#!/bin/sh"}, &Data{Place: "fw_cfg credential", UserData: []byte("#!/bin/sh")}},
		{"a credential of systemd", map[string]string{"run/credentials/@system/kairos.network-config": "version: 2"}, &Data{Place: "credential", NetworkConfig: []byte("version: 2")}},
		{"the SMBIOS table", map[string]string{"sys/firmware/dmi/tables/DMI": table}, &Data{Place: "SMBIOS", InstanceID: "i-4", UserData: []byte("#!/bin/sh")}},
		{"SMBIOS entries", map[string]string{"sys/firmware/dmi/entries/11-0/raw": structure(11, "io.systemd.credential:kairos.user-data=#!/bin/sh"), "sys/firmware/dmi/entries/1-0/raw": structure(1, "x")}, &Data{Place: "SMBIOS", UserData: []byte("#!/bin/sh")}},
		{"a cut SMBIOS table", map[string]string{"sys/firmware/dmi/tables/DMI": table[:30]}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, data := range c.files {
				fsys[name] = &fstest.MapFile{Data: []byte(data)}
			}
			got, err := firmware{}.Fetch(t.Context(), &Access{FS: fsys})
			if c.want == nil && errors.Is(err, ErrNone) {
				return
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("%v, differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestFwCfgModule: the module is loaded on QEMU only. If that fails, the other
// places are still read.
func TestFwCfgModule(t *testing.T) {
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  []string
	}{
		{"elsewhere", fstest.MapFS{}, nil},
		{"QEMU", fstest.MapFS{fwCfgDevice: &fstest.MapFile{Mode: fs.ModeDir}}, []string{"qemu_fw_cfg"}},
		{"loaded", fstest.MapFS{fwCfgDevice: &fstest.MapFile{Mode: fs.ModeDir}, fwCfg + "/x/raw": &fstest.MapFile{}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var loaded []string
			c.files[imported+"/kairos.user-data"] = &fstest.MapFile{Data: []byte("#!")}
			m := &Access{FS: c.files, LoadModule: func(_ context.Context, name string) error {
				loaded = append(loaded, name)
				return errors.New("no such module")
			}}
			if _, err := (firmware{}).Fetch(t.Context(), m); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, loaded); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSeedDirectory(t *testing.T) {
	m := &Access{FS: fstest.MapFS{
		"proc/cmdline":         &fstest.MapFile{Data: []byte("ds=nocloud;s=file:///srv/seed/;i=i-5")},
		"srv/seed/user-data":   &fstest.MapFile{Data: []byte("#!/bin/sh")},
		"srv/seed/vendor-data": &fstest.MapFile{Data: []byte("#!/bin/sh")},
	}}
	got, err := m.Fetch(t.Context(), []Source{seed{}})
	want := &Data{Source: "seed", Place: "/srv/seed/", InstanceID: "i-5", UserData: []byte("#!/bin/sh"), Notes: []string{"vendor-data is not used"}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
}

// FuzzOEMStrings: the table comes from the firmware and may be damaged.
func FuzzOEMStrings(f *testing.F) {
	f.Add([]byte(structure(11, "a", "b")))
	f.Fuzz(func(_ *testing.T, table []byte) { oemStrings(table) })
}
