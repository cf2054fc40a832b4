// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// maxUpgradeMemory is the memory that an upgrade may take on a node, in MiB.
const maxUpgradeMemory = 200

// timesLarger is the factor of the larger root image that shows whether an upgrade's
// memory grows.
const timesLarger = 4

// upgrade runs the agent of the payload on a disk of block devices, by turns with dd of
// the same root image to the same device.
func (b *bench) upgrade(ctx context.Context) (results []Result, err error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	image, err := serve(ctx, filepath.Join(w.out, "image"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, image.close()) }()
	size, err := rootSize(image.image)
	if err != nil {
		return nil, err
	}
	n, err := b.newNode(ctx, filepath.Join(w.out, "image"), size*(timesLarger+1))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	u, err := b.upgrades(ctx, n, image.ref, filepath.Join(w.out, "disk.raw"), size)
	if err != nil {
		return nil, err
	}
	larger, err := b.largerUpgrades(ctx, n, image.image, size)
	return append(u.results(size), larger...), err
}

// upgrades are the figures of both sides, one for each round.
type upgrades struct {
	seconds, dd Series // s
	peak        Series // PSS in MiB
}

// upgrades measures both sides. Each round the other one comes first. The first round
// does not count: it allocates the blocks of the device, and brings the files that are
// read into memory.
func (b *bench) upgrades(ctx context.Context, n *node, ref, disk string, size int64) (u upgrades, err error) {
	root := filepath.Join(b.temp, "root.img")
	if err := saveRoot(disk, layout.SlotA.Root(), size, root); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, os.Remove(root)) }()
	sides := []func() error{
		func() error { return u.ours(ctx, n, ref, size) },
		func() error { return u.theirs(ctx, n, root) },
	}
	for i := range b.n + 1 {
		for k := range sides {
			if err := sides[(i+k+1)%2](); err != nil {
				return u, err
			}
		}
		b.say("   %d: %s; dd %s", i, u.seconds[i:].List("s"), u.dd[i:].List("s"))
	}
	return upgrades{u.seconds[1:], u.dd[1:], u.peak[1:]}, nil
}

func (u *upgrades) ours(ctx context.Context, n *node, ref string, size int64) error {
	x, err := n.upgrade(ctx, ref)
	if err != nil {
		return err
	}
	if x.bytes != size {
		return fmt.Errorf("the upgrade wrote a root image of %d bytes, and dd one of %d", x.bytes, size)
	}
	u.seconds, u.peak = append(u.seconds, x.seconds), append(u.peak, mib(x.peak.PSS))
	return nil
}

func (u *upgrades) theirs(ctx context.Context, n *node, root string) error {
	j, err := n.b.timed(ctx, exec.CommandContext(ctx, "dd", "if="+root, "of="+n.root, "bs=4M", "oflag=direct", "conv=fsync", "status=none"))
	if err != nil {
		return fmt.Errorf("dd to %s: %w", n.root, err)
	}
	u.dd = append(u.dd, j.seconds)
	return nil
}

const (
	upgradeNote = "`kairos-agent upgrade` of the payload, from the start of its process to its end, when slot b is armed: the image of debian-13, without Kubernetes, " +
		"from a registry on loopback, to loop devices past the page cache. It pulls, unpacks, checks every digest, makes the root image and its hash tree, writes them with kernel and initrd, " +
		"and reads all of it back from the medium. The rival does less: `dd bs=4M oflag=direct conv=fsync` of the finished root image, which lies in memory, to the same device; it neither pulls nor reads back. " +
		"Each goes once before what is measured."
	speedNote = "The same runs: bytes of the root image with its hash tree (%d), in millions, by seconds. More is better, so is a greater ratio."
	peakNote  = "The same runs: sum of PSS of the agent's process, looked at every %d ms."
	largeNote = "The same image with one more layer, of noise in files of %d MiB, which makes the root image %d times as large. An upgrade keeps the hash tree, 1/128 of the root image, and about 1 KiB for each file; the rest passes through in pieces."
)

// results returns the lines of the table for a root image of size bytes.
func (u upgrades) results(size int64) []Result {
	return []Result{
		{What: "`kairos-agent upgrade` of debian-13 to armed", Unit: "s", Ours: u.seconds, Rival: u.dd, RivalName: "dd", Note: upgradeNote},
		{What: "root image written by that", Unit: "MB/s", Ours: rates(size, u.seconds), Rival: rates(size, u.dd), RivalName: "dd", Note: fmt.Sprintf(speedNote, size)},
		{What: "peak memory of that", Unit: "MiB", Ours: u.peak, Goal: maxUpgradeMemory, Note: fmt.Sprintf(peakNote, sampleEvery.Milliseconds())},
	}
}

// rates returns MB (10^6 bytes) per second.
func rates(size int64, seconds Series) Series {
	out := make(Series, len(seconds))
	for i, s := range seconds {
		out[i] = float64(size) / 1e6 / s
	}
	return out
}

// largerUpgrades measures the memory of upgrades to a larger image.
func (b *bench) largerUpgrades(ctx context.Context, n *node, image v1.Image, size int64) (results []Result, err error) {
	larger, err := enlarge(image, (timesLarger-1)*size)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.temp, "larger-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := store(dir, larger); err != nil {
		return nil, err
	}
	s, err := serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := Result{What: fmt.Sprintf("peak memory with an image of %d times the size", timesLarger), Unit: "MiB", Goal: maxUpgradeMemory,
		Note: fmt.Sprintf(largeNote, noiseFile>>20, timesLarger)}
	for i := range b.n {
		x, err := n.upgrade(ctx, s.ref)
		if err != nil {
			return nil, err
		}
		r.Ours = append(r.Ours, mib(x.peak.PSS))
		b.say("   %d: %d MB in %s s, with %s", i+1, x.bytes/1e6, figure(x.seconds), r.Ours[i:].List("MiB"))
	}
	return []Result{r}, nil
}

// rootSize returns the size that the builder recorded: bytes of the root image with its
// hash tree.
func rootSize(image v1.Image) (int64, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(manifest.Annotations[layout.AnnotationRootSize], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the image's annotation %s: %w", layout.AnnotationRootSize, err)
	}
	return n, nil
}
