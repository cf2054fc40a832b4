// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/fat12"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// newMachine returns a machine with an empty root directory, and that directory.
func newMachine(t *testing.T) (*Access, string) {
	t.Helper()
	root := t.TempDir()
	return &Access{
		FS:   os.DirFS(root),
		Open: func(device string) (*os.File, error) { return os.Open(filepath.Join(root, device)) },
	}, root
}

func put(t testing.TB, root, name, data string) {
	t.Helper()
	at := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// device moves the image file into the machine as /dev/NAME.
func device(t *testing.T, root, name, image string) {
	t.Helper()
	put(t, root, "sys/class/block/"+name+"/size", "4096\n")
	put(t, root, "dev/.keep", "")
	if err := os.Rename(image, filepath.Join(root, "dev", name)); err != nil {
		t.Fatal(err)
	}
}

// isoImage makes a CD-ROM.
func isoImage(t testing.TB, o iso9660.FinalizeOptions, files map[string]string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4 << 20); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	for name, data := range files {
		put(t, work, name, data)
	}
	fsys, err := iso9660.Create(file.New(f, false), 4<<20, 0, 2048, work)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsys.Finalize(o); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return image
}

// fatImage makes a disk without partitions, with FAT12, FAT16 or FAT32.
func fatImage(t testing.TB, bits int, label string, files map[string]string) string {
	t.Helper()
	size := map[int]int64{12: 2 << 20, 16: 24 << 20, 32: 64 << 20}[bits]
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	fsys, err := makeFAT(bits, f, size, label)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if dir := filepath.Dir(name); dir != "." {
			if err := fsys.Mkdir(dir); err != nil {
				t.Fatal(err)
			}
		}
		w, err := fsys.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return image
}

func makeFAT(bits int, f *os.File, size int64, label string) (filesystem.FileSystem, error) {
	b := file.New(f, false)
	switch bits {
	case 12:
		return fat12.Create(b, size, 0, 512, label, true)
	case 16:
		return fat16.Create(b, size, 0, 512, label, true)
	}
	return fat32.Create(b, size, 0, 512, label, true)
}

var noCloudFiles = map[string]string{
	"user-data":      "#cloud-config\nhostname: a\n",
	"meta-data":      "instance-id: i-1\nlocal-hostname: node7\npublic-keys:\n- ssh-ed25519 AAAA ada\n",
	"network-config": "version: 2\n",
}

var noCloudData = &Data{
	InstanceID: "i-1", Hostname: "node7", Keys: []string{"ssh-ed25519 AAAA ada"},
	UserData: []byte("#cloud-config\nhostname: a\n"), NetworkConfig: []byte("version: 2\n"),
}

