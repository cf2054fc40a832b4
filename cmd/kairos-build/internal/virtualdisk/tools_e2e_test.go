// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package virtualdisk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// drivers are QEMU's names of the formats.
func drivers() map[string]string {
	return map[string]string{Raw: "raw", Qcow2: "qcow2", VMDK: "vmdk", VHD: "vpc", VHDX: "vhdx", Azure: "vpc"}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestQEMUReadsTheFormats: QEMU finds no error in them and reads the bytes of the disk.
// It converts them to a raw disk, too.
func TestQEMUReadsTheFormats(t *testing.T) {
	for _, disk := range []struct {
		name   string
		size   int64
		pieces []piece
	}{
		{"as a node's", 75 * mib, pieces()},
		{"empty", 3 * mib, nil},
		{"full", 4 * mib, []piece{{0, 4 * mib, 1}}},
		{"large", 5 << 30, []piece{{0, 512, 1}, {1 << 30, 2 * mib, 2}, {3 << 30, 2 * mib, 2}, {5<<30 - 512, 512, 3}}},
	} {
		d := newSparseDisk(t, disk.size, disk.pieces)
		raw := d.Data.(*os.File).Name()
		for _, o := range allOrders() {
			driver := drivers()[o.Format.Name]
			if driver == "" || o.Compression != "" {
				continue
			}
			t.Run(disk.name+" "+o.Name(), func(t *testing.T) {
				path := write(t, d, []Order{o})[0]
				if driver == "qcow2" || driver == "vmdk" || driver == "vhdx" {
					if out := tool(t, "qemu-img", "check", "-f", driver, path); !strings.Contains(out, "No errors were found") {
						t.Error(out)
					}
				}
				tool(t, "qemu-img", "compare", "-F", "raw", "-f", driver, path, raw)
				if d.Size > 1<<30 {
					return // two times 5 GiB of zeros prove nothing more
				}
				back := filepath.Join(t.TempDir(), "back.raw")
				tool(t, "qemu-img", "convert", "-f", driver, "-O", "raw", path, back)
				tool(t, "cmp", raw, back)
			})
		}
	}
}

// TestQEMUWritesToASharedCluster: a write to one of three equal clusters of a qcow2 leaves
// the others alone.
func TestQEMUWritesToASharedCluster(t *testing.T) {
	d, raw := newTestDisk(t)
	format, _ := Find(Qcow2)
	path := write(t, d, []Order{{Format: format}})[0]
	tool(t, "qemu-io", "-f", "qcow2", "-c", "write -P 7 12M 64k", path)
	for i := range 64 << 10 {
		raw[12*mib+i] = 7
	}
	want := filepath.Join(t.TempDir(), "want.raw")
	if err := os.WriteFile(want, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, "qemu-img", "compare", "-F", "raw", "-f", "qcow2", path, want)
	if out := tool(t, "qemu-img", "check", "-f", "qcow2", path); !strings.Contains(out, "No errors were found") {
		t.Error(out)
	}
}

// TestToolsDecompress: zstd, gzip, xz and tar of Debian read what we compress.
func TestToolsDecompress(t *testing.T) {
	d, raw := newTestDisk(t)
	want := filepath.Join(t.TempDir(), "want.raw")
	if err := os.WriteFile(want, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	format, _ := Find(Raw)
	for compression, program := range map[string]string{Zstd: "zstd", Gzip: "gzip", XZ: "xz"} {
		path := write(t, d, []Order{{Format: format, Compression: compression}})[0]
		tool(t, program, "--test", path)
		out, err := exec.CommandContext(t.Context(), program, "--decompress", "--stdout", path).Output()
		if err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: %d bytes, %v", program, len(out), err)
		}
	}
	if out := tool(t, "xz", "--list", "--robot", write(t, d, []Order{{Format: format, Compression: XZ}})[0]); !strings.Contains(out, "file\t1\t75\t") {
		t.Error(out)
	}
}

// TestTarUnpacksTheArchive: GNU tar makes the sparse file of the archive for Google.
func TestTarUnpacksTheArchive(t *testing.T) {
	d := newSparseDisk(t, 1<<30-mib, pieces())
	format, _ := Find(GCE)
	path, dir := write(t, d, []Order{{Format: format}})[0], t.TempDir()
	if got := tool(t, "tar", "--list", "--verbose", "--gzip", "--file", path); !strings.Contains(got, "root/root") || !strings.Contains(got, "1073741824 1970-01-01") {
		t.Error(got)
	}
	tool(t, "tar", "--extract", "--gzip", "--file", path, "--directory", dir)
	tool(t, "cmp", "--bytes", "1072693248", d.Data.(*os.File).Name(), filepath.Join(dir, "disk.raw"))
}

// TestBlocksAreShared: on btrfs the clusters of a qcow2, a VHD and a VHDX are those of the
// raw disk, which take no room again, and the files have the bytes that they have elsewhere.
func TestBlocksAreShared(t *testing.T) {
	dir := onBtrfs(t)
	const data = 64 * mib
	d := newSparseDisk(t, 3*data, []piece{{0, data, 1}, {2 * data, data, 1}})
	raw := filepath.Join(dir, "disk.raw")
	tool(t, "cp", "--sparse=always", d.Data.(*os.File).Name(), raw)
	source, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, name := range []string{Qcow2, VHD, VHDX, Azure} {
		format, _ := Find(name)
		want := contents(t, write(t, d, []Order{{Format: format}})[0])
		shared, before := d, used(t, dir)
		shared.Data = source
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Write(t.Context(), shared, []Order{{Format: format, File: f}})
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(contents(t, f.Name()), want) {
			t.Errorf("%s: other bytes than without sharing", name)
		}
		if took := used(t, dir) - before; took > 16*mib {
			t.Errorf("%s took %d MiB, though its data is there", name, took/mib)
		}
	}
}

// onBtrfs mounts a new btrfs.
func onBtrfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PROVEN: mounting needs root")
	}
	image, dir := filepath.Join(t.TempDir(), "btrfs.img"), t.TempDir()
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	tool(t, "mkfs.btrfs", "--quiet", image)
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: this kernel mounts no btrfs: %s", out)
	}
	t.Cleanup(func() {
		if err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", dir).Run(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// used is how many bytes of a file system are taken.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	tool(t, "sync", "--file-system", dir)
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
