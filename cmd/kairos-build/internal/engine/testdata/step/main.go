// SPDX-License-Identifier: Apache-2.0

// Command step is the only program in the root file system of the engine's
// end-to-end tests.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "step:", err)
		os.Exit(1)
	}
}

func run(verb string, args []string) error {
	switch verb {
	case "sleep":
		d, err := time.ParseDuration(args[0])
		fmt.Println("sleeping")
		time.Sleep(d)
		return err
	case "fail":
		for i := range 30 {
			fmt.Println("line", i)
		}
		os.Exit(7)
	case "write":
		return clamped(args[0], []byte(args[1]))
	case "fill": // path, MiB: always the same bytes, which do not compress well
		return fill(args[0], args[1])
	case "remove":
		if err := os.RemoveAll(args[0]); err != nil {
			return err
		}
		return clamp()
	case "own":
		return own(args[0])
	}
	return nil
}

func clamped(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return clamp()
}

// own writes a file of other IDs than root's, set-uid and with the capability cap_net_raw: the
// last ID that an image may have, and one of a distribution's groups. The attribute has version
// 2 of <linux/capability.h>: magic and effective bit, permitted and inheritable, twice.
func own(path string) error {
	if err := clamped(path, []byte("owned")); err != nil {
		return err
	}
	if err := os.Chown(path, 65535, 42); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o755|fs.ModeSetuid); err != nil {
		return err
	}
	capability := append([]byte{1, 0, 0, 2, 0, 0x20}, make([]byte, 14)...)
	if err := syscall.Setxattr(path, "security.capability", capability, 0); err != nil {
		return err
	}
	return clamp()
}

// clamp sets files newer than the epoch of the tests to the epoch. It must see the
// whole root: the runtime touches /etc, for one, to make a place for resolv.conf.
func clamp() error {
	epoch := time.Unix(1700000000, 0)
	return filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == "/proc" || path == "/sys" || path == "/dev" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().After(epoch) {
			return err
		}
		err = os.Chtimes(path, epoch, epoch)
		if errors.Is(err, syscall.EROFS) { // a file that the runtime mounted
			return nil
		}
		return err
	})
}

func fill(path, mib string) error {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return err
	}
	r := rand.NewChaCha8([32]byte{1})
	var buf bytes.Buffer
	block := make([]byte, 1<<20)
	for range n {
		if _, err := r.Read(block[:1<<19]); err != nil {
			return err
		}
		buf.Write(block)
	}
	return clamped(path, buf.Bytes())
}
