// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
)

const (
	memoryDir = "/run/initramfs/memory"
	// systemMemory is what a live system needs besides its medium, in bytes: 512 MiB.
	systemMemory = 512 * layout.MiB
)

// takeToMemory copies the live tree to memory and lets the medium go, if the kernel
// command line asks for that. The root image is checked on the way: it will not be read
// from the medium again.
func (b *boot) takeToMemory() error {
	if !b.args.RAM || b.args.Live != layout.LiveMedium {
		return nil
	}
	size, err := treeSize(os.DirFS(layout.LiveDir))
	if err != nil {
		return fmt.Errorf("reading the medium: %w", err)
	}
	if err := checkMemory(readMeminfo(), size); err != nil {
		return err
	}
	b.info("copying %s from %s to memory", describeSize(size), b.medium.device)
	if err := mount.MakeFS("tmpfs", "tmpfs", memoryDir, mount.NoDev|mount.NoSUID, fmt.Sprintf("mode=0755,size=%d", size+16*layout.MiB)); err != nil {
		return err
	}
	if err := copyTree(memoryDir, os.DirFS(layout.LiveDir)); err != nil {
		return fmt.Errorf("copying the medium to memory: %w", err)
	}
	if err := mount.Unmount(layout.LiveDir); err != nil {
		return err
	}
	if err := mount.Move(memoryDir, layout.LiveDir); err != nil {
		return err
	}
	if err := verifyFile(filepath.Join(layout.LiveDir, layout.LiveRoot), b.args); err != nil {
		return fmt.Errorf("the root image on %s is altered or damaged; write the medium again: %w", b.medium.device, err)
	}
	b.info("the medium %s can be removed", b.medium.device)
	return nil
}

// treeSize returns how much memory the files of a tree take, in bytes.
func treeSize(tree fs.FS) (size int64, err error) {
	err = eachFile(tree, func(_ string, info fs.FileInfo) error {
		size += (info.Size() + 4095) / 4096 * 4096
		return nil
	})
	return size, err
}

func eachFile(tree fs.FS, do func(path string, info fs.FileInfo) error) error {
	return fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return do(path, info)
	})
}

// copyTree copies the regular files of a tree.
func copyTree(to string, tree fs.FS) error {
	return eachFile(tree, func(path string, _ fs.FileInfo) (err error) {
		in, err := tree.Open(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close()) }()
		file := filepath.Join(to, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// A memory is what /proc/meminfo says, in bytes; 0 means unknown.
type memory struct{ total, available int64 }

func readMeminfo() memory {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return memory{}
	}
	return parseMeminfo(string(data))
}

func parseMeminfo(text string) (m memory) {
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || strings.TrimSpace(unit) != "kB" || n < 0 || n > 1<<50 {
			continue
		}
		switch key {
		case "MemTotal":
			m.total = n << 10
		case "MemAvailable":
			m.available = n << 10
		}
	}
	return m
}

// checkMemory refuses to copy size bytes to memory if that leaves too little for the
// system.
func checkMemory(m memory, size int64) error {
	if m.available == 0 || m.available >= size+systemMemory {
		return nil
	}
	need := (m.total - m.available + size + systemMemory + layout.MiB - 1) / layout.MiB
	return fmt.Errorf("this machine has too little memory for %s: the medium takes %d MiB and the system %d MiB besides, and %d of %d MiB are free; it needs %d MiB. Start it without %s",
		layout.ArgRAM, size/layout.MiB, systemMemory/layout.MiB, m.available/layout.MiB, m.total/layout.MiB, need, layout.ArgRAM)
}

// memoryWords says how much memory there is.
func memoryWords() string { return fmt.Sprintf("%d MiB of memory", readMeminfo().total/layout.MiB) }
