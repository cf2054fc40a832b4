// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/initramfs/pack"
)

// initramfs packs --init and the modules of the kernel in --root into --out.
func initramfs(args []string) error {
	flags := flag.NewFlagSet("initramfs", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "time of the result, in Unix seconds")
	root := flags.String("root", "/kernel", "root that holds usr/lib/modules")
	program := flags.String("init", "/init", "the program /init")
	out := flags.String("out", "/out/boot/initrd", "the initrd to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	version, err := kernelVersion(*root)
	if err != nil {
		return err
	}
	binary, err := os.ReadFile(*program)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return err
	}
	result, err := packTo(*out, pack.Options{Modules: filepath.Join(*root, "usr/lib/modules", version), Init: binary})
	if err != nil {
		return fmt.Errorf("packing the initrd of kernel %s: %w", version, err)
	}
	fmt.Fprintf(os.Stdout, "kernel %s: %d modules, %d KiB (%d KiB unpacked)\n", result.Kernel, len(result.Modules), result.Size/1024, result.RawSize/1024)
	if len(result.Missing) > 0 {
		fmt.Fprintf(os.Stdout, "not part of this kernel: %s\n", strings.Join(result.Missing, " "))
	}
	return clamp(filepath.Dir(filepath.Dir(*out)), time.Unix(*epoch, 0))
}

func packTo(path string, o pack.Options) (result pack.Result, err error) {
	f, err := os.Create(path)
	if err != nil {
		return pack.Result{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return pack.Write(f, o)
}