// TestNoCloudMedia: CD-ROMs and disks in the formats of hypervisors.
func TestNoCloudMedia(t *testing.T) {
	for _, c := range []struct {
		name, device string
		image        func(t *testing.T) string
	}{
		{"Rock Ridge", "sr0", func(t *testing.T) string {
			return isoImage(t, iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}, noCloudFiles)
		}},
		{"Joliet", "sr0", func(t *testing.T) string {
			return isoImage(t, iso9660.FinalizeOptions{Joliet: true, VolumeIdentifier: "CIDATA"}, noCloudFiles)
		}},
		{"both", "sda", func(t *testing.T) string {
			return isoImage(t, iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: "cidata"}, noCloudFiles)
		}},
		{"FAT12", "sdb", func(t *testing.T) string { return fatImage(t, 12, "CIDATA", noCloudFiles) }},
		{"FAT16", "vdb1", func(t *testing.T) string { return fatImage(t, 16, "cidata", noCloudFiles) }},
		{"FAT32", "vdb", func(t *testing.T) string { return fatImage(t, 32, "cidata", noCloudFiles) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, root := newMachine(t)
			device(t, root, c.device, c.image(t))
			got, err := m.Fetch(t.Context(), []Source{noCloud{}})
			if err != nil {
				t.Fatal(err)
			}
			want := *noCloudData
			want.Source, want.Place = "nocloud", "/dev/"+c.device
			if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherMedia(t *testing.T) {
	meta := `{"uuid":"u-1","hostname":"h","public_keys":{"b":"ssh-rsa B\n","a":"ssh-rsa A"}}`
	azureXML := `<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure">
 <wa:ProvisioningSection><wa:Version>1.0</wa:Version><LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure">
 <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType><HostName>az1</HostName>
 <CustomData>I2Nsb3VkLWNvbmZpZwo=</CustomData></LinuxProvisioningConfigurationSet></wa:ProvisioningSection></Environment>`
	properties := `<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="vm-9">
 <PropertySection><Property oe:key="hostname" oe:value="ovf1"/><Property oe:key="user-data" oe:value="IyEvYmluL3NoCg=="/></PropertySection></Environment>`
	for _, c := range []struct {
		name   string
		source Source
		label  string
		files  map[string]string
		want   *Data
	}{
		{"config drive", configDrive{}, "config-2", map[string]string{
			"openstack/latest/meta_data.json": meta, "openstack/latest/user_data": "#!/bin/sh\n", "openstack/latest/network_data.json": "{}",
		}, &Data{Source: "config-drive", Place: "/dev/sr0", InstanceID: "u-1", Hostname: "h", Keys: []string{"ssh-rsa A", "ssh-rsa B"}, UserData: []byte("#!/bin/sh\n"), Notes: []string{"network_data.json is not implemented: ports get their addresses by DHCP"}}},
		{"OVF of Azure", ovf{}, "rd_rdfe", map[string]string{"ovf-env.xml": azureXML}, &Data{Source: "ovf", Place: "/dev/sr0", Hostname: "az1", UserData: []byte("#cloud-config\n")}},
		{"OVF with properties", ovf{}, "OVF ENV", map[string]string{"ovf-env.xml": properties}, &Data{Source: "ovf", Place: "/dev/sr0", InstanceID: "vm-9", Hostname: "ovf1", UserData: []byte("#!/bin/sh\n")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, root := newMachine(t)
			device(t, root, "sr0", isoImage(t, iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: c.label}, c.files))
			got, err := m.Fetch(t.Context(), []Source{c.source})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoMedium: other content of disks is no datasource and no error. Our own
// partitions are not even opened.
func TestNoMedium(t *testing.T) {
	m, root := newMachine(t)
	device(t, root, "sr0", isoImage(t, iso9660.FinalizeOptions{VolumeIdentifier: "install"}, map[string]string{"a": "b"}))
	device(t, root, "vda8", fatImage(t, 12, "CIDATA", noCloudFiles))
	put(t, root, "sys/class/block/vda8/uevent", "DEVTYPE=partition\nPARTN=8\nPARTNAME=oem\n")
	put(t, root, "sys/class/block/sdb/size", "100\n") // no node in /dev
	put(t, root, "sys/class/block/sr1/size", "0\n")
	put(t, root, "sys/class/block/vdc/size", "8\n")
	put(t, root, "dev/vdc", strings.Repeat("x", 4096))
	opened := map[string]bool{}
	open := m.Open
	m.Open = func(device string) (*os.File, error) { opened[device] = true; return open(device) }
	local, _, err := m.Detect(ReadFacts(m.FS))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := m.Fetch(t.Context(), local); err != ErrNone { //nolint:errorlint // exactly this one
		t.Errorf("got %v, %v", data, err)
	}
	if opened["/dev/vda8"] || opened["/dev/sr1"] || !opened["/dev/sr0"] || !opened["/dev/vdc"] {
		t.Errorf("opened %v", opened)
	}
}

// TestDamagedMedium: an unreadable medium with the right label gives an error and
// never a crash, whatever is damaged.
func TestDamagedMedium(t *testing.T) {
	m, root := newMachine(t)
	image := isoImage(t, iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}, noCloudFiles)
	good, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	good = append(bytes.TrimRight(good, "\x00"), make([]byte, 2048)...)
	device(t, root, "sr0", image)
	fetch := func(offset int) error {
		bad := bytes.Clone(good)
		bad[offset] ^= 0xff
		put(t, root, "dev/sr0", string(bad))
		_, err := m.Fetch(t.Context(), []Source{noCloud{}})
		return err
	}
	const descriptor = 32768
	for _, offset := range []int{descriptor + 135, descriptor + 169} { // sizes of gigabytes
		want := "datasource nocloud: reading the file system on /dev/sr0: its volume descriptors are damaged"
		if err := fetch(offset); err == nil || err.Error() != want {
			t.Errorf("byte %d: got %v, want %s", offset, err, want)
		}
	}
	failed := 0
	for offset := descriptor + 80; offset < descriptor+200; offset++ {
		if fetch(offset) != nil {
			failed++
		}
	}
	if failed < 10 {
		t.Errorf("%d damages were noticed", failed)
	}
}

func TestDeviceOrder(t *testing.T) {
	m, root := newMachine(t)
	for _, name := range []string{"vdb", "sr0", "loop0", "dm-0", "sda", "zram0"} {
		put(t, root, "sys/class/block/"+name+"/size", "8\n")
	}
	got, err := m.devices()
	if diff := cmp.Diff([]string{"/dev/sr0", "/dev/sda", "/dev/vdb"}, got); diff != "" || err != nil {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
}

// TestDriveDriver: for a drive without a driver, the agent loads the driver and
// waits for the drive. On other machines it loads nothing.
func TestDriveDriver(t *testing.T) {
	for _, c := range []struct{ name, kind, want string }{{"a drive", "5\n", "sr_mod"}, {"a disk", "0\n", ""}} {
		t.Run(c.name, func(t *testing.T) {
			m, root := newMachine(t)
			put(t, root, "sys/bus/scsi/devices/1:0:0:0/type", c.kind)
			image := isoImage(t, iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}, noCloudFiles)
			loaded := ""
			m.LoadModule = func(_ context.Context, name string) error {
				loaded = name
				device(t, root, "sr0", image)
				return nil
			}
			data, err := m.Fetch(t.Context(), []Source{noCloud{}})
			if loaded != c.want || (data != nil) != (c.want != "") {
				t.Errorf("loaded %q, got %v, %v", loaded, data, err)
			}
		})
	}
}

// TestCircle: a cycle in a chain of clusters gives an error; the boot does not
// hang.
func TestCircle(t *testing.T) {
	for _, bits := range []int{12, 16, 32} {
		m, root := newMachine(t)
		image := fatImage(t, bits, "cidata", noCloudFiles)
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		table, ok := readTable(f)
		if !ok || table.bits != bits || !table.ends() {
			t.Fatalf("FAT%d: got %v", bits, ok)
		}
		boot := make([]byte, 512)
		if _, err := f.ReadAt(boot, 0); err != nil {
			t.Fatal(err)
		}
		// Clusters 2 and 3 point to each other in both tables.
		entry := map[int][]byte{12: {3, 0x20, 0x00}, 16: {3, 0, 2, 0}, 32: {3, 0, 0, 0, 2, 0, 0, 0}}[bits]
		first := int64(binary.LittleEndian.Uint16(boot[14:])) * 512
		for _, at := range []int64{first, first + int64(len(table.data))} {
			if _, err := f.WriteAt(entry, at+int64(2*bits/8)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		device(t, root, "vdb", image)
		_, err = m.Fetch(t.Context(), []Source{noCloud{}})
		if want := "datasource nocloud: reading the file system on /dev/vdb: its file allocation table is damaged"; err == nil || err.Error() != want {
			t.Errorf("FAT%d: got %v, want %s", bits, err, want)
		}
	}
}
