// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// bills are the bills of materials that are known of an image.
func bills(ctx context.Context, o factory.DiskOptions) ([]evidence.Document, error) {
	place := referrers.Place{Ref: o.Image, Built: factory.BuiltImage(o.Image), Arch: o.Arch, Log: o.Log}
	all, err := place.Bills(ctx)
	if err == nil && len(all) == 0 {
		o.Log.Warn("no bill of materials is known of this image, so none is beside the disk", "image", o.Image)
	}
	return all, err
}

// writeBills writes them beside the disk, and returns the paths.
func writeBills(disk string, all []evidence.Document) (paths []string, _ error) {
	for _, d := range all {
		path := factory.DiskBase(disk) + "." + d.Name
		if err := durable.WriteCache(path, d.Data, 0o644); err != nil {
			return nil, fmt.Errorf("writing %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// openSigner opens the signer of --sign before anything is written; nil if there is none.
func (f *diskFlags) openSigner(cmd *cobra.Command, t *talker) (*notary.Notary, error) {
	if f.sign == "" {
		return nil, nil
	}
	n, err := f.signer.open(cmd.Context(), f.sign, newDesk(cmd, t))
	if err != nil {
		return nil, err
	}
	return n, n.Signer.SignsFiles()
}

// signDisks signs the disks, their checksums and what else is beside them.
func signDisks(ctx context.Context, n *notary.Notary, t *talker, made []factory.Disk, others []string) error {
	return step(t, "sign the files", func(func(done, total int64)) error {
		var all error
		for _, d := range made {
			_, err := n.SignDigest(ctx, d.Path, v1.Hash{Algorithm: "sha256", Hex: d.SHA256})
			all = errors.Join(all, err)
			others = append(others, d.Checksum)
		}
		for _, path := range others {
			_, err := n.SignFile(ctx, path, func(int64, int64) {})
			all = errors.Join(all, err)
		}
		return all
	})
}
