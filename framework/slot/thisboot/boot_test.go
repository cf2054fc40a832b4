// SPDX-License-Identifier: Apache-2.0

package thisboot

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() *Boot {
	return &Boot{
		Version: Version, Slot: "a", Mode: "active", RootHash: "00ff", HashOffset: 4096,
		Disk:          Disk{Device: "/dev/vda", GUID: "g", Size: 1 << 40, Model: "m"},
		Partitions:    []Partition{{Number: 4, Name: "root-a", Device: "/dev/vda4", PartUUID: "p", Size: 5}},
		Mounts:        []Mount{{Path: "/", Kind: MountRoot, Source: "/dev/dm-0", FS: "erofs", ReadOnly: true}},
		ModulesLoaded: 20, Steps: []Step{{Name: "disk", Milliseconds: 1.5, At: 1000.25}},
		FirstBoot: true, MachineID: "id", Warnings: []string{"careful"},
	}
}

func TestRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run/cos/boot.json")
	if err := sample().Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	s := sample()
	if p, ok := s.Partition("root-a"); !ok || p.Number != 4 {
		t.Errorf("Partition(root-a) = %v, %v", p, ok)
	}
	if _, ok := s.Partition("root-b"); ok {
		t.Error("Partition(root-b) found something")
	}
	if m, ok := s.Mount("/"); !ok || m.Kind != MountRoot {
		t.Errorf("Mount(/) = %v, %v", m, ok)
	}
	if _, ok := s.Mount("/etc"); ok {
		t.Error("Mount(/etc) found something")
	}
}

// TestContents: who reads what is on an encrypted partition needs the decrypted device.
func TestContents(t *testing.T) {
	s := sample()
	s.Partitions = append(s.Partitions, Partition{Name: "oem", Device: "/dev/vda9", Opened: "/dev/dm-1", UnlockedWith: "the TPM"})
	for name, want := range map[string]string{"root-a": "/dev/vda4", "oem": "/dev/dm-1"} {
		if got, err := s.Device(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestReadWithoutDocument(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "boot.json")); !errors.Is(err, ErrNone) {
		t.Errorf("got error %v, want ErrNone", err)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		s.Version = Version
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if once, err := got.Encode(); err != nil || string(once) != string(again) {
			t.Errorf("encoding twice: %s\nthen %s (%v)", again, once, err)
		}
	})
}
