// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// addDisks writes all disks that were asked for, in one pass, when the first is due.
func (b *build) addDisks(ctx context.Context, image *madeImage, r *Result) error {
	if len(r.Disks) > 0 {
		return nil
	}
	set := diskSet{
		image: image.root, digest: image.Digest, checksum: slices.Contains(b.Artifacts, kindChecksum),
		files: beside(b.out.staged(diskName), diskOrders(b.Artifacts, b.Compress)),
		spec:  disk.Spec{OEM: oemEntries(b.configs), Sizes: b.Sizes, Time: b.recipe.Epoch},
	}
	return b.step("disk: "+set.names(), func(progress.Step) (_ bool, err error) {
		r.Disks, err = set.write(ctx)
		return false, err
	})
}

// oemEntries gives the cloud-configs the names that Kairos's installer gives the
// user's: 90_custom.yaml, 91_custom.yaml, … They may hold secrets, so only root may
// read them.
func oemEntries(configs []cloudConfig) []ext4.Entry {
	entries := make([]ext4.Entry, len(configs))
	for i, c := range configs {
		entries[i] = ext4.Entry{Path: fmt.Sprintf("%02d_custom.yaml", 90+i), Mode: 0o600, Data: c.data}
	}
	return entries
}

// addChecksums writes the SHA-256 of each disk as a line of sha256sum(1). It was made while
// the disk was written.
func (b *build) addChecksums(_ context.Context, _ *madeImage, r *Result) error {
	return writeChecksums(b.out.stage, r.Disks)
}

// writeChecksums writes the checksums beside the disks in dir.
func writeChecksums(dir string, disks []Disk) error {
	for i, d := range disks {
		disks[i].Checksum = d.Path + checksumEnd
		if err := os.WriteFile(filepath.Join(dir, disks[i].Checksum), fmt.Appendf(nil, "%s  %s\n", d.SHA256, d.Path), 0o644); err != nil {
			return fmt.Errorf("writing the checksum of %s: %w", d.Path, err)
		}
	}
	return nil
}
