// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

func TestWriteCIData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cidata.iso")
	want := map[string][]byte{
		"user-data": []byte("#cloud-config\n"), "meta-data": []byte("instance-id: one\n"),
		"network-config": []byte(strings.Repeat("# long\n", 1000)),
	}
	if err := WriteCIData(path, want); err != nil {
		t.Fatal(err)
	}
	image, err := file.OpenFromPath(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	}()
	iso, err := iso9660.Read(image, 0, 0, cdSector)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimRight(iso.Label(), " \x00"); got != CIDataLabel {
		t.Errorf("the label is %q, want %q", got, CIDataLabel)
	}
	for name, data := range want {
		got, err := fs.ReadFile(iso, name)
		if err != nil || string(got) != string(data) {
			t.Errorf("%s: got %d bytes and %v, want %d", name, len(got), err, len(data))
		}
	}
}
