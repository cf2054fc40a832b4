// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// CIDataLabel is the volume label by which NoCloud finds a CD-ROM or a disk.
const CIDataLabel = "cidata"

// cdSector is the sector size of a CD-ROM, in bytes.
const cdSector = 2048

// WriteCIData writes a new ISO 9660 image labelled CIDataLabel, with files at its root.
// Hypervisors give a machine its user-data, meta-data and network-config in this form.
// Rock Ridge keeps the case and length of names.
func WriteCIData(path string, files map[string][]byte) (err error) {
	size := int64(512 << 10) // of the descriptors and folders
	for _, data := range files {
		size += (int64(len(data))/cdSector + 1) * cdSector
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("making the CD-ROM image %s: %w", path, err)
		}
	}()
	image, err := file.CreateFromPath(path, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	iso, err := iso9660.Create(image, size, 0, cdSector, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, iso.Close()) }()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := addFile(iso, name, files[name]); err != nil {
			return err
		}
	}
	return iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: CIDataLabel})
}

func addFile(iso *iso9660.FileSystem, name string, data []byte) error {
	f, err := iso.OpenFile(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("%s: %w", name, errors.Join(err, f.Close()))
	}
	return f.Close()
}
